package transport

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/internal/frugal"
	"github.com/cmdstream/cmdstream/wire"
)

// FuzzFramedRead wants arbitrary bytes to be read without a panic, without more
// memory than has come, and so that what was read can be sent and is the same
// again.
func FuzzFramedRead(f *testing.F) {
	f.Fuzz(func(t *testing.T, atServer bool, b []byte) {
		options := Options{Server: atServer, MaxBody: 1000, MaxSlots: 300}
		var got []Message
		// A message is about 200 bytes, made of three on the wire at least; append
		// doubles the slice that they are collected in.
		frugal.Check(t, 256<<10+2000*len(b), func() { got, _ = readAll(Framed(options), b) })
		refused := func(m Message) bool { return m.Err != nil && m.Kind != Failure }
		got = slices.DeleteFunc(got, refused)
		for i, m := range got {
			if m.Slot < 0 || m.Slot >= 300 || m.Seq < 0 || m.Timeout < 0 || m.Credit < 0 || len(m.Body) > 1000 {
				t.Fatalf("message %d is %+v", i, m)
			}
			got[i] = simplify(m)
			if got[i].Credit == 1 && m.Kind == Command {
				got[i].Credit = 0 // which means the same
			}
		}
		sender := Framed(Options{Server: !atServer, MaxBody: 1000, MaxSlots: 300})
		again, _ := readAll(Framed(options), encode(sender, got...))
		for i := range again {
			again[i] = simplify(again[i])
		}
		if !reflect.DeepEqual(again, got) && len(again)+len(got) > 0 {
			t.Fatalf("% x is read as\n%+v, sent and read again as\n%+v", b, got, again)
		}
	})
}

func FuzzFramedHello(f *testing.F) {
	f.Fuzz(func(t *testing.T, atServer bool, b []byte) {
		of := Framed(Options{Server: atServer, MaxBody: 1000, MaxSlots: 300})
		var h Hello
		var err error
		frugal.Check(t, 64<<10+4*len(b), func() { h, err = hearHello(of, b) })
		if err != nil || atServer && h.Status != OK {
			return
		}
		if h.MaxResultSize < 0 || h.RetryAfter < 0 || h.Settings.MaxCmdSize < 0 || h.Settings.MaxInFlight < 0 {
			t.Fatalf("heard as %+v", h)
		}
	})
}

func FuzzPlainRead(f *testing.F) {
	f.Fuzz(func(t *testing.T, atServer bool, b []byte) {
		var got []Message
		var err error
		frugal.Check(t, 256<<10+2000*len(b), func() { got, err = readAll(Plain(plainOptions(atServer)), b) })
		if err == nil {
			t.Fatal("the reading has no end")
		}
		for _, m := range got {
			switch {
			case m.Kind == Ping:
			case m.Seq <= 0 || m.Slot >= 3 || len(m.Value.(text)) > 100 || m.Last != (m.Kind == Result && m.Value.(base.Result).LastOne()):
				t.Fatalf("%+v was read", m)
			default:
				sent := encode(Plain(plainOptions(false)), Message{Kind: Command, Seq: m.Seq, Body: []byte(m.Value.(text))})
				if !bytes.Contains(b, sent) {
					t.Fatalf("% x is not in % x, of which it was read", sent, b)
				}
			}
		}
	})
}

// FuzzMetadata wants metadata that is taken to be sent again as the same.
func FuzzMetadata(f *testing.F) {
	f.Add([]byte("\x06tenant\x03ann\x06tenant\x03bob\x01a\x00"))
	f.Add([]byte("\x00\x00"))
	f.Add([]byte("\x01a\x05b"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m base.Metadata
		var err error
		frugal.Check(t, 16<<10+200*len(b), func() { m, err = ParseMetadata(b) })
		if err != nil {
			return
		}
		again, err := AppendMetadata(nil, m)
		if len(b) > wire.MaxMetadata {
			return
		}
		if err != nil || len(again) != len(b) {
			t.Fatalf("%v is sent again as % x, %v", m, again, err)
		}
		if got, err := ParseMetadata(again); err != nil || !reflect.DeepEqual(got, m) {
			t.Fatalf("%v is sent and read again as %v, %v", m, got, err)
		}
	})
}

func FuzzPlainHello(f *testing.F) {
	f.Add(false, []byte("\x07default"))
	f.Add(true, []byte("\x07default\x80\x80\x80\x02"))
	f.Add(false, []byte("\x81\x08"))
	f.Add(true, []byte("\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, tells bool, b []byte) {
		factory := Plain
		if tells {
			factory = PlainMaxCmdSize
		}
		var h Hello
		var err error
		frugal.Check(t, 64<<10+4*len(b), func() { h, err = hearHello(factory(plainOptions(false)), b) })
		if err != nil {
			return
		}
		if len(h.Info) > wire.MaxServerInfo || h.Settings.MaxCmdSize < 0 {
			t.Fatalf("heard as %+v", h)
		}
		again, err := factory(plainOptions(true)).AppendHello(nil, &h)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := hearHello(factory(plainOptions(false)), again); err != nil || !reflect.DeepEqual(got, h) {
			t.Fatalf("%+v is said and heard again as %+v, %v", h, got, err)
		}
	})
}
