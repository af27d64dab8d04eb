//go:build !race

package codec_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/codec/json"
)

// fixedFormat allocates nothing, so what is counted below is the codec's own.
type fixedFormat struct{ json.Format }

func (f fixedFormat) Append(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case *add:
		dst = binary.AppendVarint(dst, int64(v.A))
		return binary.AppendVarint(dst, int64(v.B)), nil
	case *int:
		return binary.AppendVarint(dst, int64(*v)), nil
	}
	return dst, errors.New("unknown type")
}

func (f fixedFormat) Unmarshal(data []byte, v any) error {
	switch v := v.(type) {
	case *add:
		a, n := binary.Varint(data)
		b, _ := binary.Varint(data[n:])
		*v = add{int(a), int(b)}
		return nil
	case *int:
		n, _ := binary.Varint(data)
		*v = int(n)
		return nil
	}
	return errors.New("unknown type")
}

func TestAllocations(t *testing.T) {
	set := newSet(fixedFormat{})
	client, server := set.Client(), set.Server()
	cmd := unary(add{1000, 2000})
	var result base.Result = base.Value[int]{V: 3000}
	var command, reply bytes.Buffer
	if err := errors.Join(client.Encode(cmd, &command), server.Encode(result, &reply)); err != nil {
		t.Fatal(err)
	}
	var w bytes.Buffer
	var r bytes.Reader
	check := func(name string, budget float64, f func() error) {
		got := testing.AllocsPerRun(200, func() {
			if err := f(); err != nil {
				t.Fatal(err)
			}
		})
		if got > budget {
			t.Errorf("%s: %v allocations, want at most %v", name, got, budget)
		}
	}
	check("Encode of a command", 0, func() error { w.Reset(); return client.Encode(cmd, &w) })
	check("Encode of a result", 0, func() error { w.Reset(); return server.Encode(result, &w) })
	// One each: the value within the interface that is returned.
	check("Decode of a command", 1, func() error { r.Reset(command.Bytes()); _, err := server.Decode(&r); return err })
	check("Decode of a result", 1, func() error { r.Reset(reply.Bytes()); _, err := client.DecodeFor(cmd, &r); return err })
}
