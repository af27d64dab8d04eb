package handler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
// for a later command, see recycle; a Proxy that was kept is then told from the
// new command's by its Seq.
type command[T any] struct {
	conn  *Conn[T]
	ctx   commandContext
	place int // in conn.left, of a record that is there; under conn.mu

	// What the reader sets, before the command runs.
	at    time.Time
	slot  int
	body  []byte
	value any // the decoded command, of a transport that decodes itself

	timer  wheel.Timer
	reader transport.Body
	wake   chan struct{} // of capacity 1: credit came, or the command has ended

	sendMu  sync.Mutex // one Send at a time, so that results keep their order; protects scratch and message
	scratch transport.Buffer
	message transport.Message

	mu       sync.Mutex // protects what follows; taken inside sendMu
	seq      base.Seq   // the command's, also after it has ended
	deadline time.Time  // zero: none
	credit   int
	ended    bool               // its last frame was appended: the slot is the client's again
	running  bool               // its Exec has not returned yet
	started  bool               // its codec, and then its Exec, was called
	sending  *transport.Message // a large result on its way
}

func newCommand[T any](c *Conn[T]) *command[T] {
	x := &command[T]{conn: c, wake: make(chan struct{}, 1), ended: true}
	x.ctx.parent = c.ctx
	x.timer.Fire = x.expire
	return x
}

// recycle makes the record of a command that has returned ready for another one,
// unless somebody holds on to it: to its ctx, or in a Send that is still under
// way in a goroutine which the command left behind.
func (x *command[T]) recycle() bool {
	if !x.sendMu.TryLock() {
		return false
	}
	defer x.sendMu.Unlock()
	return x.ctx.recycle()
}

// begin makes x the record of the command in m. Only the reader calls it.
func (x *command[T]) begin(m *transport.Message, at time.Time) {
	x.at, x.slot, x.value = at, m.Slot, m.Value
	switch {
	case m.Owned:
		x.body = m.Body
	case m.Value == nil:
		x.body = append(x.body[:0], m.Body...)
	}
	var deadline time.Time
	if m.Timeout > 0 {
		deadline = at.Add(m.Timeout)
		x.ctx.setDeadline(deadline)
	}
	credit := max(m.Credit, 1)
	if !x.conn.conn.Supports(transport.Credit) {
		credit = math.MaxInt // the wire itself holds a fast command up
	}
	x.mu.Lock()
	x.seq, x.deadline, x.credit = m.Seq, deadline, credit
	x.ended, x.running, x.started = false, true, false
	x.mu.Unlock()
	if m.Timeout > 0 {
		x.conn.handler.wheel.Start(&x.timer, m.Timeout)
	}
}

// LocalAddr returns the server's address of the connection.
func (x *command[T]) LocalAddr() net.Addr { return x.conn.conn.LocalAddr() }

// RemoteAddr returns the client's address.
func (x *command[T]) RemoteAddr() net.Addr { return x.conn.conn.RemoteAddr() }

// Send implements base.Proxy.
func (x *command[T]) Send(seq base.Seq, result base.Result) error {
	if err := x.check(seq); err != nil {
		return err
	}
	x.sendMu.Lock()
	defer x.sendMu.Unlock()
	if err := x.takeCredit(seq); err != nil {
		return err
	}
	last, err := x.encode(result)
	if err != nil {
		x.addCredit(1)
		return err
	}
	for {
		err = x.send(seq, last)
		if err != transport.ErrNoRoom {
			return err
		}
		if err := x.conn.conn.Room(&x.ctx); err != nil {
			return cmp.Or(x.check(seq), err)
		}
	}
}

// start says that the command is about to run, unless it has ended before, or
// its time has run out.
func (x *command[T]) start(seq base.Seq) *base.Error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.hasEnded() {
		return ended(seq, x.ctx.why())
	}
	if x.late() {
		return &base.Error{Outcome: base.Rejected, Code: base.ErrDeadline, Message: "the command's deadline passed before the server ran it"}
	}
	x.started = true
	return nil
}

// late tells whether the command's deadline has passed. The caller holds mu.
func (x *command[T]) late() bool {
	return !x.deadline.IsZero() && !time.Now().Before(x.deadline)
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
		return ended(seq, x.ctx.why())
	}
	return nil
}

func ended(seq base.Seq, why error) *base.Error {
	return &base.Error{Outcome: base.Failed, Code: base.ErrCommandEnded, Seq: seq, Message: "the command has ended, its proxy can't send any more", Err: why}
}

// hasEnded tells whether the command's last frame was appended. That of a large
// result is appended by the connection's drain, whenever its turn comes. The
// caller holds mu.
func (x *command[T]) hasEnded() bool {
	if m := x.sending; m != nil && m.Last && !x.ended {
		x.ended = x.conn.conn.Progress(m) == transport.Whole
	}
	return x.ended
}

// over tells whether the command has ended.
func (x *command[T]) over() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.hasEnded()
}

// takeCredit waits until the client has given credit for a result.
func (x *command[T]) takeCredit(seq base.Seq) error {
	for {
		x.mu.Lock()
		err := x.checkLocked(seq)
		if err == nil && x.credit > 0 {
			x.credit--
			x.mu.Unlock()
			return nil
		}
		x.mu.Unlock()
		if err != nil {
			return err
		}
		<-x.wake
	}
}

// addCredit lets n more results go.
func (x *command[T]) addCredit(n int) {
	x.mu.Lock()
	x.credit += min(n, math.MaxInt-x.credit)
	x.mu.Unlock()
	x.signal()
}

func (x *command[T]) signal() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// encode encodes a result into scratch. A panic of the codec, or of LastOne, is
// an error of this Send.
func (x *command[T]) encode(result base.Result) (last bool, err error) {
	if result == nil {
		return false, &base.Error{Outcome: base.Failed, Code: base.ErrEncode, Seq: x.seq, Message: "the result is nil"}
	}
	defer func() {
		if v := recover(); v != nil {
			x.conn.panicked(x, result, v)
			err = &base.Error{Outcome: base.Failed, Code: base.ErrPanic, Seq: x.seq, Message: fmt.Sprintf("encoding a %T panicked: %v", result, v)}
		}
	}()
	last = result.LastOne()
	x.scratch.Reset()
	if err := x.conn.handler.Codec.Encode(result, &x.scratch); err != nil {
		var e *base.Error
		if !errors.As(err, &e) || e == nil {
			e = &base.Error{Outcome: base.Failed, Code: base.ErrEncode, Seq: x.seq, Message: fmt.Sprintf("a %T can't be encoded", result), Err: err}
		}
		return false, e
	}
	if limit := x.conn.maxResultSize; limit > 0 && len(x.scratch.B) > limit {
		return false, &base.Error{Outcome: base.Failed, Code: base.ErrTooLargeResult, Seq: x.seq, Message: fmt.Sprintf("a result has %d bytes, the client's MaxResultSize is %d", len(x.scratch.B), limit)}
	}
	return last, nil
}

// send sends what is in scratch, unless the command has ended meanwhile: that is
// checked under the lock under which the result is appended, so that nothing can
// follow a command's last frame.
func (x *command[T]) send(seq base.Seq, last bool) error {
	conn := x.conn.conn
	x.mu.Lock()
	if err := x.checkLocked(seq); err != nil {
		x.mu.Unlock()
		return err
	}
	x.message = transport.Message{Kind: transport.Result, Slot: x.slot, Last: last, Body: x.scratch.B}
	flush, err := conn.Append(&x.message)
	large := err == nil && x.message.Large()
	switch {
	case large:
		x.sending = &x.message
	case err == nil && last:
		x.ended = true
	}
	x.mu.Unlock()
	if flush {
		conn.Flush(x.conn.crowd())
	}
	if large {
		return x.sendLarge(seq)
	}
	return err
}

// sendLarge waits until a large result is written. If the command ends before,
// the result is given up by whoever ended it.
func (x *command[T]) sendLarge(seq base.Seq) error {
	conn := x.conn.conn
	err := conn.Wait(context.Background(), &x.message)
	x.mu.Lock()
	defer x.mu.Unlock()
	progress := conn.Progress(&x.message)
	if progress == transport.Cut {
		x.scratch.B = nil // a piece of it may still be on its way
	}
	x.hasEnded()
	x.sending = nil
	switch {
	case progress == transport.Whole:
		return nil
	case err != nil:
		return err
	}
	return x.checkLocked(seq)
}

// end ends the command by a failure, unless it has ended already.
func (x *command[T]) end(seq base.Seq, failure *base.Error) {
	x.mu.Lock()
	if x.seq != seq {
		x.mu.Unlock()
		return
	}
	flush, err := x.endLocked(failure)
	x.mu.Unlock()
	x.tell(flush, err)
}

// cancel ends the command because its client gave it up, its time ran out, or
// its connection was lost. Its Exec may run on, as it may after its last result;
// it is told by its ctx.
func (x *command[T]) cancel(seq base.Seq, ctxErr error, failure *base.Error) {
	x.mu.Lock()
	if x.seq != seq || !x.running {
		x.mu.Unlock()
		return
	}
	if !x.started && failure.Outcome == base.Unknown {
		failure.Outcome = base.Rejected
	}
	flush, err := x.endLocked(failure)
	x.ctx.cancel(ctxErr, failure) // before the lock is gone, and with it, perhaps, the command
	x.mu.Unlock()
	x.tell(flush, err)
}

// endLocked appends the failure that ends the command, unless it has ended
// already. The caller holds mu, and calls tell afterwards.
func (x *command[T]) endLocked(failure *base.Error) (flush bool, err error) {
	conn := x.conn.conn
	if x.hasEnded() {
		return false, nil
	}
	x.ended = true
	if m := x.sending; m != nil && conn.Abort(m) == transport.Whole && m.Last {
		return false, nil // it has just become whole
	}
	x.signal()
	if !conn.Supports(transport.Failure) {
		failure.Seq = x.seq
		return false, failure
	}
	return conn.Append(&transport.Message{Kind: transport.Failure, Slot: x.slot, Err: failure})
}

// tell does what remains to be done about a failure once no lock is held. Where
// the wire has no failures the connection ends instead.
func (x *command[T]) tell(flush bool, err error) {
	conn := x.conn.conn
	if flush {
		conn.Flush(x.conn.crowd())
	}
	if err != nil {
		conn.Fail(err)
	}
}

// expire is called by the wheel when the deadline may have passed; the record may
// be a later command's by then.
func (x *command[T]) expire() {
	x.mu.Lock()
	seq, late := x.seq, x.late()
	x.mu.Unlock()
	if late {
		x.cancel(seq, context.DeadlineExceeded, &base.Error{Outcome: base.Unknown, Code: base.ErrDeadline, Message: "the command's deadline passed while the server was running it"})
	}
}

// failureOf is the failure that tells the client of an error of Exec. That the
// command was rejected is believed of an Invoker, but not of an error that comes
// from another command, which this one had sent to another server: this one ran.
func failureOf(err error) *base.Error {
	failure := &base.Error{Outcome: base.Failed, Code: base.ErrExec, Message: errorText(err)}
	var e *base.Error
	if errors.As(err, &e) && e != nil && e.Code != "" {
		failure.Code, failure.RetryAfter = e.Code, e.RetryAfter
		if e.Outcome == base.Rejected && !e.Remote && e.Cmd == "" {
			failure.Outcome = base.Rejected
		}
	}
	return failure
}

// errorText is err.Error(), unless that panics. Of an *Error that was made here it
// is the message and the cause: the client knows the rest.
func errorText(err error) (text string) {
	defer func() {
		if v := recover(); v != nil {
			text = fmt.Sprintf("an error of type %T, whose Error panicked: %v", err, v)
		}
	}()
	if e, ok := err.(*base.Error); ok && e != nil && e.Message != "" && e.Cmd == "" && !e.Remote {
		if e.Err != nil {
			return e.Message + ": " + e.Err.Error()
		}
		return e.Message
	}
	return err.Error()
}
