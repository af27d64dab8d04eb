package cmdstreamtest

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/server"
)

// Network is a server, a client of client.NewReconnect, and the network between
// them, which the test makes fail. It is safe for concurrent use.
type Network[T any] struct {
	// Client is connected, at first.
	Client *client.Client[T]

	t      testing.TB
	create func() *server.Server // makes a server

	life sync.Mutex   // one Stop or Restart at a time; protects stop
	stop func() error // closes server; nil: it has been closed

	mu       sync.Mutex // protects what follows; taken inside life
	server   *server.Server
	listener *memnet.Listener
	conns    []*memnet.Conn
}

// NewReconnect is [New] for a client that connects again when its connection is
// lost.
func NewReconnect[T any](t testing.TB, clientCodec client.Codec[T], serverCodec server.Codec[T], receiver T, conf ...Conf[T]) *Network[T] {
	t.Helper()
	both := last(conf)
	if _, err := server.New(serverCodec, receiver, both.Server); err != nil {
		t.Fatalf("cmdstreamtest: %v", err)
	}
	n := &Network[T]{t: t, create: func() *server.Server {
		s, _ := server.New(serverCodec, receiver, both.Server) // it worked before
		return s
	}}
	n.Restart()
	t.Cleanup(n.Stop)
	var err error
	n.Client, err = client.NewReconnect(t.Context(), clientCodec, n.dial, both.Client)
	if err != nil {
		t.Fatalf("cmdstreamtest: %v", err)
	}
	t.Cleanup(func() { n.Client.Close() })
	return n
}

// Server returns the server of this moment: after Stop, the one that was stopped.
func (n *Network[T]) Server() *server.Server {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.server
}

// Cut breaks the connections off, as a reset does: what was on its way is lost,
// and both sides learn of it at once. The client may connect again at once.
func (n *Network[T]) Cut() { n.each(func(c *memnet.Conn) { c.Cut(memnet.RST) }) }

// Silence makes the connections go silent, as if the cable had been pulled: what
// either side writes gets lost and neither learns of it, unless by keepalive. A
// further connection is not concerned.
func (n *Network[T]) Silence() { n.each(func(c *memnet.Conn) { c.Cut(memnet.Stall) }) }

// each does something to both ends of all connections, and forgets them.
func (n *Network[T]) each(do func(*memnet.Conn)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		do(c)
	}
	n.conns = nil
}

// Stop closes the server. Until Restart, attempts to connect are refused.
func (n *Network[T]) Stop() {
	n.t.Helper()
	n.life.Lock()
	defer n.life.Unlock()
	n.end()
}

// end is Stop for a caller that holds life.
func (n *Network[T]) end() {
	n.t.Helper()
	if n.stop != nil {
		report(n.t, n.stop())
		n.stop = nil
	}
}

// Restart stops the server, unless it was stopped before, and starts another one,
// which knows nothing of the first.
func (n *Network[T]) Restart() {
	n.t.Helper()
	n.life.Lock()
	defer n.life.Unlock()
	n.end()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.server, n.listener = n.create(), memnet.Listen()
	n.listener.OnDial(func(client, server *memnet.Conn) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.conns = append(n.conns, client, server)
	})
	n.stop = serve(n.server, n.listener)
}

func (n *Network[T]) dial(ctx context.Context) (net.Conn, error) {
	n.mu.Lock()
	l := n.listener
	n.mu.Unlock()
	return l.Dial(ctx)
}
