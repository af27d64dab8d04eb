package memnet

import (
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// Conn is one end of an in-memory connection. It implements net.Conn and behaves
// like a TCP connection, down to the errors: all but io.EOF are a *net.OpError
// around net.ErrClosed, os.ErrDeadlineExceeded, syscall.EPIPE or
// syscall.ECONNRESET.
type Conn struct {
	link          *link
	in, out       *direction
	local, remote address

	// The mutex of the link protects these.
	closed                      bool
	readDeadline, writeDeadline deadline
}

// Pipe returns the two ends of a connection that needs no listener.
func Pipe() (client, server *Conn) {
	return PipeSize(DefaultSize)
}

// PipeSize is [Pipe] with buffers of size bytes, one per direction.
func PipeSize(size int) (client, server *Conn) {
	return newPair(newAddress(), newAddress(), max(size, 1))
}

// Read reads bytes that have arrived, and blocks until there are some.
func (c *Conn) Read(p []byte) (int, error) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, c.failure("read", net.ErrClosed)
		case len(p) == 0:
			return 0, nil
		case c.readDeadline.passed():
			return 0, c.failure("read", os.ErrDeadlineExceeded)
		case c.link.reset:
			return 0, c.failure("read", syscall.ECONNRESET)
		}
		if n := c.in.take(p); n > 0 {
			return n, nil
		}
		if c.in.atEnd() {
			return 0, io.EOF
		}
		c.in.changed.Wait()
	}
}

// Write writes p, and blocks while the buffer of the direction is full. It
// returns the number of bytes taken, also with an error: the peer may get them.
func (c *Conn) Write(p []byte) (int, error) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	for c.out.writing {
		if err := c.writeError(); err != nil {
			return 0, c.failure("write", err)
		}
		c.out.changed.Wait()
	}
	c.out.writing = true
	defer func() {
		c.out.writing = false
		c.out.changed.Broadcast()
	}()
	for written := 0; ; {
		if err := c.writeError(); err != nil {
			return written, c.failure("write", err)
		}
		n := c.out.accept(p[written:])
		written += n
		if written == len(p) {
			return written, nil
		}
		if n == 0 {
			c.out.changed.Wait()
		}
	}
}

// writeError returns why a Write cannot go on.
func (c *Conn) writeError() error {
	switch {
	case c.closed:
		return net.ErrClosed
	case c.writeDeadline.passed():
		return os.ErrDeadlineExceeded
	case c.link.reset:
		return syscall.ECONNRESET
	case c.out.broken():
		return syscall.EPIPE
	default:
		return nil
	}
}

// CloseWrite ends the stream to the peer, which reads what is left and then
// io.EOF. This end can still read.
func (c *Conn) CloseWrite() error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.closed {
		return c.failure("close", net.ErrClosed)
	}
	c.out.finish()
	return nil
}

// Close closes this end: the peer reads what is left and then io.EOF, and can
// write no more. Calls that are blocked return net.ErrClosed. Close never fails,
// and a second one does nothing.
func (c *Conn) Close() error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.closed = true
	c.readDeadline.stop()
	c.writeDeadline.stop()
	c.out.finish()
	c.in.readerGone = true
	c.in.changed.Broadcast()
	return nil
}

// SetDeadline sets both deadlines, for calls that are blocked too. The zero time
// is no deadline.
func (c *Conn) SetDeadline(t time.Time) error {
	return c.setDeadlines(t, true, true)
}

// SetReadDeadline sets the deadline of Read.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.setDeadlines(t, true, false)
}

// SetWriteDeadline sets the deadline of Write.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.setDeadlines(t, false, true)
}

func (c *Conn) setDeadlines(t time.Time, read, write bool) error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.closed {
		return c.failure("set", net.ErrClosed)
	}
	if read {
		c.readDeadline.set(t)
		c.in.changed.Broadcast()
	}
	if write {
		c.writeDeadline.set(t)
		c.out.changed.Broadcast()
	}
	return nil
}

// Written returns the number of bytes this end has written, whether or not the
// peer gets them.
func (c *Conn) Written() int64 {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	return c.out.written
}

// LocalAddr returns the address of this end.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the address of the peer.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

func (c *Conn) failure(operation string, err error) error {
	return &net.OpError{Op: operation, Net: network, Source: c.local, Addr: c.remote, Err: err}
}
