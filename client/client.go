// Package client sends commands to a server over one connection.
//
//	c, err := client.NewDef[Calculator](ClientCodec{}, conn, nil)
//	result, err := c.Do(ctx, AddCmd{2, 3})
package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/delegate"
	"github.com/cmdstream/cmdstream/internal/wheel"
	"github.com/cmdstream/cmdstream/transport"
)

// The errors that users ask for most, as errors.Is finds them. Package base has
// them all.
const (
	ErrClosed      = base.ErrClosed
	ErrTooLargeCmd = base.ErrTooLargeCmd
)

// Client sends commands, each from any goroutine, over one connection at a time.
// It is safe for concurrent use.
type Client[T any] struct {
	codec     Codec[T]
	decodeFor func(cmd base.Cmd[T], r transport.Reader) (base.Result, error) // nil: the codec has none
	conf      Conf
	dialer    Dialer
	redialer  *delegate.Redialer // makes new links; nil: the client does not reconnect
	wheel     *wheel.Wheel
	clock     clock
	memory    memory // of results
	counters  counters

	_       [64]byte // what changes with each command is in a cache line of its own
	lastSeq atomic.Int64
	_       [56]byte

	current    atomic.Pointer[link[T]] // for new commands; nil: there is none at the moment
	deliveries *queue[*slot[T]]
	orphans    *queue[orphan[T]]
	states     *queue[StateChange] // those that StateCallback is to hear of
	strays     *queue[stray]       // those that the Logger is to hear of
	delivering goroutines
	giveUp     chan struct{} // closed when Close waits for deliveries no longer

	ctx    context.Context // ends with the client
	cancel context.CancelFunc
	redial chan error    // of capacity 1: a connection is wanted, and why
	done   chan struct{} // closed when the client has ended
	tasks  goroutines    // the links', reconnect, and the one that calls StateCallback

	mu       sync.Mutex // protects what follows
	links    map[*link[T]]struct{}
	changed  chan struct{} // closed, and replaced, when current or err changes
	draining error         // why a client that does not reconnect takes no more commands
	err      error         // why the client has ended; set once

	giveUpOnce sync.Once
}

// NewDef returns a client over conn with the default Conf, but for callback,
// which may be nil: it hears of results that nobody waits for.
func NewDef[T any](codec Codec[T], conn net.Conn, callback UnexpectedResultCallback) (*Client[T], error) {
	return New(context.Background(), codec, conn, Conf{UnexpectedResultCallback: callback})
}

// New returns a client over conn, which it closes in the end, also on an error.
// ctx bounds the hello and nothing else. When conn is lost the client has ended.
//
// The error is an *base.Error: base.ErrServerInfo, base.ErrFull, base.ErrVersion
// and others say why the server and this client don't go together.
func New[T any](ctx context.Context, codec Codec[T], conn net.Conn, conf Conf) (*Client[T], error) {
	if conn == nil {
		return nil, confError(base.ErrConf, "the connection is nil")
	}
	if conf.Session {
		conn.Close()
		return nil, confError(base.ErrConf, "a session is for a client of NewReconnect: one that can't dial can't resume it")
	}
	c, err := create(codec, conf)
	if err != nil {
		conn.Close()
		return nil, err
	}
	l, err := c.open(ctx, conn)
	if err != nil {
		c.wheel.Close()
		return nil, err
	}
	c.adopt(l)
	return c, nil
}

// NewReconnect returns a client that dials, and dials again when the connection
// is lost, until Close. It returns once the first connection is up. If the first
// dial fails, that is the error; if a server is full, busy or draining, it goes
// on until ctx ends. Beyond that ctx has no effect on the client.
func NewReconnect[T any](ctx context.Context, codec Codec[T], dial Dialer, conf Conf) (*Client[T], error) {
	if dial == nil {
		return nil, confError(base.ErrConf, "the dialer is nil")
	}
	c, err := create(codec, conf)
	if err != nil {
		return nil, err
	}
	c.dialer = dial
	var l *link[T]
	c.redialer = &delegate.Redialer{
		HelloTimeout: c.conf.SysDataReceiveTimeout, Backoff: c.conf.Backoff,
		Try: func(ctx context.Context) (err error) {
			l, err = c.dialNew(ctx)
			return err
		},
	}
	err = c.redialer.Once(ctx)
	if errors.Is(err, base.ErrFull) || errors.Is(err, base.ErrDraining) || errors.Is(err, base.ErrBusy) {
		err = c.redialer.Connect(ctx, err)
	}
	if err != nil {
		c.wheel.Close()
		return nil, unsent(base.ErrNotConnected, "no connection was made", err)
	}
	c.redialer.OnFailure = c.reportAttempt
	c.adopt(l)
	c.tasks.Go(func() { c.reconnect(&l) })
	return c, nil
}

// reportAttempt reports a failed attempt to connect.
func (c *Client[T]) reportAttempt(a delegate.Attempt) {
	c.counters.failedAttempts.Add(1)
	c.report(StateChange{State: Connecting, Err: a.Err, Attempt: a.Number, RetryIn: a.RetryIn})
}

// dialNew makes a link to the server that the Dialer finds.
func (c *Client[T]) dialNew(ctx context.Context) (*link[T], error) {
	nc, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	return c.open(ctx, nc)
}

// dial connects to the server that the Dialer finds.
func (c *Client[T]) dial(ctx context.Context) (net.Conn, error) {
	nc, err := tryDial(ctx, c.dialer)
	if err == nil && nc == nil {
		err = errors.New("the dialer returned no connection")
	}
	if err != nil {
		return nil, &base.Error{Outcome: base.NotSent, Code: base.ErrNotConnected, Message: "can't connect", Err: err}
	}
	return nc, nil
}

// tryDial calls a Dialer. A panic of it is an error.
func tryDial(ctx context.Context, dial Dialer) (nc net.Conn, err error) {
	defer func() {
		if v := recover(); v != nil {
			nc, err = nil, &base.Error{Outcome: base.NotSent, Code: base.ErrPanic, Message: fmt.Sprintf("the dialer panicked: %v", v)}
		}
	}()
	return dial(ctx)
}

// open makes a link over nc. Its goroutine is not started yet.
func (c *Client[T]) open(ctx context.Context, nc net.Conn) (*link[T], error) {
	l := newLink(c)
	if c.conf.Session {
		l.session = newSession()
	}
	conn, hello, err := c.connect(ctx, nc, l, l.session)
	if err != nil {
		return nil, err
	}
	l.begin(conn, hello)
	returned := false
	defer func() {
		if !returned { // the codec ends the goroutine
			conn.Fail(errExited)
		}
	}()
	err = l.agree(ctx, conn, hello.Catalogue)
	returned = true
	if err != nil {
		if l.stopKeepalive != nil {
			l.stopKeepalive()
		}
		err = conn.Fail(err)
		conn.Join()
		l.arriving.end()
		return nil, err
	}
	return l, nil
}

// credentials asks the user for them. A panic is an error.
func (c *Client[T]) credentials(ctx context.Context) (b []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			b, err = nil, fmt.Errorf("it panicked: %v", v)
		}
		if err != nil {
			err = &base.Error{Outcome: base.NotSent, Code: base.ErrUnauthorized, Message: "Credentials failed", Err: err}
		}
	}()
	return c.conf.Credentials(ctx)
}

func create[T any](codec Codec[T], conf Conf) (*Client[T], error) {
	if codec == nil {
		return nil, confError(base.ErrConf, "the codec is nil")
	}
	conf, err := conf.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Client[T]{
		codec: codec, conf: conf, wheel: wheel.New(), clock: clock{time.Now()}, memory: memory{limit: int64(conf.MaxBytes)},
		giveUp: make(chan struct{}), redial: make(chan error, 1),
		done:  make(chan struct{}),
		links: make(map[*link[T]]struct{}), changed: make(chan struct{}),
	}
	c.memory.counters = &c.counters
	c.lastSeq.Store(max(int64(conf.FirstSeq)-1, 0))
	if d, ok := codec.(decoderFor[T]); ok {
		c.decodeFor = d.DecodeFor
	}
	c.deliveries = newQueue(c.deliver, &c.delivering)
	c.deliveries.exited = c.failDelivery
	c.orphans = newQueue(c.tellOrphan, nil)
	c.states = newQueue(c.tellState, &c.tasks)
	c.strays = newQueue(c.tellStray, nil)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

func (c *Client[T]) delegateConf(l *link[T]) delegate.ClientConf {
	maxInFlight := c.conf.MaxInFlight
	if maxInFlight == 0 {
		maxInFlight = 1 << 30 // the server's limit holds
	}
	var compressions []uint64
	for _, compression := range c.conf.Compressions {
		compressions = append(compressions, compression.ID())
	}
	return delegate.ClientConf{
		Info: c.conf.Info, Compressions: compressions,
		ConnConf: delegate.ConnConf{
			Transport: c.conf.Transport, HelloTimeout: c.conf.SysDataReceiveTimeout,
			WriteTimeout: c.conf.WriteTimeout, LastSeq: &c.lastSeq, Decode: l.decodeStream, Open: l.isOpen, Budget: l.arriving,
		},
		MaxResultSize: c.conf.MaxResultSize, MaxInFlight: maxInFlight,
		ServerInfo: c.conf.ServerInfo, CheckServerInfo: c.conf.CheckServerInfo,
	}
}

// Has reports whether the command seq is open: sent, not forgotten, and its last
// result, or its error, yet to be handed out. It takes time in proportion to the
// number of slots.
func (c *Client[T]) Has(seq base.Seq) bool {
	open, forgotten := false, false
	c.each(seq, func(s *slot[T]) {
		open = open || !s.final
		forgotten = forgotten || s.owner == nobody || s.owner == channel && s.results == nil
	})
	return open && !forgotten
}

// Forget makes the client wait no longer for the results of a command of Send.
// Nothing more goes into its channel; what still comes goes to the
// UnexpectedResultCallback. The command runs on. It takes time in proportion to
// the number of slots.
func (c *Client[T]) Forget(seq base.Seq) {
	var offering chan struct{}
	c.each(seq, func(s *slot[T]) {
		if s.owner != channel {
			return
		}
		s.results = nil
		if !s.sent {
			return // it is large, and being sent: the delivery of its first result sees to it
		}
		s.owner = nobody
		s.makeSpace()
		s.signal() // a delivery under way stops
		if s.offering != nil {
			offering = s.offering
		}
	})
	if offering != nil {
		<-offering
	}
}

// each calls do for the slots of an open command, with their mu held: none, one, or two while it
// is sent once more.
func (c *Client[T]) each(seq base.Seq, do func(s *slot[T])) {
	if seq <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for l := range c.links {
		for _, s := range *l.table.Load() {
			if base.Seq(s.seq.Load()) != seq {
				continue
			}
			s.mu.Lock()
			if base.Seq(s.seq.Load()) == seq {
				do(s)
			}
			s.mu.Unlock()
		}
	}
}

// Done is closed when the client has ended: by Close, when its connection was
// lost and it does not reconnect, or by an error that reconnecting can't mend.
func (c *Client[T]) Done() <-chan struct{} { return c.done }

// Err returns why the client has ended; nil while it has not. After Close it is
// ErrClosed, unless it had ended before.
func (c *Client[T]) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Connected reports whether there is a connection for new commands at this moment. It
// costs next to nothing.
func (c *Client[T]) Connected() bool { return c.current.Load() != nil }

// InFlight returns how many commands have a place on a connection, or wait for one. Those
// that were given up count until the server has ended them.
func (c *Client[T]) InFlight() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for l := range c.links {
		n += l.inFlight()
	}
	return n
}

// decode decodes a result of cmd, for the owner of s; nil: for nobody. A panic of the codec is an
// error.
func (c *Client[T]) decode(s *slot[T], cmd base.Cmd[T], r transport.Reader) (result base.Result, err error) {
	defer func() {
		if v := recover(); v != nil {
			result, err = nil, &base.Error{Outcome: base.Failed, Code: base.ErrPanic, Message: fmt.Sprintf("the codec panicked: %v", v)}
		} else if s != nil && result == nil && err == nil { // the codec ends the goroutine
			s.breakOff()
		}
	}()
	if c.decodeFor != nil && cmd != nil {
		result, err = c.decodeFor(cmd, r)
	} else {
		result, err = c.codec.Decode(r)
	}
	switch {
	case err == io.EOF:
		err = io.ErrUnexpectedEOF // of the body, not of the results
	case err == nil && result == nil:
		err = &base.Error{Outcome: base.Failed, Code: base.ErrDecode, Message: "the codec decoded a nil result"}
	}
	return result, err
}
