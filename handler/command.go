package handler

import (
	"math"
	"net"
	"sync"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/internal/wheel"
	"github.com/cmdstream/cmdstream/transport"
)

// command is the record of a command: what is kept of it from its frame until
// its Exec has returned. It is the command's Proxy too. A record is used again
// for a later command, see mayServe; a Proxy that was kept is then told from the
// new command's by its Seq.
type command[T any] struct {
	// What is looked at together lies together: in a session each slot has a record of its
	// own, and a thousand of them are in no cache.

	mu       sync.Mutex         // protects what follows, up to wake, and what ctx says
	seq      base.Seq           // the command's, also after it has ended
	ended    bool               // its last frame was made: without a session the slot is the client's again
	running  bool               // its Exec has not returned yet
	inSend   bool               // a Send is under way: one at a time, so that results keep their order
	flushed  bool               // with others: how long it took says little
	started  bool               // its codec, and then its Exec, was called, or its leader is about to
	armed    bool               // its timer is started, or was
	timedOut bool               // the server ends it because its time is over
	rejected bool               // it has ended, and was not run: to the client it is as if it had not come
	results  int                // that were sent
	answered bool               // in a session: by one small result, which is in scratch, or in packed; it is not in kept
	granted  int                // that it was ever given
	sending  *transport.Message // a large result on its way
	kept     *kept              // what it has sent, in a session; nil: there is none
	link     *transport.Conn    // where its results go; nil: they are only kept, in a session
	credits  int                // messages by which it was given credit
	turn     turn               // by which it runs
	inputs   *inputs            // nil: none has come, and none was asked for
	sendOver *sync.Cond         // that of mu: no Send is under way; nil: nobody has waited yet
	wake     chan struct{}      // of capacity 1: credit came, or the command has ended; nil: nobody has waited yet

	ctx commandContext

	// What the reader sets, before the command runs.
	memory *Memory // from which body is; of the command's connection
	held   int     // bytes of memory
	slot   int

	// Of the Send that is under way, as message is.
	large   int              // bytes of the last result
	scratch transport.Buffer // the result, encoded
	packed  transport.Buffer // the same compressed; empty: it was not worth it

	session    *Session[T]
	body       []byte // of one piece; the reader sets it, and the next three
	reader     transport.Body
	value      any         // the decoded command, of a transport that decodes itself
	compressed bool        // the body is
	cmd        base.Cmd[T] // once it is decoded; of the goroutine that runs it, and of Receive
	slow       *pace       // of its type, if the leader has found that slow
	alone      int64       // since when it has its goroutine to itself then, by the watchdog's clock

	message transport.Message

	place          int         // in session.left, of a record that is there; under session.mu
	began          int64       // when it began to run, by the clock of admission, if that is of interest; 0: it is not
	queued         bool        // it waits to run; this and the next two lines are under admission.mu
	entered        int64       // when it began to
	before, behind *command[T] // in the queue

	timer wheel.Timer

	shortBody, shortResult [short]byte // of body and of scratch, where that is enough
}

// short is how many bytes of a body and of a result a record has room for, in itself.
const short = 56

func newCommand[T any](s *Session[T]) *command[T] {
	x := &command[T]{session: s, ended: true}
	x.ctx.mu = &x.mu
	if s.named {
		x.kept = new(kept)
	}
	x.body, x.scratch.B = x.shortBody[:0], x.shortResult[:0]
	return x
}

// mayServe tells whether the record of a command that has returned may be another one's: not
// if somebody holds on to it, to its ctx, or in a Send that is still under way in a goroutine
// which the command left behind. The caller holds mu.
func (x *command[T]) mayServe() bool { return !x.inSend && x.ctx.mayServe() }

// led tells whether a leader runs the command, in its turn: then others wait for it, and it holds
// back what the command sends. The caller holds mu.
func (x *command[T]) led() bool { return x.turn.role != nil && x.turn.role.busy.Load() == x.turn.began }

// begin makes x the record of the command in m, which came over conn. If its turn to run is
// known already, it starts, unless it is too late: see start. Only the reader calls it.
func (x *command[T]) begin(conn *transport.Conn, m *transport.Message, t turn) {
	x.value, x.compressed = m.Value, m.Compressed
	switch {
	case m.Pieces != nil:
		x.reader.SetPieces(m.Pieces)
	case m.Value == nil:
		if len(m.Body) > keepBody {
			x.body = x.session.handler.memory.bodies.Get(len(m.Body))
		}
		x.body = append(x.body[:0], m.Body...)
		x.reader.Set(x.body)
	}
	credit := max(m.Credit, 1)
	if !conn.Supports(transport.Credit) {
		credit = math.MaxInt // the wire itself holds a fast command up
	}
	id := base.ID{Session: x.session.id, Seq: m.Seq}
	if m.Origin != nil {
		id = *m.Origin
	}
	x.mu.Lock()
	x.ctx.parent = x.session.ctx
	x.ctx.serve(id, x.session.named || m.Origin != nil, m.Metadata, conn.At(), m.Timeout)
	x.seq, x.slot, x.link, x.granted, x.credits = m.Seq, m.Slot, conn, credit, 0
	x.ended, x.running, x.rejected, x.timedOut, x.results = false, true, false, false, 0
	if x.session.named {
		x.letGoLocked()
	}
	x.inputs = nil
	x.turn, x.flushed = t, false
	x.started = t.role != nil && !x.late(t)
	x.mu.Unlock()
}

// arm starts the timer of a command's deadline. One that its leader runs needs none: most are
// over soon, and another goroutine leads before one waits, or takes long. The caller holds mu.
func (x *command[T]) arm() {
	if x.running && x.ctx.timeout > 0 {
		x.session.handler.wheel.Start(x.arming(), x.ctx.timeout-time.Since(x.ctx.at))
	}
}

// arming returns the record's timer, which is about to be started. The caller holds mu.
func (x *command[T]) arming() *wheel.Timer {
	if x.timer.Fire == nil {
		x.timer.Fire = x.expire
	}
	x.armed = true
	return &x.timer
}

// refuse ends a command that is not run. Nobody has got a ctx of it; that of the command before on
// this record has ended.
func (x *command[T]) refuse(conn *transport.Conn, m *transport.Message, refusal *base.Error) {
	x.mu.Lock()
	x.seq, x.slot, x.link, x.ended, x.started, x.timedOut = m.Seq, m.Slot, conn, false, false, false
	if x.session.named {
		x.letGoLocked()
	}
	x.mu.Unlock()
	copied := *refusal
	x.end(m.Seq, &copied)
	x.session.mu.Lock()
	x.session.returned()
	x.session.mu.Unlock()
}

// LocalAddr returns the server's address of the connection.
func (x *command[T]) LocalAddr() net.Addr { return x.session.last.Load().LocalAddr() }

// RemoteAddr returns the client's address.
func (x *command[T]) RemoteAddr() net.Addr { return x.session.last.Load().RemoteAddr() }

// start says that the command, which has not started as it began, is about to run, unless it
// has ended before, or its time has run out.
func (x *command[T]) start(seq base.Seq, t turn) *base.Error {
	x.mu.Lock()
	x.turn, x.flushed = t, false
	over, late, why := x.hasEnded(), x.late(t), x.ctx.cause
	x.started, x.timedOut = !over && !late, late
	if t.role == nil && x.started {
		x.arm()
	}
	x.mu.Unlock()
	switch {
	case over:
		return ended(seq, why)
	case late:
		return tooLate()
	}
	return nil
}

func tooLate() *base.Error {
	return &base.Error{Outcome: base.Rejected, Code: base.ErrDeadline, Message: "the command's deadline passed before the server ran it"}
}

// late tells whether the command's deadline has passed: where a leader runs it, by the time at
// which it has last looked at the clock, after the command before. The caller holds mu.
func (x *command[T]) late(t turn) bool {
	switch {
	case x.ctx.timeout <= 0:
		return false
	case t.role != nil:
		return time.Duration(t.began-x.session.handler.watchdog.since(x.ctx.at)) >= x.ctx.timeout
	}
	return time.Since(x.ctx.at) >= x.ctx.timeout
}

func (x *command[T]) check(seq base.Seq) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.checkLocked(seq)
}

func (x *command[T]) checkLocked(seq base.Seq) error {
	switch {
	case x.seq != seq:
		return ended(seq, nil)
	case x.hasEnded():
		return ended(seq, x.ctx.cause)
	}
	return nil
}

func ended(seq base.Seq, why error) *base.Error {
	return &base.Error{Outcome: base.Failed, Code: base.ErrCommandEnded, Seq: seq, Message: "the command has ended, its proxy can't send any more", Err: why}
}

// hasEnded tells whether the command's last frame was appended, or, in a session,
// made. That of a large result is appended by the connection's drain, whenever its
// turn comes. The caller holds mu.
func (x *command[T]) hasEnded() bool {
	if x.sending != nil {
		x.lookWhetherSent()
	}
	return x.ended
}

func (x *command[T]) lookWhetherSent() {
	if m := x.sending; m.Last && !x.ended && !x.session.named {
		x.ended = x.link.Progress(m) == transport.Whole
	}
}

// hasSent tells whether the command has sent a result.
func (x *command[T]) hasSent() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.results > 0
}

// over tells whether the command has ended.
func (x *command[T]) over() bool {
	x.mu.Lock()
	ended := x.hasEnded()
	x.mu.Unlock()
	return ended
}
