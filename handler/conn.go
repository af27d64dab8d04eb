package handler

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// Conn is one client's connection, and its commands.
type Conn[T any] struct {
	handler       *Handler[T]
	conn          *transport.Conn
	ctx           context.Context // the parent of the commands' ctx
	maxResultSize int
	ended         func(error)

	// Of the goroutine that reads.
	message  transport.Message
	commands int // that have come
	strays   int // cancels and credits that came too late

	running  atomic.Int64 // commands whose Exec has not returned
	draining atomic.Pointer[base.Error]

	mu    sync.Mutex    // protects what follows
	table []*command[T] // by slot; nil: never used
	left  []*command[T] // running ones whose slot is another's already
	free  []*command[T] // records that were in left, and have returned
}

// NewConn returns the handler of a connection whose hello is over. ctx is for
// its values only.
func (h *Handler[T]) NewConn(ctx context.Context, conn *transport.Conn, hello transport.Hello) *Conn[T] {
	return &Conn[T]{handler: h, conn: conn, ctx: ctx, maxResultSize: hello.MaxResultSize}
}

// Start has a goroutine of the pool read the connection. ended is called once,
// with the reason, when the connection has ended and its commands were told.
func (c *Conn[T]) Start(ended func(error)) {
	c.ended = ended
	c.handler.pool.follow(c)
}

// Drain tells the client to go elsewhere; its further commands are rejected.
func (c *Conn[T]) Drain(retryAfter time.Duration) {
	// The goaway goes first: who is rejected then knows where to go.
	if c.conn.Supports(transport.Goaway) {
		c.conn.Post(&transport.Message{Kind: transport.Goaway, RetryAfter: retryAfter, Reason: "the server is shutting down"})
	}
	c.draining.Store(&base.Error{
		Outcome: base.Rejected, Code: base.ErrDraining,
		Message: "the server is shutting down and takes no more commands", RetryAfter: retryAfter,
	})
}

// Running returns how many commands have not returned yet.
func (c *Conn[T]) Running() int { return int(c.running.Load()) }

// Goaway tells whether the client hears of a drain. If not, the server closes
// the connection itself when nothing is running on it.
func (c *Conn[T]) Goaway() bool { return c.conn.Supports(transport.Goaway) }

// Close ends the connection for reason, having written what was to be written
// if the client reads it within the given time.
func (c *Conn[T]) Close(reason error, within time.Duration) {
	if within > 0 {
		c.conn.Settle(within)
	}
	c.conn.Fail(reason)
}

// crowd tells whether other commands are likely to send results now.
func (c *Conn[T]) crowd() bool { return c.running.Load() > 1 }

// lead reads the connection until a command has come, hands the reading over,
// and runs the command.
func (c *Conn[T]) lead() {
	for {
		if err := c.conn.Read(&c.message); err != nil {
			c.lost(err)
			return
		}
		x, err := c.receive(&c.message)
		if err != nil {
			c.lost(c.conn.Fail(err))
			return
		}
		if x != nil {
			c.handler.pool.follow(c)
			c.run(x)
			return
		}
	}
}

// receive deals with a message. It returns the command that is to be run, if the
// message is one.
func (c *Conn[T]) receive(m *transport.Message) (*command[T], error) {
	switch m.Kind {
	case transport.Ping:
		return nil, c.conn.Post(&transport.Message{Kind: transport.Ping})
	case transport.Command:
		return c.admit(m)
	case transport.Cancel, transport.Credit:
		x, seq := c.open(m.Slot)
		switch {
		case x == nil:
			return nil, c.stray()
		case m.Kind == transport.Credit:
			x.addCredit(m.Credit)
		default:
			x.cancel(seq, context.Canceled, &base.Error{Outcome: base.Unknown, Code: base.ErrCanceled, Message: "the command was canceled while the server was running it"})
		}
	}
	return nil, nil
}

// A client may send maxStrays cancels and credits for commands that have ended,
// and straysPerCommand more for each of its commands: those cross the command's
// last frame.
const (
	maxStrays        = 1000
	straysPerCommand = 64
)

// stray counts a message that crossed the end of its command.
func (c *Conn[T]) stray() error {
	if c.strays++; c.strays > maxStrays+straysPerCommand*c.commands {
		return transport.BrokenRule("%d cancels and credits came for commands that had ended, of %d", c.strays, c.commands)
	}
	return nil
}

// open returns the record of the open command on a slot, and its Seq; nil where
// there is none: the message about it crossed its last frame. Since only the
// reader opens commands, the record is still that command's when the reader
// uses it.
func (c *Conn[T]) open(slot int) (*command[T], base.Seq) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if slot >= len(c.table) || c.table[slot] == nil {
		return nil, 0
	}
	x := c.table[slot]
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.hasEnded() {
		return nil, 0
	}
	return x, x.seq
}

// admit makes a record for the command in m, or refuses it.
func (c *Conn[T]) admit(m *transport.Message) (*command[T], error) {
	c.commands++
	x, err := c.record(m)
	if err != nil {
		return nil, err
	}
	if refusal := c.refusal(m); refusal != nil {
		x.refuse(m, refusal)
		return nil, nil
	}
	x.begin(m, c.conn.At())
	c.running.Add(1)
	return x, nil
}

func (c *Conn[T]) refusal(m *transport.Message) *base.Error {
	if m.Err != nil {
		return m.Err
	}
	if draining := c.draining.Load(); draining != nil {
		return draining
	}
	if int(c.running.Load()) >= 2*c.handler.MaxInFlight {
		return &base.Error{Outcome: base.Rejected, Code: base.ErrBusy, Message: fmt.Sprintf("more than %d commands of this connection are running, given up by the client or not", 2*c.handler.MaxInFlight)}
	}
	return nil
}

// refuse ends a command that is not run.
func (x *command[T]) refuse(m *transport.Message, refusal *base.Error) {
	x.mu.Lock()
	x.seq, x.slot, x.ended, x.started = m.Seq, m.Slot, false, false
	x.mu.Unlock()
	copied := *refusal
	x.end(m.Seq, &copied)
}

// record finds a record for a new command on its slot.
func (c *Conn[T]) record(m *transport.Message) (*command[T], error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for m.Slot >= len(c.table) {
		c.table = append(c.table, nil)
	}
	x := c.table[m.Slot]
	if x != nil {
		x.mu.Lock()
		ended, seq, busy := x.hasEnded(), x.seq, x.running
		x.mu.Unlock()
		switch {
		case !ended:
			return nil, transport.BrokenRule("a command came on slot %d, where command %d is open", m.Slot, seq)
		case m.Seq <= seq && c.conn.Supports(transport.Credit): // the plain wire has no slots to speak of
			return nil, transport.BrokenRule("command %d came on slot %d after command %d", m.Seq, m.Slot, seq)
		case busy:
			x.place = len(c.left)
			c.left = append(c.left, x)
		case x.recycle():
			return x, nil
		}
	}
	x = c.spare()
	c.table[m.Slot] = x
	return x, nil
}

// spare returns a record for which there is no command. The caller holds mu.
func (c *Conn[T]) spare() *command[T] {
	for n := len(c.free) - 1; n >= 0; n-- {
		x := c.free[n]
		c.free[n], c.free = nil, c.free[:n]
		if x.recycle() {
			return x
		}
	}
	return newCommand(c)
}

// lost is the end of the connection. It is called by the goroutine that reads,
// which reads no more.
func (c *Conn[T]) lost(reason error) {
	c.mu.Lock()
	commands := slices.Concat(c.table, c.left)
	c.mu.Unlock()
	for _, x := range commands {
		if x == nil {
			continue
		}
		x.mu.Lock()
		seq := x.seq
		x.mu.Unlock()
		x.cancel(seq, context.Canceled, &base.Error{Outcome: base.Unknown, Code: base.ErrConnLost, Message: "the command's connection was lost", Err: reason})
	}
	c.ended(reason)
}
