package attacks

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"syscall"

	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/server"
)

// way is a direction of a connection.
type way int

func (w way) String() string { return [...]string{"up", "down"}[w] }

const (
	up   way = iota // client to server
	down            // server to client
)

// links is a network to a server that an attack breaks: nobody else uses it.
type links struct {
	a *arena
	l *memnet.Listener

	mu     sync.Mutex // protects what follows
	ends   [][2]*memnet.Conn
	cutOff bool // dials fail
	silent bool // nothing gets through
	plans  [2]memnet.Plan
	next   bool // plans are for the next connection
}

// links makes a network to a server of the arena.
func (a *arena) links(s *server.Server) *links {
	n := &links{a: a, l: memnet.Listen()}
	n.l.OnDial(n.dialed)
	go s.Serve(n.l)
	a.atEnd(func() {
		n.l.Close()
		n.heal()
		n.each(func(_ way, end *memnet.Conn) { end.Cut(memnet.RST) })
	})
	return n
}

func (n *links) dialed(c, s *memnet.Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ends = append(n.ends, [2]*memnet.Conn{c, s})
	if n.next {
		n.next = false
		c.SetPlan(n.plans[up])
		s.SetPlan(n.plans[down])
	}
	if n.silent {
		c.Cut(memnet.Stall)
		s.Cut(memnet.Stall)
	}
}

// dial is a client.Dialer.
func (n *links) dial(ctx context.Context) (net.Conn, error) {
	n.mu.Lock()
	cutOff := n.cutOff
	n.mu.Unlock()
	if cutOff {
		return nil, syscall.EHOSTUNREACH
	}
	nc, err := n.l.Dial(ctx)
	if err == nil && n.a.limits.server.TLSConfig != nil {
		nc = tls.Client(nc, clientTLS())
	}
	return nc, err
}

// plan says what will go wrong with the next connection.
func (n *links) plan(toServer, toClient memnet.Plan) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.plans, n.next = [2]memnet.Plan{toServer, toClient}, true
}

// last returns the ends of the newest connection, by the way that they write.
func (n *links) last() [2]*memnet.Conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.ends) == 0 { // nobody could dial
		c, s := memnet.Pipe()
		return [2]*memnet.Conn{c, s}
	}
	return n.ends[len(n.ends)-1]
}

func (n *links) each(do func(way, *memnet.Conn)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, ends := range n.ends {
		do(up, ends[up])
		do(down, ends[down])
	}
}

// pause lets nothing through, of what is there and of what is made.
func (n *links) pause() {
	n.each(func(_ way, end *memnet.Conn) { end.Cut(memnet.Stall) })
	n.mu.Lock()
	defer n.mu.Unlock()
	n.silent = true
}

// heal lets all through again.
func (n *links) heal() {
	n.mu.Lock()
	n.silent, n.cutOff = false, false
	n.mu.Unlock()
	n.each(func(_ way, end *memnet.Conn) { end.Cut(memnet.None) })
}

// sever resets all connections, and lets nobody dial.
func (n *links) sever() {
	n.each(func(_ way, end *memnet.Conn) { end.Cut(memnet.RST) })
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cutOff = true
}

// forget resets all connections, and lets go of them.
func (n *links) forget() {
	n.each(func(_ way, end *memnet.Conn) { end.Cut(memnet.RST) })
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ends, n.next = nil, false
}
