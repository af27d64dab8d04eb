package transport

import (
	"context"
	"net"
	"runtime"
	"time"

	"github.com/cmdstream/cmdstream/base"
)

// The coalesced flush. Whoever appends a message and finds nobody flushing
// flushes itself, for all who append meanwhile: one write carries many messages.
// While the reader hands out a buffer of messages nobody flushes; the reader
// does, once, before it waits for more. The flusher writes without ever waiting;
// what the socket will not take, and all that goes by reference, is left to a
// goroutine of its own, the drain, which ends when nothing is left.

// flushRounds is how often one goroutine flushes for others before it leaves the
// rest to the drain.
const flushRounds = 8

// Send appends m and sees to it that it is written. It returns once m is in the
// send buffer; of a large body once the last piece is. While the buffer is full
// it waits, until ctx ends: m was then not sent, and the error is ctx's cause.
// Any other error is the connection's end. crowd says that others are likely to
// send at this moment too, so that waiting for them for one turn of the
// scheduler pays.
func (c *Conn) Send(ctx context.Context, m *Message, crowd bool) error {
	c.mu.Lock()
	for c.err == nil && len(c.out) >= sendBuffer {
		if c.room == nil {
			c.room = make(chan struct{})
		}
		room := c.room
		c.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		c.mu.Lock()
	}
	if c.err != nil {
		defer c.mu.Unlock()
		return c.err
	}
	if len(m.Body) > LargeBody {
		return c.sendLarge(ctx, m)
	}
	c.append(m)
	c.flushLocked(crowd)
	return nil
}

// Post appends a message that must not wait: a pong, a cancel, a credit, a
// failure. A peer that lets too many of them pile up is cut as a slow reader.
func (c *Conn) Post(m *Message) error {
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		return c.err
	}
	if len(c.out) >= 4*sendBuffer {
		c.mu.Unlock()
		return c.Fail(&base.Error{Code: base.ErrSlowReader, Message: "the connection was ended, since the peer sends and does not read"})
	}
	c.append(m)
	c.flushLocked(false)
	return nil
}

// append appends a message that goes by copy. The caller holds mu.
func (c *Conn) append(m *Message) []byte {
	if m.Kind == Command {
		if m.Seq == 0 && !m.begun {
			m.Seq = base.Seq(c.nextSeq.Add(1))
			if m.SeqTo != nil {
				m.SeqTo.SetSeq(m.Seq)
			}
		}
	}
	before := len(c.out)
	out, tail, more := c.transport.Append(c.out, m)
	c.out = out
	c.appended += uint64(len(out) - before + len(tail))
	if !more {
		m.end = c.appended
	}
	return tail
}

// flushLocked flushes, or leaves it to somebody who will. The caller holds mu,
// and no longer does afterwards.
func (c *Conn) flushLocked(crowd bool) {
	if c.flushing || c.held && len(c.out) < sendBuffer/4 {
		c.mu.Unlock()
		return
	}
	c.flushing = true
	c.mu.Unlock()
	c.flush(crowd)
}

// Release flushes what was held back, if anything was. It is called by the
// goroutine that reads, before it waits for anything.
func (c *Conn) Release() {
	if !c.held { // only this goroutine ever sets it
		return
	}
	runtime.Gosched() // those that were woken append, so that one write carries all
	c.mu.Lock()
	c.held = false
	if len(c.out) == 0 {
		c.mu.Unlock()
		return
	}
	c.flushLocked(false)
}

// flush writes until nothing is left. The caller has set flushing.
func (c *Conn) flush(crowd bool) {
	if crowd {
		runtime.Gosched()
	}
	for range flushRounds {
		c.mu.Lock()
		if c.err != nil || len(c.out) == 0 && len(c.large) == 0 {
			c.endFlush()
			return
		}
		if c.raw == nil || len(c.large) > 0 {
			c.mu.Unlock()
			break
		}
		b := c.takeOut()
		c.mu.Unlock()
		n, err := c.raw.write(b)
		c.mu.Lock()
		c.written += uint64(n)
		c.keep(b)
		if err != nil {
			c.endFlush()
			c.Fail(err)
			return
		}
		if n < len(b) {
			c.rest = append(c.rest[:0], b[n:]...)
			c.mu.Unlock()
			break
		}
		c.mu.Unlock()
	}
	go c.drainFunc()
}

// endFlush is the end of a flusher. The caller holds mu, and no longer does
// afterwards.
func (c *Conn) endFlush() {
	c.flushing = false
	if c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
	c.mu.Unlock()
}

// takeOut takes what was appended, and lets those who waited for room go on. The
// caller holds mu.
func (c *Conn) takeOut() []byte {
	b := c.out
	c.out, c.spare = c.spare[:0], nil
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
	return b
}

// keep makes b, now written, the spare buffer. The caller holds mu.
func (c *Conn) keep(b []byte) {
	if cap(b) <= keepBuffer {
		c.spare = b
	}
}

// drain writes what flush left, waiting for the peer, up to the write timeout a
// write. It is a goroutine of its own, started by flush and ended by an empty
// buffer or the connection's end.
func (c *Conn) drain() {
	if c.raw == nil {
		runtime.Gosched() // as in flush: those who are about to append, do
	}
	for {
		c.mu.Lock()
		if c.err != nil || len(c.rest) == 0 && len(c.out) == 0 && len(c.large) == 0 {
			if c.err == nil && c.raw != nil {
				c.nc.SetWriteDeadline(time.Time{})
			}
			c.endFlush()
			return
		}
		var tail []byte
		var whole *Message
		rest := c.rest
		c.rest = nil
		if len(c.large) > 0 {
			tail, whole = c.appendPiece()
		}
		b := c.takeOut()
		c.mu.Unlock()

		c.nc.SetWriteDeadline(time.Now().Add(c.writeTimeout))
		n, err := c.write(rest, b, tail)

		c.mu.Lock()
		c.written += uint64(n)
		c.keep(b)
		if whole != nil && c.err == nil {
			close(whole.done)
		}
		if err != nil {
			c.endFlush()
			c.Fail(err)
			return
		}
		c.mu.Unlock()
	}
}

// write writes up to three pieces, in one system call where the net.Conn can.
func (c *Conn) write(pieces ...[]byte) (int64, error) {
	var some [3][]byte
	buffers := net.Buffers(some[:0])
	for _, p := range pieces {
		if len(p) > 0 {
			buffers = append(buffers, p)
		}
	}
	if len(buffers) == 1 {
		n, err := c.nc.Write(buffers[0])
		return int64(n), err
	}
	return buffers.WriteTo(c.nc)
}
