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
