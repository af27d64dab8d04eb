package codec_test

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"

	"github.com/cmdstream/cmdstream/base"
)

// wantKnownError accepts what a Decode may say of bytes: a judgement, or that
// they ended.
func wantKnownError(t *testing.T, err error, outcome base.Outcome) {
	t.Helper()
	var e *base.Error
	if errors.As(err, &e) {
		if e.Outcome != outcome || e.Code == "" {
			t.Errorf("the error %v has the outcome %v and the code %q", err, e.Outcome, e.Code)
		}
		return
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v (%T)", err, err)
	}
}

func FuzzServerDecode(f *testing.F) {
	f.Add([]byte("\x01\x0d" + `{"A":1,"B":2}`))
	f.Add([]byte("\x07\x04null"))
	f.Add([]byte("\x4d\x04body"))
	f.Add([]byte("\x80\x00"))
	set := jsonSet()
	set.Limit(1 << 20)
	client, server := set.Client(), set.Server()
	f.Fuzz(func(t *testing.T, wire []byte) {
		cmd, err := server.Decode(bytes.NewReader(wire))
		if err != nil {
			wantKnownError(t, err, base.Rejected)
			return
		}
		// What was taken can be sent, and is the same again.
		var again bytes.Buffer
		if err := client.Encode(cmd, &again); err != nil {
			t.Fatalf("%#v can't be sent: %v", cmd, err)
		}
		got, err := server.Decode(&again)
		if err != nil || !reflect.DeepEqual(got, cmd) {
			t.Fatalf("got %#v, %v, want %#v", got, err, cmd)
		}
	})
}

func FuzzClientDecode(f *testing.F) {
	f.Add(byte(0), []byte("\x0342"))
	f.Add(byte(7), []byte("\x00"))
	f.Add(byte(3), []byte("\x05null"))
	f.Add(byte(1), []byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"))
	set := jsonSet()
	set.Limit(1 << 20)
	client, server := set.Client(), set.Server()
	commands := []base.Cmd[calc]{
		unary(add{}), unary(sub{}), unary(move{}), unary(find{}), unary(split{}),
		unary(tally{}), unary(&byPointer{}), stream(count{}), unary(both{}), stream(both{}),
	}
	f.Fuzz(func(t *testing.T, which byte, wire []byte) {
		cmd := commands[int(which)%len(commands)]
		r := bytes.NewReader(wire)
		result, err := client.DecodeFor(cmd, r)
		if err != nil {
			wantKnownError(t, err, base.Failed)
			return
		}
		// A client that doesn't know the command skips just as far.
		skipped := bytes.NewReader(wire)
		if _, err := client.Decode(skipped); !errors.Is(err, base.ErrUnsupported) || skipped.Len() != r.Len() {
			t.Fatalf("Decode left %d bytes with %v, DecodeFor left %d", skipped.Len(), err, r.Len())
		}
		var again bytes.Buffer
		if err := server.Encode(result, &again); err != nil {
			t.Fatalf("%#v can't be sent: %v", result, err)
		}
		got, err := client.DecodeFor(cmd, &again)
		if err != nil || !reflect.DeepEqual(got, result) {
			t.Fatalf("got %#v, %v, want %#v", got, err, result)
		}
	})
}
