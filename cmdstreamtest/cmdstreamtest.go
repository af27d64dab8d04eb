// Package cmdstreamtest connects a client and a server in memory, for tests of
// code that sends commands, and of the commands themselves.
//
//	c := cmdstreamtest.New(t, set.Client(), set.Server(), Calc{})
//	sum, err := cmdstream.Do(t.Context(), c, Add{2, 3})
//
// Nothing is to be closed: the test's end does it. There are no sockets, so it
// works in the bubbles of testing/synctest too, where timeouts and backoff take no
// time. [NewReconnect] is for tests of what happens when the network fails.
package cmdstreamtest

import (
	"testing"

	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/server"
)

// Conf configures the two sides. The zero value works.
type Conf[T any] struct {
	Client client.Conf
	Server server.Conf[T]
}

// New returns a client that is connected with a server, which runs the client's
// commands against receiver. Both are closed when the test ends; a command whose
// Exec goes on regardless, its ctx canceled, fails the test. A conf may be given;
// of several the last counts.
func New[T any](t testing.TB, clientCodec client.Codec[T], serverCodec server.Codec[T], receiver T, conf ...Conf[T]) *client.Client[T] {
	t.Helper()
	both := last(conf)
	s, err := server.New(serverCodec, receiver, both.Server)
	if err != nil {
		t.Fatalf("cmdstreamtest: %v", err)
	}
	l := memnet.Listen()
	stop := serve(s, l)
	t.Cleanup(func() { report(t, stop()) })
	conn, err := l.Dial(t.Context())
	if err != nil {
		t.Fatalf("cmdstreamtest: %v", err)
	}
	c, err := client.New(t.Context(), clientCodec, conn, both.Client)
	if err != nil {
		t.Fatalf("cmdstreamtest: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func last[T any](conf []Conf[T]) (both Conf[T]) {
	if n := len(conf); n > 0 {
		both = conf[n-1]
	}
	return both
}

// serve has s serve l. stop closes s, and returns its error.
func serve(s *server.Server, l *memnet.Listener) (stop func() error) {
	served := make(chan struct{})
	go func() {
		defer close(served)
		s.Serve(l)
	}()
	return func() error {
		err := s.Close()
		<-served
		return err
	}
}

func report(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("cmdstreamtest: %v", err)
	}
}
