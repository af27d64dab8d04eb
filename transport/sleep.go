package transport

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// sleep is that of the goroutine which reads, while nothing has come.
type sleep struct {
	may bool // the net.Conn is one whose Read ends with its deadline, and goes on after it

	state atomic.Int32 // changed to woken under mu, and the read deadline with it
	mu    sync.Mutex
}

// The states of a sleep.
const (
	awake int32 = iota
	asleep
	woken // by Wake: the read deadline is to be cleared
)

// Sleep waits until something has come, or the connection has ended: Read finds out which. It
// returns true if Wake was called meanwhile, and nothing has come. It is for the goroutine
// that reads.
func (c *Conn) Sleep() (awoken bool) {
	s := &c.sleep
	if !s.may || c.crowded.Load() || c.in.Buffered() > 0 {
		return false
	}
	c.fitBuffer()
	s.state.Store(asleep)
	_, err := c.in.Peek(1)
	late := errors.Is(err, os.ErrDeadlineExceeded)
	if err != nil && !late {
		c.Fail(err) // a socket says it only once
	}
	if s.state.Swap(awake) != woken {
		return false
	}
	s.mu.Lock() // whoever has called Wake has set it
	defer s.mu.Unlock()
	c.nc.SetReadDeadline(time.Time{})
	return late
}

// Wake ends a Sleep. It does nothing if nobody sleeps, or nobody may: over a net.Conn that
// is no socket, nor TLS over one, for what others do at a deadline is not known.
func (c *Conn) Wake() {
	s := &c.sleep
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.CompareAndSwap(asleep, woken) {
		c.nc.SetReadDeadline(time.Unix(1, 0))
	}
}

// Shrink gives up what an idle connection can do without: large buffers. It is for the
// goroutine that reads, after a Sleep that has returned true, or once it reads no more since the
// connection has ended. No message is of use any more that was read before.
func (c *Conn) Shrink() {
	ended := c.Ended()
	if ended || c.in.Buffered() == 0 {
		c.in = c.small
	}
	if f, ok := c.transport.(*framed); ok {
		f.shrink(ended)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.flushing && (ended || len(c.out) == 0) {
		c.dropBuffers()
	}
}

// isSocket tells whether nc is a socket of the kernel's, or TLS over one.
func isSocket(nc net.Conn) bool {
	switch bottom(nc).(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	}
	return false
}

// bottom returns what carries nc, where that is TLS, and else nc.
func bottom(nc net.Conn) net.Conn {
	secure, ok := nc.(*tls.Conn)
	if !ok {
		return nc
	}
	nc = secure.NetConn()
	if p, ok := nc.(*polite); ok {
		nc = p.Conn
	}
	return nc
}
