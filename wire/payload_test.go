package wire

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestExtras(t *testing.T) {
	for _, test := range []struct {
		extras Extras
		bytes  []byte
	}{
		{Extras{}, nil},
		{Extras{Seq: 300}, []byte{1, 0xac, 2}},
		{Extras{Timeout: 1}, []byte{2, 1}},
		{Extras{Credit: 16}, []byte{4, 16}},
		{Extras{Metadata: AppendPair(nil, "k", "v")}, []byte{8, 4, 1, 'k', 1, 'v'}},
		{Extras{Metadata: []byte{}}, []byte{8, 0}},
		{Extras{Origin: &Origin{Session: SessionID{7, 15: 8}, Seq: 300}}, []byte{16, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0xac, 2}},
		{Extras{Seq: 1, Timeout: 2, Credit: 3, Metadata: AppendPair(nil, "k", "")}, []byte{15, 1, 2, 3, 3, 1, 'k', 0}},
	} {
		got := AppendExtras([]byte("x"), test.extras)[1:]
		if !bytes.Equal(got, test.bytes) {
			t.Errorf("%+v is encoded as % x, want % x", test.extras, got, test.bytes)
		}
		if len(test.bytes) == 0 {
			continue
		}
		e, rest, err := ParseExtras(append(test.bytes, "body"...))
		if !reflect.DeepEqual(e, test.extras) || string(rest) != "body" || err != nil {
			t.Errorf("% x is read as %+v with the body %q, %v", test.bytes, e, rest, err)
		}
		for cut := range test.bytes {
			_, _, err := ParseExtras(test.bytes[:cut])
			wantRule(t, err, "") // the payload is all there is: no asking for more
		}
	}
}

func TestExtrasRefused(t *testing.T) {
	for name, test := range map[string]struct {
		bytes []byte
		rule  string
	}{
		"none":                      {[]byte{}, "cut off"},
		"no bit":                    {[]byte{0}, "open with byte 0x00"},
		"an unknown bit":            {[]byte{0x21, 1}, "open with byte 0x21"},
		"an empty key":              {[]byte{8, 2, 0, 0}, "key of the metadata is empty"},
		"a key that is too long":    {append([]byte{8, 0x83, 2, 0x80, 2}, make([]byte, 257)...), "key of the metadata has 256 bytes"},
		"a key without a value":     {[]byte{8, 2, 1, 'k'}, "in the middle of the value"},
		"a short origin":            {make([]byte, 16), "open with byte 0x00"},
		"an origin that ends":       {append([]byte{16}, make([]byte, 15)...), "in the middle of the origin"},
		"an origin without a seq":   {append([]byte{16}, make([]byte, 17)...), "the seq of a command's origin is 0"},
		"a seq of zero":             {[]byte{1, 0}, "carries a zero"},
		"a timeout of zero":         {[]byte{2, 0}, "carries a zero"},
		"a credit of zero":          {[]byte{4, 0}, "carries a zero"},
		"an overlong seq":           {[]byte{1, 0x81, 0}, "longer than it need be"},
		"metadata beyond the frame": {[]byte{8, 3, 'a', 'b'}, "in the middle of the metadata"},
		"metadata beyond a limit":   {append([]byte{8}, AppendUvarint(nil, math.MaxUint64)...), "the metadata has 18446744073709551615 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := ParseExtras(test.bytes)
			wantRule(t, err, test.rule)
		})
	}
}

func TestExtrasRoundTrip(t *testing.T) {
	r := random(t)
	for range 10_000 {
		var e Extras
		for _, field := range []*uint64{&e.Seq, &e.Timeout, &e.Credit} {
			if r.IntN(2) == 0 {
				*field = someNumber(r)
			}
		}
		if r.IntN(4) == 0 {
			e.Metadata = AppendPair(AppendPair(nil, "key", string(someBytes(r, 20))), "another", "")
		}
		if r.IntN(4) == 0 {
			e.Origin = &Origin{Session: SessionID(append(someBytes(r, 20), make([]byte, 16)...)), Seq: someNumber(r)>>1 | 1}
		}
		body := someBytes(r, 20)
		b := AppendExtras(nil, e)
		if len(b) == 0 {
			continue
		}
		got, rest, err := ParseExtras(append(b, body...))
		if !reflect.DeepEqual(got, e) || !bytes.Equal(rest, body) || err != nil {
			t.Fatalf("%+v comes back as %+v, %v", e, got, err)
		}
	}
}

func TestTotal(t *testing.T) {
	total, rest, err := ParseTotal([]byte{0xac, 2, 'a', 'b'})
	if total != 300 || string(rest) != "ab" || err != nil {
		t.Errorf("read as %d with %q, %v", total, rest, err)
	}
	if total, rest, err = ParseTotal([]byte{2, 'a', 'b'}); total != 2 || string(rest) != "ab" || err != nil {
		t.Errorf("read as %d with %q, %v", total, rest, err)
	}
	_, _, err = ParseTotal(nil)
	wantRule(t, err, "in the middle of the total size")
	_, _, err = ParseTotal([]byte{1, 'a', 'b'})
	wantRule(t, err, "a first chunk holds 2 bytes of 1")
}

func TestFailure(t *testing.T) {
	f := Failure{Outcome: 2, Code: "busy", RetryAfter: 250, Message: "too many"}
	want := []byte("\x02\x04busy\xfa\x01too many")
	if got := AppendFailure(nil, f); !bytes.Equal(got, want) {
		t.Errorf("encoded as %q, want %q", got, want)
	}
	if got, err := ParseFailure(want); got != f || err != nil {
		t.Errorf("read as %+v, %v", got, err)
	}
	if got, err := ParseFailure([]byte{0, 0, 0}); got != (Failure{}) || err != nil {
		t.Errorf("the shortest failure is read as %+v, %v", got, err)
	}
}

func TestFailureRefused(t *testing.T) {
	for name, test := range map[string]struct {
		bytes []byte
		rule  string
	}{
		"nothing":                {nil, "a failure is empty"},
		"an outcome alone":       {[]byte{2}, "in the middle of the code"},
		"half a code":            {[]byte("\x02\x04bu"), "in the middle of the code"},
		"a code above the limit": {append([]byte{2, MaxCode + 1}, strings.Repeat("a", 100)...), "has 65 bytes, the limit is 64"},
		"no retry-after":         {[]byte("\x02\x04busy"), "in the middle of the retry-after"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseFailure(test.bytes)
			wantRule(t, err, test.rule)
		})
	}
}

// A sender cuts what is too long rather than be refused, and splits no rune.
func TestFailureIsCut(t *testing.T) {
	f := Failure{Code: strings.Repeat("c", MaxCode+1), Message: strings.Repeat("a", MaxMessage-1) + "…"}
	got, err := ParseFailure(AppendFailure(nil, f))
	if err != nil {
		t.Fatal(err)
	}
	if got.Code != strings.Repeat("c", MaxCode) {
		t.Errorf("the code has %d bytes", len(got.Code))
	}
	if got.Message != strings.Repeat("a", MaxMessage-1) {
		t.Errorf("the message has %d bytes and ends in %q", len(got.Message), got.Message[len(got.Message)-3:])
	}
}

func TestCut(t *testing.T) {
	for _, test := range []struct {
		s     string
		limit int
		want  string
	}{
		{"abc", 3, "abc"},
		{"abcd", 3, "abc"},
		{"ab…", 4, "ab"},
		{"ab…c", 5, "ab…"},
		{"\U0001f600", 3, ""},
		{strings.Repeat("\x80", 20), 10, strings.Repeat("\x80", 10)}, // no UTF-8: nothing to keep whole
	} {
		if got := cut(test.s, test.limit); got != test.want {
			t.Errorf("%q cut to %d bytes is %q, want %q", test.s, test.limit, got, test.want)
		}
	}
	r := random(t)
	for range 1000 {
		s, limit := strings.Repeat("aß…\U0001f600", 1+r.IntN(5)), r.IntN(20)
		if got := cut(s, limit); len(got) > limit || !utf8.ValidString(got) || len(got) < min(len(s), limit-3) {
			t.Fatalf("%q cut to %d bytes is %q", s, limit, got)
		}
	}
}

func TestCredit(t *testing.T) {
	if n, err := ParseCredit([]byte{0xac, 2}); n != 300 || err != nil {
		t.Errorf("read as %d, %v", n, err)
	}
	for name, b := range map[string][]byte{"zero": {0}, "more than one": {1, 1}} {
		if _, err := ParseCredit(b); err == nil {
			t.Errorf("%s is taken", name)
		} else {
			wantRule(t, err, "no count, or more than one")
		}
	}
	_, err := ParseCredit(nil)
	wantRule(t, err, "in the middle of the credit")
}

func TestGoaway(t *testing.T) {
	g := Goaway{RetryAfter: 500, Reason: "maintenance"}
	want := []byte("\xf4\x03maintenance")
	if got := AppendGoaway(nil, g); !bytes.Equal(got, want) {
		t.Errorf("encoded as %q, want %q", got, want)
	}
	if got, err := ParseGoaway(want); got != g || err != nil {
		t.Errorf("read as %+v, %v", got, err)
	}
	_, err := ParseGoaway(nil)
	wantRule(t, err, "in the middle of the retry-after")
	long := AppendGoaway(nil, Goaway{Reason: strings.Repeat("a", MaxMessage+1)})
	if len(long) != 1+MaxMessage {
		t.Errorf("a long reason makes a goaway of %d bytes", len(long))
	}
}
