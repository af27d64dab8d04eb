package memnet

import (
	"context"
	"net"
	"sync"
	"syscall"
)

// Listener is a net.Listener whose connections come from [Listener.Dial].
type Listener struct {
	local address
	size  int

	// mu protects the fields below; changed tells Accept to look again.
	mu      sync.Mutex
	changed sync.Cond
	closed  bool
	pending []*Conn
	onDial  func(client, server *Conn)
}

// Listen returns a listener with an address of its own.
func Listen() *Listener {
	return ListenSize(DefaultSize)
}

// ListenSize is [Listen] for connections with buffers of size bytes, one per
// direction.
func ListenSize(size int) *Listener {
	l := &Listener{local: newAddress(), size: max(size, 1)}
	l.changed.L = &l.mu
	return l
}

// OnDial sets a function that gets both ends of each new connection before
// anyone else does, to set their plans. It replaces an earlier one.
func (l *Listener) OnDial(f func(client, server *Conn)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.onDial = f
}

// Dial returns the client end, a *Conn, of a new connection. It does not wait
// for Accept: the queue of the listener has no limit. On a closed listener it
// fails with syscall.ECONNREFUSED.
func (l *Listener) Dial(ctx context.Context) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, l.failure("dial", err)
	}
	client, server := newPair(newAddress(), l.local, l.size)
	l.mu.Lock()
	onDial, closed := l.onDial, l.closed
	l.mu.Unlock()
	if onDial != nil && !closed {
		// Without the lock, because the function may use the listener.
		onDial(client, server)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, l.failure("dial", syscall.ECONNREFUSED)
	}
	l.pending = append(l.pending, server)
	l.changed.Signal()
	return client, nil
}

// Accept returns the server end, a *Conn, of the oldest connection that was not
// accepted yet. It blocks until there is one or the listener is closed.
func (l *Listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.closed {
		if len(l.pending) > 0 {
			server := l.pending[0]
			l.pending = l.pending[1:]
			return server, nil
		}
		l.changed.Wait()
	}
	return nil, l.failure("accept", net.ErrClosed)
}

// Close closes the listener. Connections that were not accepted are reset, those
// that were go on. Close never fails, and a second one does nothing.
func (l *Listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, server := range l.pending {
		server.Cut(RST)
	}
	l.pending = nil
	l.changed.Broadcast()
	return nil
}

// Addr returns the address of the listener.
func (l *Listener) Addr() net.Addr { return l.local }

func (l *Listener) failure(operation string, err error) error {
	return &net.OpError{Op: operation, Net: network, Addr: l.local, Err: err}
}
