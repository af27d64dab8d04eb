package transport

import (
	"runtime"
	"time"
)

// The drain writes what a flush has left: what the socket would not take at once, and all that goes by
// reference. It waits for the peer, within the write timeout.

// writeAtOnce is how much is written within one write timeout, in bytes.
const writeAtOnce = 128 << 10

// drain writes what a flush has left, waiting for the peer. It is a goroutine of its own,
// started by who flushes, and ended by an empty buffer or the connection's end.
func (c *Conn) drain() {
	if _, raw := c.instant.(*rawWriter); !raw {
		runtime.Gosched() // as in Flush: those who are about to append, do
	}
	for {
		c.mu.Lock()
		if c.err != nil || len(c.rest) == 0 && len(c.out) == 0 && len(c.large) == 0 {
			c.nc.SetWriteDeadline(time.Time{})
			c.endFlush()
			return
		}
		var tail []byte
		var done chan struct{}
		rest := c.rest
		c.rest = nil
		if len(c.large) > 0 {
			tail, done = c.appendPiece()
		}
		b := c.takeOut()
		c.mu.Unlock()

		n, err := c.write(rest, b, tail)

		c.mu.Lock()
		c.written += uint64(n)
		c.keep(b)
		if done != nil {
			close(done)
		}
		if err != nil {
			c.failFlush(err)
			return
		}
		c.mu.Unlock()
	}
}

// write writes rest, b and tail, up to writeAtOnce at once: so a peer that reads, if
// slowly, has the write timeout for each piece. Only the drain calls it.
func (c *Conn) write(rest, b, tail []byte) (written int64, err error) {
	for len(rest)+len(b)+len(tail) > writeAtOnce {
		next := &rest
		if len(rest) == 0 {
			next = &b
		}
		if len(*next) == 0 {
			next = &tail
		}
		n := min(len(*next), writeAtOnce)
		took, err := c.writeOnce((*next)[:n], nil, nil)
		written += took
		if err != nil {
			return written, err
		}
		*next = (*next)[n:]
	}
	took, err := c.writeOnce(rest, b, tail)
	return written + took, err
}

// writeOnce writes three pieces within the write timeout, in one system call where the
// net.Conn can.
func (c *Conn) writeOnce(rest, b, tail []byte) (int64, error) {
	c.nc.SetWriteDeadline(time.Now().Add(c.writeTimeout))
	defer clear(c.pieces[:])
	n := 0
	for _, p := range [...][]byte{rest, b, tail} {
		if len(p) > 0 {
			c.pieces[n] = p
			n++
		}
	}
	if n == 1 {
		written, err := c.nc.Write(c.pieces[0])
		return int64(written), err
	}
	c.buffers = c.pieces[:n]
	return c.buffers.WriteTo(c.nc)
}
