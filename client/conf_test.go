package client_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
)

func newPlainConn(t testing.TB) net.Conn {
	conn, err := serve(t, echo, serverConf{Transport: wires["plain"]}).Dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// closed checks that a connection was closed.
func closed(t testing.TB, conn net.Conn) {
	t.Helper()
	if _, err := conn.Write([]byte{0}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the connection was not closed: %v", err)
	}
}

func TestABadConf(t *testing.T) {
	for name, conf := range map[string]client.Conf{
		"Timeout": {Timeout: -1}, "SendTimeout": {SendTimeout: -1},
		"KeepaliveTime": {KeepaliveTime: -1}, "KeepaliveIntvl": {KeepaliveIntvl: -1},
		"SysDataReceiveTimeout": {SysDataReceiveTimeout: -1}, "WriteTimeout": {WriteTimeout: -1},
		"MaxInFlight": {MaxInFlight: -1}, "MaxResultSize": {MaxResultSize: -1}, "MaxBytes": {MaxBytes: -1},
		"Backoff.First": {Backoff: client.Backoff{First: -1}}, "Backoff.Max": {Backoff: client.Backoff{Max: -1}},
		"Backoff.Reset": {Backoff: client.Backoff{Reset: -1}},
	} {
		conn, _ := memnet.Pipe()
		_, err := client.New(t.Context(), codec{}, conn, conf)
		want(t, err, base.NotSent, base.ErrConf)
		if !strings.Contains(err.Error(), name+" is negative") {
			t.Errorf("%s: got %q", name, err)
		}
		closed(t, conn)
		_, err = client.NewReconnect(t.Context(), codec{}, memnet.Listen().Dial, conf)
		want(t, err, base.NotSent, base.ErrConf)
	}
}

func TestWhatNewNeeds(t *testing.T) {
	ctx := t.Context()
	conn, _ := memnet.Pipe()
	_, err := client.New[receiver](ctx, nil, conn, client.Conf{})
	want(t, err, base.NotSent, base.ErrConf)
	closed(t, conn)
	_, err = client.New(ctx, codec{}, nil, client.Conf{})
	want(t, err, base.NotSent, base.ErrConf)
	conn, _ = memnet.Pipe()
	_, err = client.New(ctx, codec{}, conn, client.Conf{Session: true})
	want(t, err, base.NotSent, base.ErrConf)
	closed(t, conn)
	_, err = client.NewDef(codec{}, nil, nil)
	want(t, err, base.NotSent, base.ErrConf)
	_, err = client.NewReconnect(ctx, codec{}, nil, client.Conf{})
	want(t, err, base.NotSent, base.ErrConf)
	_, err = client.NewReconnect[receiver](ctx, nil, memnet.Listen().Dial, client.Conf{})
	want(t, err, base.NotSent, base.ErrConf)
}

func TestServerInfo(t *testing.T) {
	own := errors.New("not mine")
	for name, test := range map[string]struct {
		conf client.Conf
		is   error
	}{
		"equal":           {client.Conf{ServerInfo: []byte("calc 2")}, nil},
		"another":         {client.Conf{ServerInfo: []byte("calc 1")}, base.ErrServerInfo},
		"empty":           {client.Conf{ServerInfo: []byte{}}, base.ErrServerInfo},
		"the default":     {client.Conf{}, base.ErrServerInfo},
		"checked":         {client.Conf{CheckServerInfo: func(b []byte) error { return is(string(b) == "calc 2") }}, nil},
		"checked in vain": {client.Conf{CheckServerInfo: func([]byte) error { return own }}, own},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serve(t, echo, serverConf{ServerInfo: []byte("calc 2")})
				conn, _ := l.Dial(t.Context())
				c, err := client.New(t.Context(), codec{}, conn, test.conf)
				if test.is == nil {
					if err != nil {
						t.Fatal(err)
					}
					mustDo(t, c, 1)
					c.Close()
					return
				}
				want(t, err, base.NotSent, base.ErrServerInfo, test.is)
				closed(t, conn)
			})
		})
	}
}

func is(ok bool) error {
	if !ok {
		return errors.New("it is not")
	}
	return nil
}

func TestTheServerIsFull(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serve(t, echo, serverConf{WorkersCount: 1, FullRetryAfter: time.Minute})
		dial(t, l, client.Conf{})
		conn, _ := l.Dial(t.Context())
		_, err := client.New(t.Context(), codec{}, conn, client.Conf{})
		want(t, err, base.Rejected, base.ErrFull)
		var e *base.Error
		if errors.As(err, &e) && e.RetryAfter != time.Minute {
			t.Errorf("got %+v", e)
		}
		closed(t, conn)
	})
}

// The ctx of New bounds the hello, and nothing else.
func TestTheCtxOfNew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		conn, _ := newPipe(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		_, err := client.New(ctx, codec{}, conn, client.Conf{})
		took(t, begin, time.Second)
		want(t, err, base.NotSent, base.ErrHello, context.DeadlineExceeded)
		closed(t, conn)

		ctx, cancel = context.WithCancel(t.Context())
		c, err := client.New(ctx, codec{}, newConn(t), client.Conf{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		cancel()
		time.Sleep(time.Minute)
		mustDo(t, c, 1)
	})
}

func TestStateString(t *testing.T) {
	for state, want := range map[client.State]string{
		client.Connected: "connected", client.Connecting: "connecting", client.Closed: "closed", 9: "state 9",
	} {
		if got := state.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
