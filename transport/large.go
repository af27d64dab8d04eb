package transport

import (
	"context"
	"slices"
)

// sendLarge sends a message whose body goes by reference, in pieces, so that
// small messages pass between them. It waits for the last piece, or for ctx. If
// ctx ends before the first piece, the message was not sent; later, a last and
// empty piece tells the peer. The caller holds mu, and no longer does afterwards.
func (c *Conn) sendLarge(ctx context.Context, m *Message) error {
	m.done = make(chan struct{})
	c.large = append(c.large, m)
	if c.flushing {
		c.mu.Unlock()
	} else {
		c.flushing = true
		c.mu.Unlock()
		go c.drainFunc()
	}
	select {
	case <-m.done:
	case <-ctx.Done():
		if c.Abort(m) {
			return context.Cause(ctx)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.end != 0 {
		return nil
	}
	return c.err
}

// Abort gives up the rest of a large message. It reports whether nothing of it
// was sent. A piece that is just being written still refers to m.Body, which the
// caller must therefore not use again.
func (c *Conn) Abort(m *Message) (unsent bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.large, m)
	if i < 0 {
		return false
	}
	if !m.begun {
		c.large = slices.Delete(c.large, i, i+1)
		return true
	}
	m.aborted = true
	return false
}

// appendPiece appends the next piece of the first large message and lets the
// others have a turn. It returns what goes by reference behind c.out, and the
// message if that was the last of it. The caller holds mu.
func (c *Conn) appendPiece() (tail []byte, whole *Message) {
	m := c.large[0]
	c.large = append(c.large[:0], c.large[1:]...)
	tail = c.append(m)
	if m.end == 0 {
		c.large = append(c.large, m)
		return tail, nil
	}
	return tail, m
}

// Wrote reports whether the connection has taken all of m, so that the peer may
// have read it. It is final once the connection has failed and was joined.
func (c *Conn) Wrote(m *Message) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return m.end != 0 && m.end <= c.written
}
