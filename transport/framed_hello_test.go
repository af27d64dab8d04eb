package transport

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
	"reflect"
	"testing"
	"testing/iotest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/wire"
)

func hearHello(of Transport, b []byte) (h Hello, err error) {
	err = of.ReadHello(bufio.NewReader(bytes.NewReader(b)), &h)
	return h, err
}

func TestFramedHello(t *testing.T) {
	for _, test := range []struct {
		from, to Transport
		hello    Hello
	}{
		{framedClient(), framedServer(), Hello{}},
		{framedClient(), framedServer(), Hello{Info: []byte("me"), MaxResultSize: 100}},
		{framedServer(), framedClient(), Hello{Info: []byte("default"), Settings: ServerSettings{MaxCmdSize: 5, MaxInFlight: 6}}},
		{framedServer(), framedClient(), Hello{Status: Full, RetryAfter: time.Second, Text: "full"}},
	} {
		b, err := test.from.AppendHello(nil, &test.hello)
		if err != nil {
			t.Fatal(err)
		}
		var got Hello
		r := bufio.NewReader(iotest.OneByteReader(bytes.NewReader(append(b, 0))))
		if err := test.to.ReadHello(r, &got); err != nil || !reflect.DeepEqual(got, test.hello) {
			t.Errorf("%+v came as %+v, %v", test.hello, got, err)
		}
		if next, err := r.ReadByte(); next != 0 || err != nil {
			t.Errorf("more than the hello was read: %v", err)
		}
		for cut := range b {
			want := io.ErrUnexpectedEOF
			if cut == 0 {
				want = io.EOF
			}
			if _, err := hearHello(test.to, b[:cut]); err != want {
				t.Errorf("cut after %d bytes: %v, want %v", cut, err, want)
			}
		}
	}
}

func TestFramedHelloStatusesAreTheWires(t *testing.T) {
	for here, there := range map[Status]wire.Status{
		OK: wire.StatusOK, Full: wire.StatusFull, Draining: wire.StatusDraining, Version: wire.StatusVersion,
		Unauthorized: wire.StatusUnauthorized, StaleEpoch: wire.StatusStaleEpoch,
		SessionLost: wire.StatusSessionLost, Refused: wire.StatusRefused,
	} {
		if uint8(here) != uint8(there) {
			t.Errorf("status %d is %d on the wire", here, there)
		}
	}
}

func TestFramedHelloOfAnotherVersion(t *testing.T) {
	other := append(append(wire.Magic[:], 9), 2, 3, 0)
	h, err := hearHello(framedServer(), other)
	if h.Status != Version || err != nil || h.Text == "" {
		t.Errorf("the server hears %+v, %v", h, err)
	}
	// A server of another version that says OK can't be talked to; one that
	// refuses says why.
	_, err = hearHello(framedClient(), append(append(wire.Magic[:], 9), 4, 1, 2, 0, 0))
	wantCode(t, err, base.ErrVersion)
	if got := base.OutcomeOf(err); got != base.NotSent {
		t.Errorf("the outcome is %v", got)
	}
	h, err = hearHello(framedClient(), append(append(wire.Magic[:], 9), 4, 1, 2, 3, 0))
	if h.Status != Version || err != nil {
		t.Errorf("the client hears %+v, %v", h, err)
	}
}

func TestFramedHelloRules(t *testing.T) {
	for name, test := range map[string]struct {
		to    Transport
		bytes string
		rule  string
	}{
		"HTTP":                     {framedServer(), "GET / HTTP/1.1\r\n\r\n", "HTTP"},
		"TLS":                      {framedServer(), "\x16\x03\x01\x02\x00\x01", "TLS"},
		"a TLS alert":              {framedClient(), "\x15\x03\x03\x00\x02\x02\x46", "TLS alert"},
		"noise":                    {framedServer(), "\x8f\x01\x02", "8f 01 02"},
		"a long hello":             {framedServer(), "\xc5cmd\x01\xff\xff\xff\xff", "limit of 8192"},
		"a broken client's field":  {framedServer(), "\xc5cmd\x01\x01\x03", "in the middle"},
		"a broken server's status": {framedClient(), "\xc5cmd\x01\x02\x01\x00", "status is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := hearHello(test.to, []byte(test.bytes))
			wantRule(t, err, test.rule)
		})
	}
}

func TestFramedHelloNumbersThatDoNotFit(t *testing.T) {
	b, err := wire.AppendClientHello(nil, wire.ClientHello{MaxResultSize: math.MaxUint64})
	if err != nil {
		t.Fatal(err)
	}
	if h, err := hearHello(framedServer(), b); h.MaxResultSize != math.MaxInt32 || err != nil {
		t.Errorf("heard as %+v, %v", h, err)
	}
	if _, err := framedServer().AppendHello(nil, &Hello{Info: make([]byte, MaxServerInfo+1)}); err == nil {
		t.Error("a ServerInfo above the limit is said")
	}
}

// The client sends no command on a slot beyond the server's limit, so nothing can
// come for one.
func TestFramedHelloLimitsTheClientsSlots(t *testing.T) {
	for said, limit := range map[int]int{6: 6, 0: DefaultMaxInFlight, 1 << 20: 1 << 19} {
		b, err := framedServer().AppendHello(nil, &Hello{Settings: ServerSettings{MaxInFlight: said}})
		if err != nil {
			t.Fatal(err)
		}
		client := Framed(Options{MaxBody: maxBody, MaxSlots: 1 << 19})
		if _, err := hearHello(client, b); err != nil {
			t.Fatal(err)
		}
		got, err := readAll(client, encode(framedServer(), Message{Kind: Result, Slot: limit - 1}, Message{Kind: Result, Slot: limit}))
		wantRule(t, err, "is beyond the limit")
		if len(got) != 1 {
			t.Errorf("a server of %d slots: %d results were read", said, len(got))
		}
	}
}

func TestSettingsHaveDefaults(t *testing.T) {
	want := ServerSettings{MaxCmdSize: DefaultMaxCmdSize, MaxInFlight: DefaultMaxInFlight}
	if got := (ServerSettings{}).WithDefaults(); got != want {
		t.Errorf("got %+v", got)
	}
	own := ServerSettings{MaxCmdSize: 1, MaxInFlight: 2}
	if got := own.WithDefaults(); got != own {
		t.Errorf("got %+v", got)
	}
}

// An error of the connection tells what it means for its commands.
func TestErrorsOfConnections(t *testing.T) {
	own := &base.Error{Outcome: base.Rejected, Code: base.ErrFull}
	if got := asError(own); got != own {
		t.Errorf("an *Error came back as %v", got)
	}
	for want, err := range map[base.Code]error{
		base.ErrProtocol: BrokenRule("x"), base.ErrConnLost: io.ErrUnexpectedEOF,
	} {
		got := asError(err)
		if got.Code != want || got.Outcome != base.Unknown || !errors.Is(got, err) {
			t.Errorf("%v came back as %+v", err, got)
		}
	}
	// The end of a connection is not that of what went over it.
	if got := asError(io.EOF); got.Code != base.ErrConnLost || errors.Is(got, io.EOF) {
		t.Errorf("io.EOF came back as %v", got)
	}
}
