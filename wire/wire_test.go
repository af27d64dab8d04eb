package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"testing"
)

func TestUvarint(t *testing.T) {
	for _, test := range []struct {
		v     uint64
		bytes []byte
	}{
		{0, []byte{0}},
		{1, []byte{1}},
		{127, []byte{0x7f}},
		{128, []byte{0x80, 1}},
		{300, []byte{0xac, 2}},
		{16383, []byte{0xff, 0x7f}},
		{16384, []byte{0x80, 0x80, 1}},
		{math.MaxUint32, []byte{0xff, 0xff, 0xff, 0xff, 0x0f}},
		{math.MaxUint64, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}},
	} {
		if got := AppendUvarint(nil, test.v); !bytes.Equal(got, test.bytes) {
			t.Errorf("%d is encoded as % x, want % x", test.v, got, test.bytes)
		}
		if v, n, err := ParseUvarint(append(test.bytes, 0xff)); v != test.v || n != len(test.bytes) || err != nil {
			t.Errorf("% x is read as %d in %d bytes, %v", test.bytes, v, n, err)
		}
		for cut := range test.bytes {
			if _, n, err := ParseUvarint(test.bytes[:cut]); n != 0 || !errors.Is(err, ErrShort) {
				t.Errorf("the first %d bytes of % x: %d bytes taken, %v", cut, test.bytes, n, err)
			}
		}
	}
}

func TestUvarintRefused(t *testing.T) {
	full := bytes.Repeat([]byte{0xff}, 9)
	for name, test := range map[string]struct {
		bytes []byte
		rule  string
	}{
		"a zero of two bytes":       {[]byte{0x80, 0}, "longer than it need be"},
		"a one of two bytes":        {[]byte{0x81, 0}, "longer than it need be"},
		"zeros to the end":          {append(bytes.Repeat([]byte{0x80}, 9), 0), "longer than it need be"},
		"65 bits":                   {append(full, 2), "overflows"},
		"an eleventh byte":          {append(full, 0x81, 0), "overflows"},
		"a tenth byte that is full": {append(full, 0x7f), "overflows"},
	} {
		for _, more := range []int{0, 1, 8} { // bytes that follow
			v, n, err := ParseUvarint(append(test.bytes, make([]byte, more)...))
			if v != 0 || n != 0 {
				t.Errorf("%s: read as %d in %d bytes", name, v, n)
			}
			wantRule(t, err, test.rule)
		}
	}
}

func TestUvarintLikeStandardLibrary(t *testing.T) {
	r := random(t)
	for range 10_000 {
		v := someNumber(r)
		want := binary.AppendUvarint(nil, v)
		if got := AppendUvarint(nil, v); !bytes.Equal(got, want) {
			t.Fatalf("%d is encoded as % x, want % x", v, got, want)
		}
		for _, more := range [][]byte{nil, {0xff}, bytes.Repeat([]byte{0}, 8), bytes.Repeat([]byte{0xff}, 8)} {
			if got, n, err := ParseUvarint(append(want, more...)); got != v || n != len(want) || err != nil {
				t.Fatalf("% x and % x is read as %d in %d bytes, %v", want, more, got, n, err)
			}
		}
	}
}

func TestRuleError(t *testing.T) {
	err := broken("a varint of %d bytes", 11)
	if got, want := err.Error(), "wire: a varint of 11 bytes"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
