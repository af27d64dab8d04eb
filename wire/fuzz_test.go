package wire

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/cmdstream/cmdstream/internal/frugal"
)

// sparing runs parse and wants it to allocate no more than a small factor of the
// input, whatever lengths the input claims.
func sparing(t *testing.T, b []byte, parse func()) {
	t.Helper()
	frugal.Check(t, 8<<10+2*len(b), parse)
}

// wantSame wants what was parsed to be encoded as it came.
func wantSame(t *testing.T, again, b []byte) {
	t.Helper()
	if !bytes.Equal(again, b) {
		t.Fatalf("% x is encoded again as % x", b, again)
	}
}

func FuzzParseUvarint(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		var v uint64
		var n int
		var err error
		sparing(t, b, func() { v, n, err = ParseUvarint(b) })
		if err != nil {
			return
		}
		wantSame(t, AppendUvarint(nil, v), b[:n])
	})
}

func FuzzParseHeader(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		var h Header
		var n int
		var err error
		sparing(t, b, func() { h, n, err = ParseHeader(b) })
		switch {
		case err == ErrShort && len(b) >= MaxHeader:
			t.Fatalf("%d bytes are not enough", len(b))
		case err != nil:
			return
		case h.Length > MaxPayload || n > MaxHeader:
			t.Fatalf("% x is taken as %+v in %d bytes", b, h, n)
		case h.Kind == KindPing:
			wantSame(t, []byte{Ping}, b[:n])
		default:
			wantSame(t, AppendHeader(nil, h), b[:n])
		}
	})
}

func FuzzParseExtras(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		var e Extras
		var rest []byte
		var err error
		sparing(t, b, func() { e, rest, err = ParseExtras(b) })
		if err == nil {
			wantSame(t, append(AppendExtras(nil, e), rest...), b)
		}
	})
}

func FuzzParseTotal(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		total, rest, err := ParseTotal(b)
		if err != nil {
			return
		}
		wantSame(t, append(AppendUvarint(nil, total), rest...), b)
		if uint64(len(rest)) > total {
			t.Fatalf("a chunk of %d bytes of a body of %d", len(rest), total)
		}
	})
}

func FuzzParseFailure(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		var failure Failure
		var err error
		sparing(t, b, func() { failure, err = ParseFailure(b) })
		if err == nil && len(failure.Message) <= MaxMessage {
			wantSame(t, AppendFailure(nil, failure), b)
		}
	})
}

func FuzzParseCredit(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := ParseCredit(b)
		if err == nil {
			wantSame(t, AppendUvarint(nil, n), b)
		}
	})
}

func FuzzParseGoaway(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		var g Goaway
		var err error
		sparing(t, b, func() { g, err = ParseGoaway(b) })
		if err == nil && len(g.Reason) <= MaxMessage {
			wantSame(t, AppendGoaway(nil, g), b)
		}
	})
}

func FuzzParsePrefix(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		var version byte
		var length, n int
		var err error
		sparing(t, b, func() { version, length, n, err = ParsePrefix(b) })
		switch {
		case err == ErrShort && len(b) >= HelloPrefix:
			t.Fatalf("%d bytes are not enough", len(b))
		case err == nil && length > MaxHello:
			t.Fatalf("a hello of %d bytes is taken", length)
		case err == nil:
			wantSame(t, AppendUvarint(append(Magic[:], version), uint64(length)), b[:n])
		}
	})
}

// A hello has many encodings: fields in another order, fields that are unknown,
// numbers that are 0. What it means survives being encoded again.

func FuzzParseClientHello(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		var h ClientHello
		var err error
		sparing(t, b, func() { h, err = ParseClientHello(b) })
		if err != nil || len(b) > MaxHello {
			return
		}
		hello, err := AppendClientHello(nil, h)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseClientHello(fieldsOf(t, hello)); err != nil || !reflect.DeepEqual(again, h) {
			t.Fatalf("%+v is encoded and read again as %+v, %v", h, again, err)
		}
	})
}

func FuzzParseServerHello(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		var h ServerHello
		var err error
		sparing(t, b, func() { h, err = ParseServerHello(b) })
		if err != nil || len(b) > MaxHello || len(h.Text) > MaxServerInfo {
			return
		}
		hello, err := AppendServerHello(nil, h)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseServerHello(fieldsOf(t, hello)); err != nil || !reflect.DeepEqual(again, h) {
			t.Fatalf("%+v is encoded and read again as %+v, %v", h, again, err)
		}
	})
}

func FuzzParseAck(f *testing.F) {
	f.Add([]byte{3})
	f.Add([]byte{0})
	f.Add([]byte{0xac, 2})
	f.Add([]byte{1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := ParseAck(b)
		if err == nil {
			wantSame(t, AppendUvarint(nil, n), b)
		}
	})
}

// The items of a list are read until it ends, as a reader does.

func FuzzCutClientSlot(f *testing.F) {
	f.Add([]byte("\x00\xac\x02\x02\x3e\x01\x00\x05\xad\x02\x00\x01\x00\x01"))
	f.Add([]byte("\x05\x01\x00\x01\x00\x02"))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x05\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			var s ClientSlot
			var rest []byte
			var err error
			sparing(t, b, func() { s, rest, err = CutClientSlot(b) })
			if err != nil {
				return
			}
			if n := len(b) - len(rest); n > MaxSlotItem {
				t.Fatalf("an item takes %d bytes", n)
			}
			wantSame(t, append(AppendClientSlot(nil, s), rest...), b)
			b = rest
		}
	})
}

func FuzzCutServerSlot(f *testing.F) {
	f.Add([]byte("\x00\x01\x01\x07\x05\x00"))
	f.Add([]byte("\x00\x02"))
	f.Add([]byte("\x80\x00\x00"))
	f.Add([]byte("\x07\x01\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			var s ServerSlot
			var rest []byte
			var err error
			sparing(t, b, func() { s, rest, err = CutServerSlot(b) })
			if err != nil {
				return
			}
			if n := len(b) - len(rest); n > MaxSlotItem {
				t.Fatalf("an item takes %d bytes", n)
			}
			wantSame(t, append(AppendServerSlot(nil, s), rest...), b)
			b = rest
		}
	})
}

func FuzzCutPair(f *testing.F) {
	f.Add(AppendPair(AppendPair(nil, "tenant", "ann"), "tenant", ""))
	f.Add([]byte("\x00\x01a"))
	f.Add([]byte("\x80\x02a"))
	f.Add([]byte("\x01a\x05b"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			var key, value, rest []byte
			var err error
			sparing(t, b, func() { key, value, rest, err = CutPair(b) })
			if err != nil {
				return
			}
			if len(key) == 0 || len(key) > MaxMetadataKey || len(value) > MaxMetadata {
				t.Fatalf("a pair of %d and %d bytes is taken", len(key), len(value))
			}
			wantSame(t, append(AppendPair(nil, string(key), string(value)), rest...), b)
			b = rest
		}
	})
}
