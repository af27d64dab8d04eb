//go:build !race

package mus_test

import (
	"bytes"
	"testing"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

func TestAllocations(t *testing.T) {
	v := [2]any{new(1000), new("text")}
	var data [2][]byte
	for i := range v {
		var err error
		if data[i], err = format.Append(nil, v[i]); err != nil {
			t.Fatal(err)
		}
	}
	codec := newCodec()
	client, server := codec.Client(), codec.Server()
	var cmd base.Cmd[calc] = &echoCmd{"text"}
	var command transport.Buffer
	if err := client.Encode(cmd, &command); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 0, 100)
	var body transport.Body
	var stream bytes.Reader
	var w transport.Buffer
	for _, test := range []struct {
		name   string
		budget float64
		f      func() error
	}{
		{"Append of an int", 0, func() error { _, err := format.Append(buffer, v[0]); return err }},
		{"Append of a string", 0, func() error { _, err := format.Append(buffer, v[1]); return err }},
		{"Unmarshal of an int", 0, func() error { return format.Unmarshal(data[0], v[0]) }},
		// What mus-stream-go reads a string into, and the string.
		{"Unmarshal of a string", 2, func() error { return format.Unmarshal(data[1], v[1]) }},
		{"Encode of a command", 0, func() error { w.Reset(); return client.Encode(cmd, &w) }},
		// The string as above, the command, and the place for the pointer to it.
		{"Decode of a body", 4, func() error { body.Set(command.B); _, err := server.Decode(&body); return err }},
		// And what skips a string in a stream.
		{"Decode from a stream", 5, func() error { stream.Reset(command.B); _, err := server.Decode(&stream); return err }},
	} {
		got := testing.AllocsPerRun(200, func() {
			if err := test.f(); err != nil {
				t.Fatal(err)
			}
		})
		if got > test.budget {
			t.Errorf("%s: %v allocations, want at most %v", test.name, got, test.budget)
		}
	}
}
