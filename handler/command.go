package handler

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/internal/wheel"
	"github.com/cmdstream/cmdstream/transport"
)

// command is the record of a command: what is kept of it from its frame until
// its Exec has returned. It is the command's Proxy too. A record is used again
// when nobody can hold on to it; a Proxy that was kept is then told from the new
// command's by its Seq.
type command[T any] struct {
	conn *Conn[T]
	ctx  commandContext

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

	mu      sync.Mutex // protects what follows; taken inside sendMu
	seq     base.Seq   // the command's, also after it has ended
	credit  int
	ended   bool               // its last frame was appended: the slot is the client's again
	running bool               // its Exec has not returned yet
	started bool               // its codec, and then its Exec, was called
	sending *transport.Message // a large result on its way
}

func newCommand[T any](c *Conn[T]) *command[T] {
	x := &command[T]{conn: c, wake: make(chan struct{}, 1), ended: true}
	x.timer.Fire = x.expire
	return x
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
	}
	x.ctx.reset(x.conn.ctx, deadline)
	select {
	case <-x.wake: // left over from the command before
	default:
	}
	x.mu.Lock()
	x.seq, x.credit, x.ended, x.running = m.Seq, max(m.Credit, 1), false, true
	x.started = false
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
			return err
		}
	}
}

// start says that the command is about to run, unless it has ended before: its
// client gave it up, or its time ran out.
func (x *command[T]) start(seq base.Seq) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.started = true
	return x.checkLocked(seq)
}

func (x *command[T]) check(seq base.Seq) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.checkLocked(seq)
}

func (x *command[T]) checkLocked(seq base.Seq) error {
	if x.seq == seq && !x.hasEnded() {
		return nil
	}
	err := &base.Error{Outcome: base.Failed, Code: base.ErrCommandEnded, Seq: seq, Message: "the command has ended, its proxy can't send any more"}
	if x.seq == seq {
		err.Err = x.ctx.why()
	}
	return err
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

// addCredit lets n more results go. More than the client can have meant is
// ignored.
func (x *command[T]) addCredit(n int) {
	x.mu.Lock()
	x.credit = min(x.credit+n, maxCredit)
	x.mu.Unlock()
	x.signal()
}

const maxCredit = 1 << 30

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
		e := &base.Error{Outcome: base.Failed, Code: base.ErrEncode, Seq: x.seq, Message: fmt.Sprintf("a %T can't be encoded", result), Err: err}
		errors.As(err, &e)
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
		return x.sendLarge(seq, last)
	}
	if err == nil && last {
		x.conn.handler.wheel.Stop(&x.timer)
	}
	return err
}

// sendLarge waits until a large result is written. If the command ends before,
// the result is given up by whoever ended it.
func (x *command[T]) sendLarge(seq base.Seq, last bool) error {
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
	if progress == transport.Whole {
		if last {
			x.conn.handler.wheel.Stop(&x.timer)
		}
		return nil
	}
	if err != nil {
		return err
	}
	return x.checkLocked(seq)
}

// end ends the command by a failure, unless it has ended already.
func (x *command[T]) end(seq base.Seq, failure *base.Error) (ended bool) {
	conn := x.conn.conn
	x.mu.Lock()
	if x.seq != seq || x.hasEnded() {
		x.mu.Unlock()
		return false
	}
	if m := x.sending; m != nil && conn.Abort(m) == transport.Whole && m.Last {
		x.ended = true // it has just become whole
		x.mu.Unlock()
		return false
	}
	x.ended = true
	if !x.started && failure.Outcome == base.Unknown {
		failure.Outcome = base.Rejected
	}
	var flush bool
	var err error
	if conn.Supports(transport.Failure) {
		flush, err = conn.Append(&transport.Message{Kind: transport.Failure, Slot: x.slot, Err: failure})
	} else {
		failure.Seq = seq
		err = failure
	}
	x.mu.Unlock()
	x.conn.handler.wheel.Stop(&x.timer)
	x.signal()
	if flush {
		conn.Flush(x.conn.crowd())
	}
	if err != nil {
		conn.Fail(err)
	}
	return true
}

// cancel ends the command because its client gave it up, its time ran out, or
// its connection was lost. Its Exec may run on, and is told by its ctx.
func (x *command[T]) cancel(seq base.Seq, ctxErr error, failure *base.Error) {
	if x.end(seq, failure) {
		x.ctx.cancel(ctxErr, failure)
	}
}

// expire is called by the wheel.
func (x *command[T]) expire() {
	x.mu.Lock()
	seq := x.seq
	x.mu.Unlock()
	x.cancel(seq, context.DeadlineExceeded, &base.Error{Outcome: base.Unknown, Code: base.ErrDeadline, Message: "the command's deadline passed while the server was running it"})
}

// failureOf is the failure that tells the client of an error of Exec.
func failureOf(err error) *base.Error {
	failure := &base.Error{Outcome: base.Failed, Code: base.ErrExec, Message: errorText(err)}
	var e *base.Error
	if errors.As(err, &e) && e.Code != "" {
		failure.Code, failure.RetryAfter = e.Code, e.RetryAfter
		if e.Outcome == base.Rejected {
			failure.Outcome = base.Rejected
		}
	}
	return failure
}

// errorText is err.Error(), unless that panics.
func errorText(err error) (text string) {
	defer func() {
		if v := recover(); v != nil {
			text = fmt.Sprintf("an error of type %T, whose Error panicked: %v", err, v)
		}
	}()
	return err.Error()
}
