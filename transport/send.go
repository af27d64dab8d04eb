package transport

import (
	"context"
	"errors"
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

// What can't wait, such as a failure, always finds room. It is bounded all the same.
// A server reads no further while so much of it is to be written, until the client has
// read: there can't be more then than one failure for each command that has come. A
// client must read always, for two sides that wait for each other to read wait for ever;
// what it says of results, none of which comes without its credit, is so little that
// only a server that does not read meets the limit.
const (
	mostAnswers = 2 * sendBuffer  // bytes that wait to be written at a server before it reads no further
	mostPosted  = 64 * sendBuffer // bytes that wait to be written at a client before it gives the server up
)

// An instantWriter writes without ever waiting, what the net.Conn takes at once. One
// goroutine at a time.
type instantWriter interface {
	// takes tells whether write will take some of n bytes; lone says that these are one
	// message, and no other is likely to come.
	takes(n int, lone bool) bool
	write(b []byte) (int, error)
}

// newInstantWriter returns nil where there is none for nc.
func newInstantWriter(nc net.Conn, within time.Duration) instantWriter {
	if w := newRawWriter(nc); w != nil {
		return w
	}
	return newSealedWriter(nc, within)
}

// flushRounds is how often one goroutine flushes for others before it leaves the
// rest to the drain.
const flushRounds = 8

// Room waits until the send buffer has room, ctx ends, which returns its cause,
// or the connection has ended, which returns why.
func (c *Conn) Room(ctx context.Context) error {
	for {
		c.mu.Lock()
		if c.err != nil || len(c.out) < sendBuffer {
			defer c.mu.Unlock()
			return c.err
		}
		if c.room == nil {
			c.room = make(chan struct{})
		}
		room := c.room
		c.mu.Unlock()
		if ctx.Done() == nil {
			<-room
		} else if err := within(ctx, room); err != nil {
			return err
		}
	}
}

// within waits until room is closed, or ctx ends, which returns its cause.
func within(ctx context.Context, room <-chan struct{}) error {
	select {
	case <-room:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ErrNoRoom is what Append says of a command, input or result for which the caller
// has to wait: it calls Room, and then Append again.
var ErrNoRoom = errors.New("transport: the send buffer is full")

// Append appends m to the send buffer, without waiting. A message with a large
// body is only queued, and its sender calls Wait. Where flush is true nobody
// else will write what was appended: the caller must call Flush, once it holds
// no lock. On an error m was not sent: ErrNoRoom, or the end of the connection.
//
// Small messages about commands find room always; a server that lets too many of
// them pile up at its client is cut as a slow reader.
func (c *Conn) Append(m *Message) (flush bool, err error) {
	c.mu.Lock()
	m.begun, m.aborted, m.sent, m.end = false, false, 0, 0 // it may have been another one before
	if c.err != nil || len(c.out) >= sendBuffer || len(m.Body) > LargeBody {
		return c.appendRare(m)
	}
	c.append(m)
	flush = c.mustFlush()
	c.mu.Unlock()
	return flush, nil
}

// appendRare is Append of a large message, or where the send buffer is full or the connection
// has ended. The caller holds mu, and no longer does afterwards.
func (c *Conn) appendRare(m *Message) (flush bool, err error) {
	server := c.nextSeq == nil
	switch {
	case c.err != nil:
		err = c.err
	case len(c.out) < sendBuffer:
	case m.Kind == Command || m.Kind == Result || m.Kind == Input:
		err = ErrNoRoom
	case server && len(c.out) >= mostAnswers:
		c.crowded.Store(true)
	case !server && len(c.out) >= mostPosted:
		c.mu.Unlock()
		return false, c.Fail(&base.Error{Code: base.ErrSlowReader, Message: "the connection was ended, since the peer sends and does not read"})
	}
	if err != nil {
		c.mu.Unlock()
		return false, err
	}
	if m.Large() {
		m.done = make(chan struct{})
		c.large = append(c.large, m)
	} else {
		c.append(m)
	}
	flush = c.mustFlush()
	c.mu.Unlock()
	return flush, nil
}

// AppendResult is Append for a result whose body is not large, and needs no Message of the
// caller's.
func (c *Conn) AppendResult(slot int, body []byte, last, compressed bool) (flush bool, err error) {
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		return false, c.err
	}
	if len(c.out) >= sendBuffer {
		c.mu.Unlock()
		return false, ErrNoRoom
	}
	m := &c.result // only append writes to its other fields
	m.Kind, m.Slot, m.Last, m.Compressed, m.Body, m.begun, m.sent, m.end = Result, slot, last, compressed, body, false, 0, 0
	c.append(m)
	m.Body = nil
	flush = c.mustFlush()
	c.mu.Unlock()
	return flush, nil
}

// waitForPeer waits until the peer has read so much that there is room again, or the
// connection has ended, as it does after the write timeout. It is called by the
// goroutine that reads.
func (c *Conn) waitForPeer() error {
	defer c.Pause()()
	defer func() { c.seen = time.Now() }()
	return c.Room(context.Background())
}

// Post appends a message and flushes: for what is so small and rare that nobody
// waits for room for it. It never waits.
func (c *Conn) Post(m *Message) error {
	flush, err := c.Append(m)
	if flush {
		c.Flush(false)
	}
	return err
}

// append appends a message, or the next piece of a large one, and returns what
// of it goes by reference behind c.out. The caller holds mu.
func (c *Conn) append(m *Message) []byte {
	if m.Kind == Command {
		c.commanded = true
		if m.Seq == 0 {
			m.Seq = base.Seq(c.nextSeq.Add(1))
			if m.SeqTo != nil {
				m.SeqTo.SetSeq(m.Seq)
			}
		}
	}
	c.messages++
	before := len(c.out)
	out, tail, more := c.transport.Append(c.out, m)
	c.out = out
	c.appended += uint64(len(out) - before + len(tail))
	m.begun = true
	if !more {
		m.end = c.appended
	}
	return tail
}

// mustFlush tells whether nobody flushes, nor will: then the caller has to, and
// counts as doing so. The caller holds mu.
func (c *Conn) mustFlush() bool {
	if c.flushing || c.held && len(c.out) < sendBuffer/4 {
		return false
	}
	c.flushing = true
	return true
}

// WriteHeld flushes what is held back, if nobody flushes.
func (c *Conn) WriteHeld() {
	c.mu.Lock()
	if !c.held || c.flushing || len(c.out)+len(c.large) == 0 {
		c.mu.Unlock()
		return
	}
	c.flushing = true
	c.flushLocked(true)
}

// Release flushes what was held back, if anything was. It is called by the
// goroutine that reads, before it waits for anything.
func (c *Conn) Release() {
	if !c.held { // only this goroutine ever sets it
		return
	}
	if c.yields && !c.hurried {
		runtime.Gosched() // one write carries what others append now
	}
	c.yields, c.hurried = false, false
	c.mu.Lock()
	c.held = false
	if len(c.out)+len(c.large) > 0 && c.mustFlush() {
		c.flushLocked(true)
		return
	}
	c.mu.Unlock()
}

// FlushSoon is Flush in a goroutine of its own: for who goes on to append, as who sends
// commands one after another does.
func (c *Conn) FlushSoon() { go c.flushFunc() }

// Flush writes until nothing is left, or leaves the rest to the drain: it never
// waits for the peer. Only that caller calls it whom Append told to. crowd says
// that others are likely to append at this moment too, so that letting them, for
// one turn of the scheduler, pays.
func (c *Conn) Flush(crowd bool) {
	if crowd {
		runtime.Gosched()
	}
	c.mu.Lock()
	c.flushLocked(!crowd)
}

// flushLocked is Flush for a caller that holds mu, and no longer does afterwards; flushing is set
// already, by mustFlush or the caller. lone says that a message which is alone is likely to stay so.
func (c *Conn) flushLocked(lone bool) {
	for range flushRounds {
		if c.err != nil || len(c.out) == 0 && len(c.large) == 0 {
			c.endFlush()
			return
		}
		if len(c.large) > 0 || c.instant == nil || !c.instant.takes(len(c.out), lone && c.messages == 1) {
			break
		}
		b := c.takeOut()
		c.mu.Unlock()
		n, err := c.instant.write(b)
		c.mu.Lock()
		c.written += uint64(n)
		c.keep(b)
		if err != nil {
			c.failFlush(err)
			return
		}
		if n < len(b) {
			c.rest = append(c.rest[:0], b[n:]...)
			break
		}
	}
	c.mu.Unlock()
	go c.drainFunc()
}

// endFlush is the end of a flusher. The caller holds mu, and no longer does
// afterwards.
func (c *Conn) endFlush() {
	c.flushing = false
	if c.err != nil {
		c.dropBuffers()
	}
	if c.flushed != nil {
		close(c.flushed)
		c.flushed = nil
	}
	c.mu.Unlock()
}

// failFlush is the end of a flusher whose write failed. The connection ends
// first: nobody may write behind the gap that the failed write left. The caller
// holds mu, and no longer does afterwards.
func (c *Conn) failFlush(err error) {
	c.mu.Unlock()
	c.Fail(err)
	c.mu.Lock()
	c.endFlush()
}

// takeOut takes what was appended, and lets those who waited for room go on. The
// caller holds mu.
func (c *Conn) takeOut() []byte {
	b := c.out
	c.out, c.spare, c.messages = c.spare[:0], nil, 0
	if c.commanded {
		c.commanded = false
		c.lastCommand.Store(int64(time.Since(c.start)))
	}
	if c.crowded.Load() {
		c.crowded.Store(false)
	}
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
	return b
}

// keep makes b, now written, the next send buffer, for it is in the cache; or the spare one, if
// something has been appended meanwhile. The caller holds mu.
func (c *Conn) keep(b []byte) {
	switch {
	case cap(b) > keepBuffer:
	case len(c.out) > 0:
		c.spare = b
	default:
		c.out, c.spare = b[:0], c.out
	}
}
