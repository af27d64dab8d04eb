package transport

import (
	"bufio"
	"errors"
	"os"
	"time"
)

// What the goroutine does that reads a connection: see Conn. One at a time does.

// Read reads the next message into m. It flushes what was held back while
// earlier messages were handed out, before it waits for more. At a server it first
// waits for the client to read, if too much is to be written.
func (c *Conn) Read(m *Message) error {
	*m = Message{}
	if c.crowded.Load() {
		if err := c.waitForPeer(); err != nil {
			return err
		}
	}
	c.fitBuffer()
	if err := c.transport.Read(c.in, m); err != nil {
		return c.Fail(err)
	}
	if c.slow {
		c.seen = time.Now()
	}
	if n := c.in.Buffered(); n > 0 {
		c.Hold()
		// At a client those who get their answers now are about to append. At a server
		// the reader itself has run most commands, and a yield wakes a processor that
		// finds nothing to do: only a large batch is worth it.
		c.yields = c.yields || c.nextSeq != nil || n >= yieldAbove
	}
	return nil
}

// fitBuffer replaces the read buffer: it becomes large when much comes at once, and small
// when there was nothing for a while. So an idle connection costs little.
func (c *Conn) fitBuffer() {
	switch {
	case c.in == c.small && c.full:
		c.left, _ = c.in.Peek(c.in.Buffered())
		c.in = bufio.NewReaderSize((*source)(c), readBuffer)
		c.in.Peek(len(c.left))
		c.small.Discard(c.small.Buffered())
	case c.in != c.small && c.idle && c.in.Buffered() == 0:
		c.in = c.small
	}
	c.full, c.idle = false, false
}

// Hold holds back what is appended from now on, until Release. It is for the goroutine
// that reads.
func (c *Conn) Hold() {
	if !c.held { // only this goroutine ever sets it
		c.mu.Lock()
		c.held = true
		c.mu.Unlock()
	}
}

// Expect says that others are about to append: Release will let them. It is for the
// goroutine that reads.
func (c *Conn) Expect() { c.yields = true }

// Hurry says that who is about to append may take a while: Release will not let them first. It
// is for the goroutine that reads.
func (c *Conn) Hurry() { c.hurried = true }

// Unread tells whether more has come than was read. It is for the goroutine that reads.
func (c *Conn) Unread() bool { return c.in.Buffered() > 0 }

// CanAwait tells whether Await may be called: on the framed wire, over a net.Conn whose
// Read a deadline can end. It clears the read deadline.
func (c *Conn) CanAwait() bool {
	_, ok := c.transport.(*framed)
	return ok && c.nc.SetReadDeadline(time.Time{}) == nil
}

// Await waits until the next message is there, so that Read will not wait. It returns
// false after Kick, for a long message, and when the connection has ended. It is for the
// goroutine that reads.
func (c *Conn) Await() bool {
	whole, err := c.transport.(*framed).await(c.in)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.Fail(err)
	}
	return whole
}

// Kick ends an Await, now or later, until Unkick.
func (c *Conn) Kick() { c.nc.SetReadDeadline(time.Unix(1, 0)) }

// Unkick is the end of a Kick.
func (c *Conn) Unkick() { c.nc.SetReadDeadline(time.Time{}) }

// At returns when the message that was read last had come in. It belongs to the
// goroutine that reads.
func (c *Conn) At() time.Time { return c.at }

// Seen returns when the goroutine that reads has last looked at the clock: At, or later, where
// it has waited for the peer since, or the wire took its time. It belongs to that goroutine.
func (c *Conn) Seen() time.Time { return c.seen }

// Emptied returns how often that goroutine has read all that had come. Of what is no plain socket
// that is known only where it has waited.
func (c *Conn) Emptied() int { return c.emptied }

// source is the reader below Conn.in: it alone waits for the peer.
type source Conn

func (s *source) Read(b []byte) (int, error) {
	c := (*Conn)(s)
	if n := copy(b, c.left); n > 0 {
		c.left = c.left[n:]
		return n, nil
	}
	c.Release()
	if !c.socket {
		c.asked = time.Now()
	}
	n, err := c.nc.Read(b)
	if n > 0 {
		before := c.at
		c.at = time.Now()
		c.seen = c.at
		if n < len(b) && (c.socket || c.at.Sub(c.asked) >= waited) {
			c.emptied++
		}
		c.full = n >= idleBuffer
		c.idle = c.at.Sub(before) > idleAfter && !c.full
		c.lastRead.Store(int64(c.at.Sub(c.start)))
		c.received.Add(int64(n))
		if errors.Is(err, os.ErrDeadlineExceeded) { // TLS may say so beside what has come; it was for who waits
			err = nil
		}
	}
	return n, err
}
