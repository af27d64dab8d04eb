package replaceable

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
)

// pipeListener is a net.Listener in memory: each dial makes a net.Pipe.
type pipeListener struct {
	conns    chan net.Conn
	accepted atomic.Int64
	once     sync.Once
	closed   chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		l.accepted.Add(1)
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// pipeDialer is a client.Dialer to a pipeListener. It keeps what it has dialed,
// and records what goes over it.
type pipeDialer struct {
	listener *pipeListener

	mu    sync.Mutex // protects what follows
	conns []*recordingConn
}

func (d *pipeDialer) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case d.listener.conns <- server:
	case <-d.listener.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conns = append(d.conns, &recordingConn{Conn: client})
	return d.conns[len(d.conns)-1], nil
}

// dialed returns the connections that were made so far.
func (d *pipeDialer) dialed() []*recordingConn {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.conns[:len(d.conns):len(d.conns)]
}

// recordingConn is a net.Conn that keeps all that goes over it.
type recordingConn struct {
	net.Conn
	sent, received recording
}

type recording struct {
	mu   sync.Mutex // protects text
	text []byte
}

func (r *recording) add(b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text = append(r.text, b...)
}

func (r *recording) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.text)
}

func (c *recordingConn) Write(b []byte) (int, error) {
	c.sent.add(b) // before the peer can act on it
	return c.Conn.Write(b)
}

func (c *recordingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.received.add(b[:n])
	return n, err
}
