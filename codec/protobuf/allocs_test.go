//go:build !race

package protobuf_test

import (
	"testing"

	"github.com/cmdstream/cmdstream/codec/protobuf"
	"github.com/cmdstream/cmdstream/codec/protobuf/internal/testpb"
)

func TestAllocations(t *testing.T) {
	cmd := Add{&testpb.AddRequest{A: 1000, B: 2000}}
	result := &testpb.Sum{Value: 3000}
	buffer := make([]byte, 0, 100)
	cmdData, err := protobuf.Format{}.Append(nil, &cmd)
	if err != nil {
		t.Fatal(err)
	}
	resultData, err := protobuf.Format{}.Append(nil, &result)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		budget float64
		f      func() error
	}{
		"Append of a struct":  {0, func() error { _, err := protobuf.Format{}.Append(buffer, &cmd); return err }},
		"Append of a message": {0, func() error { _, err := protobuf.Format{}.Append(buffer, &result); return err }},
		// The message itself.
		"Unmarshal into a struct":  {1, func() error { return protobuf.Format{}.Unmarshal(cmdData, &cmd) }},
		"Unmarshal into a message": {1, func() error { return protobuf.Format{}.Unmarshal(resultData, &result) }},
	} {
		got := testing.AllocsPerRun(200, func() {
			if err := test.f(); err != nil {
				t.Fatal(err)
			}
		})
		if got > test.budget {
			t.Errorf("%s: %v allocations, want at most %v", name, got, test.budget)
		}
	}
}
