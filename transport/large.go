package transport

import (
	"context"
	"slices"
)

// A message with a large body goes by reference, in pieces, so that small ones
// pass between them. The drain writes them.

// Large tells whether m is such a message, whose sender must Wait.
func (m *Message) Large() bool { return len(m.Body) > LargeBody }

// Wait waits until the last piece of a large message is written. When ctx ends
// before, it gives the message up; its error is ctx's cause if nothing of it was
// sent. Any other error is the connection's end; then, too, a piece that is just
// being written may still refer to m.Body.
func (c *Conn) Wait(ctx context.Context, m *Message) error {
	select {
	case <-m.done:
	case <-ctx.Done():
		if c.Abort(m) == Unsent {
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

// Progress is how far a large message has come.
type Progress uint8

// The progress of a large message.
const (
	Unsent Progress = iota // nothing of it was appended
	Cut                    // it was given up half-way, and the peer is told
	Whole                  // all of it was appended
)

// Abort gives up the rest of a large message: an empty last piece, appended
// before anything that comes later, tells the peer. It returns what became of
// the message. Of one that is Cut, a piece that is just being written still
// refers to m.Body, which the caller must therefore not use again.
func (c *Conn) Abort(m *Message) Progress {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.large, m)
	if i < 0 {
		return m.progress()
	}
	c.large = slices.Delete(c.large, i, i+1)
	close(m.done)
	if !m.begun {
		return Unsent
	}
	m.aborted = true
	c.append(m) // the drain, which wrote the pieces before, is still at it
	return Cut
}

// Progress returns how far a large message has come.
func (c *Conn) Progress(m *Message) Progress {
	c.mu.Lock()
	defer c.mu.Unlock()
	return m.progress()
}

// progress is Progress for a caller that holds mu.
func (m *Message) progress() Progress {
	switch {
	case !m.begun:
		return Unsent
	case m.end == 0 || m.aborted:
		return Cut
	}
	return Whole
}

// appendPiece appends the next piece of the first large message and lets the
// others have a turn. It returns what goes by reference behind c.out, and, if
// that was the last of the message, the channel that is to be closed once it is
// written: by then the message may be another one. The caller holds mu.
func (c *Conn) appendPiece() (tail []byte, done chan struct{}) {
	m := c.large[0]
	c.large = slices.Delete(c.large, 0, 1)
	tail = c.append(m)
	if m.end == 0 {
		c.large = append(c.large, m)
		return tail, nil
	}
	return tail, m.done
}

// Wrote reports whether the connection has taken all of m, so that the peer may
// have read it. It is final once the connection has failed and was joined.
func (c *Conn) Wrote(m *Message) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return m.end != 0 && m.end <= c.written
}
