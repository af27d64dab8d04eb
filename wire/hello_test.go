package wire

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// fieldsOf takes the prefix off a hello.
func fieldsOf(t *testing.T, hello []byte) []byte {
	t.Helper()
	version, length, n, err := ParsePrefix(hello)
	if err != nil || version != Version || length != len(hello)-n {
		t.Fatalf("the prefix of % x is version %d and %d bytes, %v", hello, version, length, err)
	}
	return hello[n:]
}

func TestClientHello(t *testing.T) {
	for _, test := range []struct {
		hello ClientHello
		bytes string
	}{
		{ClientHello{}, "\xc5cmd\x01\x00"},
		{ClientHello{MaxResultSize: 4 << 20}, "\xc5cmd\x01\x06\x05\x04\x80\x80\x80\x02"},
		{
			ClientHello{Session: &Session{Resume: true, ID: SessionID{7}, Epoch: 9}, Features: 1, Info: []byte("me"), Credentials: []byte{}, MaxResultSize: 1, Compressions: []uint64{2, 300}},
			"\xc5cmd\x01\x25\x01\x12\x02\x07" + strings.Repeat("\x00", 15) + "\x09\x02\x01\x01\x03\x02me\x04\x00\x05\x01\x01\x06\x03\x02\xac\x02",
		},
	} {
		got, err := AppendClientHello(nil, test.hello)
		if string(got) != test.bytes || err != nil {
			t.Errorf("%+v is encoded as %q, %v, want %q", test.hello, got, err, test.bytes)
		}
		if h, err := ParseClientHello(fieldsOf(t, []byte(test.bytes))); !reflect.DeepEqual(h, test.hello) || err != nil {
			t.Errorf("%q is read as %+v, %v", test.bytes, h, err)
		}
	}
}

func TestServerHello(t *testing.T) {
	for _, test := range []struct {
		hello ServerHello
		bytes string
	}{
		{
			ServerHello{Info: []byte("default"), MaxCmdSize: 4 << 20, MaxInFlight: 16384},
			"\xc5cmd\x01\x1a\x01\x02\x00\x00\x03\x07default\x04\x0b\x01\x04\x80\x80\x80\x02\x02\x03\x80\x80\x01",
		},
		{
			ServerHello{Status: StatusFull, RetryAfter: 500, Text: "64 clients"},
			"\xc5cmd\x01\x0f\x01\x0d\x01\xf4\x0364 clients",
		},
		{
			ServerHello{Features: 3, Catalogue: []byte{9}},
			"\xc5cmd\x01\x0a\x01\x02\x00\x00\x02\x01\x03\x05\x01\x09",
		},
	} {
		got, err := AppendServerHello(nil, test.hello)
		if string(got) != test.bytes || err != nil {
			t.Errorf("%+v is encoded as %q, %v, want %q", test.hello, got, err, test.bytes)
		}
		if h, err := ParseServerHello(fieldsOf(t, []byte(test.bytes))); !reflect.DeepEqual(h, test.hello) || err != nil {
			t.Errorf("%q is read as %+v, %v", test.bytes, h, err)
		}
	}
}

// A later version of either side may say more than this one knows.
func TestUnknownFieldsAreSkipped(t *testing.T) {
	unknown := appendBytes(appendBytes(nil, 63, []byte("?")), 1<<40, []byte("??"))
	if h, err := ParseClientHello(append(unknown, 3, 2, 'm', 'e')); string(h.Info) != "me" || err != nil {
		t.Errorf("read as %+v, %v", h, err)
	}
	settings := append(appendNumber(nil, tagMaxCmdSize, 9), unknown...)
	server := appendBytes(append(unknown, 1, 2, 0, 0), tagSettings, settings)
	if h, err := ParseServerHello(server); h.MaxCmdSize != 9 || err != nil {
		t.Errorf("read as %+v, %v", h, err)
	}
}

func TestHelloRefused(t *testing.T) {
	client := func(b []byte) error { _, err := ParseClientHello(b); return err }
	server := func(b []byte) error { _, err := ParseServerHello(b); return err }
	for name, test := range map[string]struct {
		parse func([]byte) error
		bytes []byte
		rule  string
	}{
		"half a tag":                 {client, []byte{0x80}, "in the middle of the hello"},
		"a tag alone":                {client, []byte{3}, "in the middle of the field"},
		"a field beyond the end":     {client, []byte{3, 2, 'm'}, "in the middle of the field"},
		"a field beyond the limit":   {client, []byte{3, 0x81, 0x40}, "has 8193 bytes, the limit is 8192"},
		"a known field twice":        {client, []byte{3, 0, 3, 0}, "field 3 stands twice"},
		"an unknown field twice":     {client, []byte{40, 0, 40, 0}, "field 40 stands twice"},
		"an empty number":            {client, []byte{2, 0}, "in the middle of the number"},
		"a number with a tail":       {client, []byte{5, 2, 1, 1}, "followed by more bytes"},
		"an overlong number":         {client, []byte{5, 2, 0x81, 0}, "longer than it need be"},
		"no status":                  {server, []byte{3, 0}, "has no status"},
		"nothing at all":             {server, nil, "has no status"},
		"an empty status":            {server, []byte{1, 0}, "status is empty"},
		"a status without the rest":  {server, []byte{1, 1, 0}, "in the middle of the retry-after"},
		"a long ServerInfo":          {server, append([]byte{1, 2, 0, 0, 3, 0x81, 8}, make([]byte, 1025)...), "the ServerInfo has 1025 bytes, the limit is 1024"},
		"a setting twice":            {server, []byte{1, 2, 0, 0, 4, 6, 1, 1, 1, 1, 1, 1}, "field 1 stands twice"},
		"a broken setting":           {server, []byte{1, 2, 0, 0, 4, 2, 1, 0}, "in the middle of the number"},
		"broken features, at server": {server, []byte{2, 0}, "in the middle of the number"},
	} {
		t.Run(name, func(t *testing.T) { wantRule(t, test.parse(test.bytes), test.rule) })
	}
}

func TestHelloTooLarge(t *testing.T) {
	before := []byte("before")
	got, err := AppendClientHello(before, ClientHello{Info: make([]byte, MaxHello)})
	if err == nil || !bytes.Equal(got, before) {
		t.Errorf("a large client hello: %q, %v", got, err)
	}
	got, err = AppendServerHello(before, ServerHello{Info: make([]byte, MaxServerInfo+1)})
	if err == nil || !bytes.Equal(got, before) {
		t.Errorf("a large ServerInfo: %q, %v", got, err)
	}
	got, err = AppendServerHello(nil, ServerHello{Status: StatusRefused, Text: strings.Repeat("a", MaxHello), Info: make([]byte, MaxServerInfo)})
	if err != nil {
		t.Fatalf("a long text: %v", err)
	}
	if h, err := ParseServerHello(fieldsOf(t, got)); len(h.Text) != MaxServerInfo || err != nil {
		t.Errorf("a long text comes back as %d bytes, %v", len(h.Text), err)
	}
}

func TestPrefix(t *testing.T) {
	whole := []byte("\xc5cmd\x01\x80\x40") // the longest hello there is
	if version, length, n, err := ParsePrefix(whole); version != 1 || length != MaxHello || n != HelloPrefix || err != nil {
		t.Errorf("read as version %d, %d bytes, after %d, %v", version, length, n, err)
	}
	for cut := range whole {
		if _, _, _, err := ParsePrefix(whole[:cut]); !errors.Is(err, ErrShort) {
			t.Errorf("the first %d bytes: %v", cut, err)
		}
	}
	if version, _, _, err := ParsePrefix([]byte("\xc5cmd\xff\x00")); version != 255 || err != nil {
		t.Errorf("another version is read as %d, %v", version, err)
	}
	for name, test := range map[string]struct{ bytes, rule string }{
		"a long hello":           {"\xc5cmd\x01\x81\x40", "has 8193 bytes, the limit is 8192"},
		"a length of many bytes": {"\xc5cmd\x01\x80\x80", "more bytes than the limit of 8192"},
		"an overlong length":     {"\xc5cmd\x01\x81\x00", "longer than it need be"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, _, err := ParsePrefix([]byte(test.bytes))
			wantRule(t, err, test.rule)
		})
	}
}

// Whoever connected the wrong two ports should read so in the error.
func TestForeignPeerIsNamed(t *testing.T) {
	for opening, name := range map[string]string{
		"GET / HTTP/1.1\r\n":    "looks like HTTP",
		"POST /v1 HTTP/1.1\r\n": "looks like HTTP",
		"OPT":                   "looks like HTTP",
		"HTTP/1.1 400 Bad":      "an HTTP server",
		"PRI * HTTP/2.0\r\n":    "HTTP/2",
		"\x16\x03\x01\x02\x00":  "TLS (a TLS client on a plain port?)",
		"\x15\x03\x03\x00\x02":  "a TLS alert",
		"SSH-2.0-OpenSSH_9.6":   "SSH",
		"\x07default":           "the plain wire (is only one side set to transport.Plain?)",
		"\x00":                  "it opens with 00",
		"\xc5cmx":               "it opens with c5 63 6d 78",
		"\xc5X":                 "it opens with c5 58",
	} {
		_, _, _, err := ParsePrefix([]byte(opening))
		wantRule(t, err, name)
	}
}

func TestHelloRoundTrip(t *testing.T) {
	r := random(t)
	maybe := func(longest int) []byte {
		if r.IntN(2) == 0 {
			return nil
		}
		return someBytes(r, longest)
	}
	for range 3000 {
		c := ClientHello{Session: someSession(r), Features: someNumber(r), Info: maybe(100), Credentials: maybe(100), MaxResultSize: someNumber(r)}
		b, err := AppendClientHello(nil, c)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseClientHello(fieldsOf(t, b)); !reflect.DeepEqual(got, c) || err != nil {
			t.Fatalf("%+v comes back as %+v, %v", c, got, err)
		}
		s := ServerHello{
			Status: Status(r.IntN(256)), RetryAfter: someNumber(r), Text: string(someBytes(r, 100)), Features: someNumber(r),
			Info: maybe(100), MaxCmdSize: someNumber(r), MaxInFlight: someNumber(r), Catalogue: maybe(100),
			SessionTime: someNumber(r), Compression: someNumber(r),
		}
		if b, err = AppendServerHello(nil, s); err != nil {
			t.Fatal(err)
		}
		if got, err := ParseServerHello(fieldsOf(t, b)); !reflect.DeepEqual(got, s) || err != nil {
			t.Fatalf("%+v comes back as %+v, %v", s, got, err)
		}
	}
}

func someSession(r *rand.Rand) *Session {
	if r.IntN(2) == 0 {
		return nil
	}
	s := &Session{Resume: r.IntN(2) == 0, Epoch: someNumber(r) | 1}
	for i := range s.ID {
		s.ID[i] = byte(r.Uint32())
	}
	return s
}
