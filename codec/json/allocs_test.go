//go:build !race

package json_test

import (
	"testing"

	"github.com/cmdstream/cmdstream/codec/json"
)

// What encoding/json needs for itself is used again.
func TestAllocations(t *testing.T) {
	type numbers struct {
		A, B int
		Deep struct{ Ratio float64 }
	}
	value, dst := numbers{A: 1, B: 2}, make([]byte, 0, 512)
	data, _ := json.Format{}.Append(nil, &value)
	for name, f := range map[string]func() error{
		"Append":    func() error { _, err := json.Format{}.Append(dst, &value); return err },
		"Unmarshal": func() error { return json.Format{}.Unmarshal(data, &value) },
	} {
		got := testing.AllocsPerRun(200, func() {
			if err := f(); err != nil {
				t.Fatal(err)
			}
		})
		if got > 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}
