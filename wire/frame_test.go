package wire

import (
	"bytes"
	"errors"
	"testing"
)

func TestHeader(t *testing.T) {
	for _, test := range []struct {
		header Header
		bytes  []byte
	}{
		{Header{Kind: KindCommand}, []byte{0x10, 0, 0}},
		{Header{Kind: KindCommand, Flags: FlagMore | FlagExtras, Slot: 127, Length: 127}, []byte{0x13, 0x7f, 0x7f}},
		{Header{Kind: KindResult, Flags: FlagLast, Slot: 5, Length: 32}, []byte{0x24, 5, 32}},
		{Header{Kind: KindFailure, Slot: 128, Length: 3}, []byte{0x30, 0x80, 1, 3}},
		{Header{Kind: KindCancel, Slot: 300}, []byte{0x40, 0xac, 2, 0}},
		{Header{Kind: KindResult, Slot: 1<<14 - 1, Length: 127}, []byte{0x20, 0xff, 0x7f, 0x7f}},
		{Header{Kind: KindResult, Slot: 1<<14 - 1, Length: 128}, []byte{0x20, 0xff, 0x7f, 0x80, 1}},
		{Header{Kind: KindResult, Slot: 1 << 14, Length: 127}, []byte{0x20, 0x80, 0x80, 1, 0x7f}},
		{Header{Kind: KindCredit, Slot: 1, Length: 1}, []byte{0x50, 1, 1}},
		{Header{Kind: KindInput, Flags: FlagMore | FlagLast, Slot: 1, Length: MaxPayload}, []byte{0x65, 1, 0x80, 0x80, 4}},
		{Header{Kind: KindAck, Slot: 1, Length: 1}, []byte{0x70, 1, 1}},
		{Header{Kind: KindResume, Flags: FlagLast, Length: 9}, []byte{0x84, 0, 9}},
		{Header{Kind: KindGoaway, Length: 1}, []byte{0x90, 0, 1}},
	} {
		if got := AppendHeader(nil, test.header); !bytes.Equal(got, test.bytes) {
			t.Errorf("%+v is encoded as % x, want % x", test.header, got, test.bytes)
		}
		// What follows the header must not matter, nor that nothing does.
		for _, b := range [][]byte{test.bytes, append(test.bytes, 0xff, 0xff, 0xff)} {
			if h, n, err := ParseHeader(b); h != test.header || n != len(test.bytes) || err != nil {
				t.Errorf("% x is read as %+v in %d bytes, %v", b, h, n, err)
			}
		}
		for cut := range test.bytes {
			if _, n, err := ParseHeader(test.bytes[:cut]); n != 0 || !errors.Is(err, ErrShort) {
				t.Errorf("the first %d bytes of % x: %d bytes taken, %v", cut, test.bytes, n, err)
			}
		}
	}
}

func TestPingIsOneByte(t *testing.T) {
	for _, b := range [][]byte{{Ping}, {Ping, 0x10, 0, 0}} {
		if h, n, err := ParseHeader(b); h != (Header{}) || n != 1 || err != nil {
			t.Errorf("% x is read as %+v in %d bytes, %v", b, h, n, err)
		}
	}
}

func TestHeaderRefused(t *testing.T) {
	for name, test := range map[string]struct {
		bytes []byte
		rule  string
	}{
		"a ping with flags":        {[]byte{0x01}, "unknown kind"},
		"the kind after the last":  {[]byte{0xa0, 0, 0}, "unknown kind"},
		"the last kind there is":   {[]byte{0xf7, 0, 0}, "unknown kind"},
		"extras of a result":       {[]byte{0x22, 0, 0}, "a frame of kind result has flags"},
		"last of a command":        {[]byte{0x14, 0, 0}, "a frame of kind command has flags"},
		"the fourth flag":          {[]byte{0x38, 0, 0}, "a frame of kind failure has flags"},
		"more of a failure":        {[]byte{0x31, 0, 0}, "a frame of kind failure has flags"},
		"more of a cancel":         {[]byte{0x41, 0, 0}, "a frame of kind cancel has flags"},
		"last of a goaway":         {[]byte{0x94, 0, 0}, "a frame of kind goaway has flags"},
		"an overlong slot":         {[]byte{0x10, 0x80, 0, 0}, "longer than it need be"},
		"an overlong length":       {[]byte{0x10, 0, 0x81, 0}, "longer than it need be"},
		"an overflowing slot":      {append([]byte{0x10}, bytes.Repeat([]byte{0xff}, 11)...), "overflows"},
		"a length above the limit": {[]byte{0x10, 0, 0x81, 0x80, 4}, "has 65537 bytes, the limit is 65536"},
		"an enormous length":       {[]byte{0x10, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, "the limit is 65536"},
	} {
		for _, b := range [][]byte{test.bytes, append(test.bytes, 1, 1, 1)} { // with what follows it
			if _, n, err := ParseHeader(b); n != 0 {
				t.Errorf("%s: %d bytes taken of % x", name, n, b)
			} else {
				wantRule(t, err, test.rule)
			}
		}
	}
}

// A reader that has MaxHeader bytes never has to wait for more of them.
func TestMaxHeaderIsEnough(t *testing.T) {
	longest := append([]byte{0x10}, bytes.Repeat([]byte{0xff}, MaxHeader-1)...)
	longest[10] = 1 // the slot's last byte
	if _, _, err := ParseHeader(longest); errors.Is(err, ErrShort) {
		t.Errorf("% x asks for more", longest)
	}
}

func TestHeaderRoundTrip(t *testing.T) {
	r := random(t)
	for range 10_000 {
		h := Header{Kind: Kind(1 + r.IntN(int(kindEnd)-1)), Slot: someNumber(r), Length: r.IntN(MaxPayload + 1)}
		h.Flags = flagsOf[h.Kind] & Flags(r.IntN(16))
		b := AppendHeader([]byte("before"), h)
		if got, n, err := ParseHeader(b[6:]); got != h || n != len(b)-6 || err != nil {
			t.Fatalf("%+v comes back as %+v in %d of %d bytes, %v", h, got, n, len(b)-6, err)
		}
	}
}

func TestKindNames(t *testing.T) {
	for k := KindPing; k < kindEnd; k++ {
		if k.String() == "" || k.String() == kindEnd.String() {
			t.Errorf("kind %d has no name", k)
		}
	}
	if got := Kind(15).String(); got != "unknown kind" {
		t.Errorf("kind 15 is called %q", got)
	}
}
