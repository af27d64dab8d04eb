package handler

import (
	"context"
	"errors"
	"fmt"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// end ends the command by a failure, unless it has ended already.
func (x *command[T]) end(seq base.Seq, failure *base.Error) {
	x.mu.Lock()
	if x.seq != seq {
		x.mu.Unlock()
		return
	}
	told := x.endLocked(failure, false)
	told.apart = x.started && !x.led()
	x.mu.Unlock()
	x.tell(told)
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
	x.timedOut = ctxErr == context.DeadlineExceeded
	if !x.started { // nor will it be
		failure.Outcome = base.Rejected
	}
	told := x.endLocked(failure, true)
	told.apart = x.timedOut                                       // the wheel says so, and else who reads
	x.ctx.cancel(ctxErr, failure)                                 // before the lock is gone, and with it, perhaps, the command
	removed := !x.started && x.session.handler.admitted.remove(x) // likewise
	x.mu.Unlock()
	x.tell(told)
	if removed {
		x.session.finish(x)
	}
}

// told is what remains to be done about a failure once no lock is held: to flush, or
// to end the connection with err.
type told struct {
	conn  *transport.Conn // nil: nothing remains
	flush bool
	err   error
	soon  bool // in a goroutine of its own: more results are likely to follow
	apart bool // by a goroutine that is not the leader: its answers are not held back
}

// endLocked appends the failure that ends the command, unless it has ended already.
// atOnce says that nobody wants the results that are still to be sent. The caller
// holds mu, and calls tell afterwards.
func (x *command[T]) endLocked(failure *base.Error, atOnce bool) told {
	if x.hasEnded() {
		return told{}
	}
	x.ended, x.rejected = true, failure.Outcome == base.Rejected
	x.endInputs()
	x.signal()
	if x.sendOver != nil {
		x.sendOver.Broadcast() // nobody waits for a Send that goes on
	}
	conn := x.link
	if m := x.sending; !x.session.named && m != nil && conn.Abort(m) == transport.Whole && m.Last {
		return told{} // it has just become whole
	}
	if x.timedOut {
		x.session.handler.Counters.Deadlines.Add(1)
	}
	if x.session.named {
		return x.keepFailure(failure, atOnce)
	}
	if !conn.Supports(transport.Failure) {
		failure.Seq = x.seq
		return told{conn: conn, err: failure}
	}
	flush, err := conn.Append(&transport.Message{Kind: transport.Failure, Slot: x.slot, Err: failure})
	return told{conn: conn, flush: flush, err: err}
}

// tell does what remains to be done. Where the wire has no failures the connection
// ends instead.
func (x *command[T]) tell(t told) {
	switch {
	case t.flush && t.soon:
		t.conn.FlushSoon()
	case t.flush:
		t.conn.Flush(x.session.crowd())
	case t.apart && t.conn != nil:
		t.conn.WriteHeld()
	}
	if t.err != nil {
		t.conn.Fail(t.err)
	}
}

// expire is called by the wheel when the deadline may have passed, or the time in the
// queue; the record may be a later command's by then.
func (x *command[T]) expire() {
	x.mu.Lock()
	seq, late := x.seq, x.late(turn{})
	x.mu.Unlock()
	admitted := &x.session.handler.admitted
	if late {
		x.cancel(seq, context.DeadlineExceeded, &base.Error{Outcome: base.Unknown, Code: base.ErrDeadline, Message: "the command's deadline passed while the server was running it"})
		return
	}
	if admitted.overdue(x) {
		x.shed(admitted.busy(fmt.Sprintf("this one has waited for %v", admitted.maxWait), admitted.maxWait))
	}
}

// failureOf is the failure that tells the client of an error of Exec, an Invoker or
// a codec. That the command was rejected is not believed of an error that comes from
// another server, or from a command that was sent there: this one may have run.
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

// detail is what a Detailed error in err's tree adds, unless that panics.
func detail(err error) (text string) {
	defer func() {
		if recover() != nil {
			text = ""
		}
	}()
	var d base.Detailed
	if errors.As(err, &d) {
		return d.Detail()
	}
	return ""
}

// errorText is err.Error(), unless that panics. Of an *Error that was made here it
// is the message and the cause: the client knows the rest.
func errorText(err error) (text string) {
	if ran, ok := err.(*ranError); ok {
		err = ran.error
	}
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
