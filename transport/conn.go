package transport

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/wire"
)

// Defaults of a Conn.
const (
	// DefaultWriteTimeout is how long one write, of 128 KiB at most, may take before
	// the peer counts as a slow reader.
	DefaultWriteTimeout = 30 * time.Second

	readBuffer = 16 << 10              // bytes
	idleBuffer = 128                   // bytes of the read buffer of a connection over which little comes
	yieldAbove = 4 << 10               // bytes that have come at once
	idleAfter  = time.Second           // without a byte, a connection gives its read buffer up
	waited     = 20 * time.Microsecond // a Read that takes so long has probably found nothing at first
	sendBuffer = 256 << 10             // bytes that may wait to be written before Room waits
	keepBuffer = 64 << 10              // bytes of a buffer's capacity that an idle connection keeps

	// mostUnsent is how many bytes the kernel takes that it can't send yet. Of its own it takes up to
	// 4 MiB, and whatever is written later waits behind those: a third of a second at 100 Mbit/s. What
	// is on its way is not counted, and so a long way is used.
	mostUnsent = 128 << 10
)

// Conn is a net.Conn that carries the messages of one Transport: it owns the
// buffers of both directions, and the coalesced flush (send.go).
//
// Read is for one goroutine at a time; all else is safe for many.
type Conn struct {
	nc           net.Conn
	transport    Transport
	nextSeq      *atomic.Int64 // the last Seq that the client gave out; nil at a server
	writeTimeout time.Duration
	instant      instantWriter // nil: the drain writes everything
	drainFunc    func()        // c.drain, made once
	flushFunc    func()        // c.Flush for others, likewise
	pieces       [3][]byte     // what the drain is writing
	buffers      net.Buffers

	// Of the goroutine that reads.
	in      *bufio.Reader // small, or one of readBuffer bytes
	small   *bufio.Reader // of idleBuffer bytes
	left    []byte        // of small, while in is replaced
	full    bool          // small was filled
	idle    bool          // nothing had come for idleAfter
	yields  bool          // Release lets others run first
	hurried bool          // it does not: see Hurry
	at      time.Time     // when in was last filled
	seen    time.Time     // when that goroutine has last looked at the clock; see Seen
	emptied int           // see Emptied
	socket  bool          // nc is a plain one
	asked   time.Time     // when its Read was last called, of another one
	slow    bool          // to read a message, once it has come, may take a while
	sleep   sleep

	lastRead    atomic.Int64 // at, in nanoseconds since start
	received    atomic.Int64 // bytes
	paused      atomic.Bool  // the reader waits for something else than what the peer sends
	crowded     atomic.Bool  // at a server: so much is in out that the reader waits
	lastCommand atomic.Int64 // when a command was last sent, in nanoseconds since start
	start       time.Time

	done   chan struct{} // closed once err is set
	closed chan struct{} // closed once nc is closed, which comes after that

	mu        sync.Mutex    // protects what follows, and Append of transport
	err       error         // why the connection ended; set once
	out       []byte        // appended and not yet taken by a flusher
	spare     []byte        // the other one of the two buffers
	rest      []byte        // what the socket would not take: the drain's
	large     []*Message    // messages that go out by reference, one piece a turn
	flushing  bool          // somebody flushes: append, and it will be written
	held      bool          // the reader will flush once it has handed out its buffer; only it changes this
	result    Message       // of AppendResult
	messages  int           // in out
	commanded bool          // one of these is a command
	appended  uint64        // bytes, ever
	written   uint64        // bytes that nc has taken, ever
	room      chan struct{} // closed when out has room again; nil: nobody waits
	flushed   chan struct{} // closed when flushing ends; nil: nobody waits
}

// NewConn returns a Conn over nc. lastSeq, at a client, is the counter from
// which its commands are numbered. A writeTimeout of 0 means the default.
func NewConn(nc net.Conn, transport Transport, lastSeq *atomic.Int64, writeTimeout time.Duration) *Conn {
	if writeTimeout <= 0 {
		writeTimeout = DefaultWriteTimeout
	}
	c := &Conn{
		nc: nc, transport: transport, nextSeq: lastSeq, writeTimeout: writeTimeout,
		instant: newInstantWriter(nc, writeTimeout), start: time.Now(), done: make(chan struct{}), closed: make(chan struct{}),
	}
	limitUnsent(nc, mostUnsent)
	_, quick := transport.(*framed)
	c.slow = !quick
	c.drainFunc = c.drain
	c.flushFunc = func() { c.Flush(false) }
	c.at = c.start
	c.small = bufio.NewReaderSize((*source)(c), idleBuffer)
	c.in = c.small
	c.sleep.may = isSocket(nc)
	c.socket = c.sleep.may && bottom(nc) == nc
	return c
}

// Supports tells whether the connection's wire can carry messages of a kind.
func (c *Conn) Supports(kind Kind) bool { return c.transport.Supports(kind) }

// Decodes tells whether Read may decode bodies, as it does on the plain wire.
func (c *Conn) Decodes() bool { return c.slow }

// LocalAddr returns the address of this end.
func (c *Conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// RemoteAddr returns the address of the peer.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// Since returns when the connection was made.
func (c *Conn) Since() time.Time { return c.start }

// SayHello writes this side's hello. Everything else comes after it.
func (c *Conn) SayHello(h *Hello) error {
	b, err := c.transport.AppendHello(nil, h)
	if err != nil || len(b) == 0 {
		return err
	}
	n, err := c.nc.Write(b)
	c.written += uint64(n)
	c.appended = c.written
	return err
}

// HearHello reads the peer's hello.
func (c *Conn) HearHello(h *Hello) error {
	return c.transport.ReadHello(c.in, h)
}

// Received returns how many bytes have come from the peer. It may be called at any time.
func (c *Conn) Received() int64 { return c.received.Load() }

// Pause is called by the goroutine that reads, before it waits for something else
// than the peer; the function that it returns, afterwards. It flushes what was
// held back. The peer does not count as silent meanwhile.
func (c *Conn) Pause() (resume func()) {
	c.Release()
	c.paused.Store(true)
	return func() {
		c.lastRead.Store(int64(time.Since(c.start)))
		c.paused.Store(false)
	}
}

// SinceRead returns how long ago the last byte came from the peer; 0 while the
// reader is paused, for what may have come is not known then.
func (c *Conn) SinceRead() time.Duration {
	if c.paused.Load() {
		return 0
	}
	return time.Since(c.start) - time.Duration(c.lastRead.Load())
}

// SinceCommand returns how long ago the last command was sent.
func (c *Conn) SinceCommand() time.Duration {
	return time.Since(c.start) - time.Duration(c.lastCommand.Load())
}

// Done is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Ended tells whether the connection has ended. It costs next to nothing.
func (c *Conn) Ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// Err returns why the connection ended; nil while it has not.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Fail ends the connection at once, for a reason; the first one counts, and is
// returned as an *Error. It does not wait: see Join.
func (c *Conn) Fail(reason error) error {
	err := asError(reason) // it asks the error, which may be anyone's: not under the lock
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		return c.err
	}
	c.err = err
	for _, m := range c.large {
		close(m.done)
	}
	c.large = nil
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
	close(c.done)
	c.mu.Unlock()
	c.closeNow()
	return err
}

// dropBuffers gives up what was to be written. The caller holds mu.
func (c *Conn) dropBuffers() { c.out, c.spare, c.rest = nil, nil, nil }

// Join waits until nobody writes to the failed connection any more, and the
// net.Conn is closed. After it, Wrote is final.
func (c *Conn) Join() {
	c.mu.Lock()
	idle := c.whenIdle()
	c.mu.Unlock()
	if idle != nil {
		<-idle
	}
	<-c.closed
}

// whenIdle returns a channel that closes when flushing ends; nil: it has. The
// caller holds mu.
func (c *Conn) whenIdle() <-chan struct{} {
	if !c.flushing {
		return nil
	}
	if c.flushed == nil {
		c.flushed = make(chan struct{})
	}
	return c.flushed
}

// Finish writes what was appended, says that no more comes, where the net.Conn
// can, and reads until the peer has closed too, so that nothing of it is lost
// to a reset; then, or after the given time, it fails the connection for reason.
// Nobody may be in Read.
func (c *Conn) Finish(reason error, within time.Duration) {
	deadline := time.Now().Add(within)
	c.nc.SetReadDeadline(deadline)
	settled := c.Settle(within)
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok && settled && half.CloseWrite() == nil {
		c.in.Discard(c.in.Buffered())
		io.Copy(io.Discard, io.LimitReader(c.nc, 1<<20))
	}
	c.Fail(reason)
	c.Join()
}

// Settle waits until all that was appended is written, which it reports by true,
// the connection has ended, or the time is over.
func (c *Conn) Settle(within time.Duration) bool {
	c.mu.Lock()
	if !c.flushing {
		c.flushing = true
		c.flushLocked(true)
		c.mu.Lock()
	}
	idle := c.whenIdle()
	c.mu.Unlock()
	if idle == nil {
		return c.Err() == nil
	}
	limitUnsent(c.nc, 0) // nothing is to overtake what is left, which the kernel sends though the connection ends
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-idle:
		return c.Err() == nil
	case <-c.done:
	case <-timer.C:
	}
	return false
}

// asError says of an error of the connection what it means: it is an *Error with
// outcome Unknown, unless it came as one.
func asError(err error) *base.Error {
	var e *base.Error
	if errors.As(err, &e) && e != nil {
		return e
	}
	var rule *wire.RuleError
	switch {
	case errors.As(err, &rule):
		return &base.Error{Code: base.ErrProtocol, Message: "the connection was ended, since the peer broke a rule of the protocol", Err: err}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &base.Error{Code: base.ErrSlowReader, Message: "the connection was ended, since the peer did not read for the whole write timeout", Err: err}
	case errors.Is(err, io.EOF): // to who receives inputs or results, io.EOF is their end
		return &base.Error{Code: base.ErrConnLost, Message: "the connection was lost: the peer closed it", Err: io.ErrUnexpectedEOF}
	default:
		return &base.Error{Code: base.ErrConnLost, Message: "the connection was lost", Err: err}
	}
}
