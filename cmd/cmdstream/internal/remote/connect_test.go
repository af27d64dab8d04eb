package remote

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/server"
)

func TestConnectError(t *testing.T) {
	for _, test := range []struct {
		err  ConnectError
		want string
	}{
		{ConnectError{Addr: "a:1", Err: errors.New("no")}, "can't connect to a:1: no"},
		{ConnectError{What: "no page at", Addr: "a:1", Err: errors.New("no")}, "no page at a:1: no"},
		{ConnectError{Addr: "a:1", Err: &base.Error{Remote: true, Message: "full", RetryAfter: 2 * time.Second}}, "can't connect to a:1: full (it asks to wait for 2s)"},
		{ConnectError{Addr: "a:1", Err: &base.Error{Code: base.ErrHello, Message: "silence"}}, "can't connect to a:1: silence: is it a cmdstream server?"},
	} {
		if got := test.err.Error(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
		if !errors.Is(&test.err, test.err.Err) {
			t.Errorf("%v is not found", test.err.Err)
		}
	}
}

type echo struct{}

func (echo) Run(context.Context, string) (string, error) { return "", nil }

// serve runs a server on a Unix socket until the test ends.
func serve(t *testing.T, conf server.Conf[string]) (Server, *codec.Set[string]) {
	t.Helper()
	set := codec.NewSet[string](json.Format{})
	codec.Unary[echo](set, 1)
	conf.Logger = slog.New(slog.DiscardHandler)
	s, err := server.New(set.Server(), "", conf)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Skip("no Unix sockets to be had: ", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
	return Server{Addr: "unix:" + path, ConnectTimeout: 10 * time.Second}, set
}

func TestConnect(t *testing.T) {
	s, _ := serve(t, server.Conf[string]{ServerInfo: []byte("any"), Sessions: server.Sessions{Time: time.Hour}})
	conn, hello, err := s.Connect(t.Context(), Conf{Session: true})
	if err != nil {
		t.Fatal(err)
	}
	Close(conn)
	if string(hello.Info) != "any" || hello.SessionTime != time.Hour || hello.Settings.MaxCmdSize == 0 {
		t.Errorf("got %+v", hello)
	}
}

// A place that is free soon is waited for; one that is not is an error.
func TestNewWaitsForAPlace(t *testing.T) {
	s, set := serve(t, server.Conf[string]{WorkersCount: 1})
	conn, _, err := s.Connect(t.Context(), Conf{})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := New(t.Context(), s, set.Client(), 0); !errors.Is(err, base.ErrFull) || time.Since(began) < busyFor {
		t.Errorf("got %v after %v", err, time.Since(began))
	}
	time.AfterFunc(200*time.Millisecond, func() { Close(conn) })
	c, err := New(t.Context(), s, set.Client(), 0)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestTheEndOfCtxIsNoConnectError(t *testing.T) {
	s, set := serve(t, server.Conf[string]{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(ctx, s, set.Client(), 0); err != context.Canceled {
		t.Errorf("New: got %v", err)
	}
	if _, _, err := s.Connect(ctx, Conf{}); err != context.Canceled {
		t.Errorf("Connect: got %v", err)
	}
	s.ConnectTimeout = 1
	var failed *ConnectError
	if _, err := New(t.Context(), s, set.Client(), 0); !errors.As(err, &failed) {
		t.Errorf("New without time: got %v", err)
	}
}
