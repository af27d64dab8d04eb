package handler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// Conn is one client's connection: it reads what the client sends, for the session
// whose commands these are.
type Conn[T any] struct {
	handler *Handler[T]
	session *Session[T]
	memory  *Memory
	ended   func(error)
	read    chan struct{} // closed when nobody reads any more
	role

	// Of the goroutine that reads.
	decodes  bool // the transport does, by the user's codec
	message  transport.Message
	runs     *command[T] // that it runs, or ran last; nil: none
	asks     bool        // the client has yet to list its open slots
	goodbye  bool        // the client has said that it ends its session
	commands int         // that have come
	strays   int         // messages that came too late
	pings    int         // since pinged
	pinged   time.Time
	flooded  bool // one of these was too much
}

// Start has a goroutine of the pool read the connection. ended is called once,
// with the reason, when the connection has ended and its commands were told.
func (c *Conn[T]) Start(ended func(error)) {
	c.ended, c.decodes = ended, c.conn.Decodes()
	c.follow()
}

// Drain tells the client to go elsewhere; its further commands are rejected.
func (c *Conn[T]) Drain(retryAfter time.Duration) {
	// The goaway goes first: who is rejected then knows where to go.
	if c.conn.Supports(transport.Goaway) {
		c.conn.Post(&transport.Message{Kind: transport.Goaway, RetryAfter: retryAfter, Reason: "the server is shutting down"})
	}
	c.session.drain(retryAfter)
}

// Running returns how many commands have not returned yet.
func (c *Conn[T]) Running() int { return c.session.Running() }

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

// next reads the next message.
func (c *Conn[T]) next() error {
	if c.decodes {
		return c.nextDecoded()
	}
	return c.conn.Read(&c.message)
}

// nextDecoded is next of a transport that decodes itself: the codec may end this goroutine.
func (c *Conn[T]) nextDecoded() (err error) {
	returned := false
	defer func() {
		if !returned {
			c.lost(c.conn.Fail(&base.Error{Code: base.ErrPanic, Message: "the server's codec ended the goroutine that reads, by runtime.Goexit"}))
		}
	}()
	err = c.conn.Read(&c.message)
	returned = true
	return err
}

// receive deals with a message. It returns the command that is to be run, if the
// message is one, and by which turn.
func (c *Conn[T]) receive(m *transport.Message) (*command[T], turn, error) {
	if m.Kind == transport.Command && !c.asks {
		return c.admit(m)
	}
	return nil, turn{}, c.hear(m)
}

// hear deals with a message that is not a command.
func (c *Conn[T]) hear(m *transport.Message) error {
	if c.asks && m.Kind != transport.Resume && m.Kind != transport.Ping {
		return transport.BrokenRule("a resumed session begins with the list of open slots")
	}
	switch m.Kind {
	case transport.Ping:
		if err := c.countPing(); err != nil {
			return err
		}
		return c.conn.Post(&transport.Message{Kind: transport.Ping})
	case transport.Goaway:
		c.goodbye = true
	case transport.Resume:
		return c.resume(m)
	case transport.Ack:
		return c.ack(m)
	default: // about an open command
		x, seq := c.open(m.Slot)
		switch {
		case x == nil:
			m.Pieces.Release()
			c.memory.Release(m.Reserved)
			return c.stray()
		case m.Kind == transport.Credit:
			return c.credit(x, m.Credit)
		case m.Kind == transport.Input:
			return x.input(c, m)
		default:
			x.cancel(seq, context.Canceled, &base.Error{Outcome: base.Unknown, Code: base.ErrCanceled, Message: "the command was canceled while the server was running it"})
		}
	}
	return nil
}

// A client may send maxStrays cancels, credits and inputs for commands that have
// ended, and straysPerCommand more for each of its commands: those cross the
// command's last frame. It may send maxPings pings, and pingsPerSecond more.
const (
	maxStrays        = 1000
	straysPerCommand = 64
	maxPings         = 1000
	pingsPerSecond   = 100
)

// stray counts a message that crossed the end of its command.
func (c *Conn[T]) stray() error {
	if c.strays++; c.strays > maxStrays+straysPerCommand*c.commands {
		c.flooded = true
		return transport.BrokenRule("%d acks, cancels, credits and inputs came that say nothing, with %d commands", c.strays, c.commands)
	}
	return nil
}

// countPing holds the pings against their budget.
func (c *Conn[T]) countPing() error {
	if c.pings == 0 {
		c.pinged = c.conn.At()
	}
	c.pings++
	if spent := c.pings - int(c.conn.At().Sub(c.pinged).Seconds()*pingsPerSecond); spent > maxPings {
		c.flooded = true
		return transport.BrokenRule("%d pings came within %v", c.pings, c.conn.At().Sub(c.pinged))
	} else if spent <= 0 {
		c.pings = 0
	}
	return nil
}

// open returns the record of the open command on a slot, and its Seq; nil where
// there is none: the message about it crossed its last frame. Since only the
// reader opens commands, the record is still that command's when the reader
// uses it.
func (c *Conn[T]) open(slot int) (*command[T], base.Seq) {
	c.session.mu.Lock()
	defer c.session.mu.Unlock()
	if slot >= len(c.session.table) || c.session.table[slot] == nil {
		return nil, 0
	}
	x := c.session.table[slot]
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.hasEnded() {
		return nil, 0
	}
	return x, x.seq
}

// admit makes a record for the command in m, or refuses it.
func (c *Conn[T]) admit(m *transport.Message) (x *command[T], t turn, err error) {
	c.commands++
	x, running, err := c.session.record(m, c.conn.Supports(transport.Credit))
	if err != nil {
		return nil, turn{}, err
	}
	held, refusal := c.memory.hold(m.Size()+len(m.Metadata), m.Reserved, keepBody)
	c.countRefusal(refusal)
	if refusal == nil {
		refusal = c.refusal(m, running)
	}
	if refusal != nil {
		m.Pieces.Release()
		c.memory.give(held)
		x.refuse(c.conn, m, refusal)
		return nil, turn{}, nil
	}
	x.memory, x.held = c.memory, held
	now := c.handler.admitted.enter(x)
	if now && !c.session.ended.Load() {
		t = c.takeTurn(m)
	}
	x.begin(c.conn, m, t)
	if c.session.ended.Load() { // just now: whoever ends its commands may have missed this one
		defer x.lose(c.conn.Err())
	}
	if now {
		return x, t, nil
	}
	if refusal = c.handler.admitted.queue(x, m.Timeout); refusal != nil {
		x.shed(refusal)
	}
	return nil, turn{}, nil
}

// shed ends a command that will not run, since too many do, or have for too long.
func (x *command[T]) shed(refusal *base.Error) {
	x.mu.Lock()
	seq := x.seq
	x.timedOut = refusal.Code == base.ErrDeadline
	if !x.timedOut {
		x.session.handler.Counters.Shed.Add(1)
	}
	x.mu.Unlock()
	x.end(seq, refusal)
	x.session.finish(x)
}

// countRefusal counts a refusal for want of memory.
func (c *Conn[T]) countRefusal(refusal *base.Error) {
	if refusal != nil {
		c.handler.Counters.NoMemory.Add(1)
	}
}

// refusal is why the command in m, with which so many are running, is refused; nil: it is not.
func (c *Conn[T]) refusal(m *transport.Message, running int) *base.Error {
	if m.Err != nil {
		switch m.Err.Code {
		case base.ErrBusy:
			c.countRefusal(m.Err)
		case base.ErrTooLargeCmd:
			c.handler.Counters.BadBodies.Add(1)
		}
		return m.Err
	}
	if draining := c.session.draining.Load(); draining != nil {
		return draining
	}
	if limit := 2 * c.handler.MaxInFlight; running > limit {
		c.handler.Counters.Shed.Add(1)
		return &base.Error{Outcome: base.Rejected, Code: base.ErrBusy, RetryAfter: minRetryAfter, Message: fmt.Sprintf("more than %d commands of this connection are running, given up by the client or not", limit)}
	}
	return nil
}

// lost is the end of the connection. It is called by the goroutine that reads,
// which reads no more.
func (c *Conn[T]) lost(reason error) {
	if c.goodbye || !c.session.detach(c) {
		c.handler.sessions.remove(c.session)
		c.session.end(reason)
	}
	c.session.rest()
	c.message = transport.Message{} // the session's commands refer to the connection
	c.conn.Shrink()
	c.memory.end()
	c.count(reason)
	c.handler.watchdog.forget(&c.role)
	close(c.read)
	c.ended(reason)
}

// count counts why the connection has ended.
func (c *Conn[T]) count(reason error) {
	counters := &c.handler.Counters
	switch {
	case c.flooded:
		counters.Floods.Add(1)
	case errors.Is(reason, base.ErrProtocol):
		counters.Breaches.Add(1)
	case errors.Is(reason, base.ErrSlowReader):
		counters.SlowReaders.Add(1)
	case errors.Is(reason, base.ErrIdle):
		counters.Idle.Add(1)
	}
}
