package handler

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/cmdstream/cmdstream/base"
)

// run runs a command, to whatever end; t says who does. It returns the command if it has
// run in that turn, and the leader is to note how long its type takes; or apart, if that takes
// long: the command was decoded only, and the leader hands reading over, and returns it.
func (x *command[T]) run(t turn) (ran base.Cmd[T], apart bool) {
	seq, returned := x.seq, false
	defer func() {
		switch {
		case apart:
		case !returned:
			x.brokenOff(seq, t, recover())
		default:
			x.gone()
		}
	}()
	if x.cmd == nil {
		x.cmd = x.ready(seq, t)
	} else if x.over() { // since its leader has decoded it
		x.cmd = nil
	}
	switch {
	case x.cmd == nil: // it has ended
	case t.role != nil && x.isSlow():
		apart = true
	default:
		var err error
		ran = x.cmd
		if usual := x.session.handler.usual; usual != nil { // as it would, without its frame
			err = ran.Exec(&x.ctx, x.ctx.at, seq, usual.receiver, x)
		} else {
			err = x.invoke(seq)
		}
		if err != nil {
			x.failed(seq, err)
		}
	}
	returned = true
	return ran, apart
}

// brokenOff is the end of run where the command's code has panicked with v, or, if v is nil, ends
// its goroutine: then another has to lead.
func (x *command[T]) brokenOff(seq base.Seq, t turn, v any) {
	goesOn := false
	defer func() { // whatever OnPanic does
		x.gone()
		if !goesOn {
			t.pass()
		}
	}()
	x.broken(seq, x.cmd, v)
	goesOn = v != nil
}

// work runs a command that has the goroutine to itself.
func (x *command[T]) work() {
	if x.slow != nil {
		x.alone = x.session.handler.watchdog.now()
	}
	x.run(turn{})
}

// startTimer starts the timer of a command that its leader has decoded, and hands over.
func (x *command[T]) startTimer() {
	x.mu.Lock()
	x.arm()
	x.mu.Unlock()
}

// ready starts the command and decodes it; nil: it may not run, which has ended it.
func (x *command[T]) ready(seq base.Seq, t turn) base.Cmd[T] {
	// Whoever ended the session may have ended the command since it began.
	if x.started && !x.session.ended.Load() || x.startNow(seq, t) {
		return x.decodeOrEnd(seq)
	}
	return nil
}

// invoke has the user's Invoker run the command.
func (x *command[T]) invoke(seq base.Seq) error {
	return x.session.handler.Invoker.Invoke(&x.ctx, x.ctx.at, seq, x.cmd, x)
}

// gone is the end of run.
func (x *command[T]) gone() {
	if x.slow != nil {
		x.noteSlow(time.Duration(x.session.handler.watchdog.now() - x.alone))
	}
	x.session.handler.admitted.leave(x)
	x.session.finish(x)
}

// isSlow tells whether the command's type takes long.
func (x *command[T]) isSlow() bool {
	x.slow = x.session.handler.paces.slow(x.cmd)
	return x.slow != nil
}

// noteSlow notes how long the command took, whose type takes long.
func (x *command[T]) noteSlow(took time.Duration) {
	x.mu.Lock()
	flushed := x.flushed
	x.mu.Unlock()
	if !flushed {
		x.slow.ranApart(took)
	}
	x.slow = nil
}

// startNow starts a command that has not started as it began. If it may not, that ends it.
func (x *command[T]) startNow(seq base.Seq, t turn) bool {
	failure := x.start(seq, t)
	if failure != nil {
		x.end(seq, failure)
	}
	return failure == nil
}

// decodeOrEnd returns the command that is in the body; nil: it is refused, which has ended it.
func (x *command[T]) decodeOrEnd(seq base.Seq) base.Cmd[T] {
	cmd, failure := x.decode()
	if failure != nil {
		x.refuseBody(seq, failure)
		return nil
	}
	return cmd
}

// refuseBody ends a command that can't be decoded, or has no memory to be.
func (x *command[T]) refuseBody(seq base.Seq, failure *base.Error) {
	busy := failure.Code == base.ErrBusy
	if !busy {
		x.session.handler.Counters.BadBodies.Add(1)
	}
	x.end(seq, failure)
	if !busy && x.session.handler.Strict {
		conn := x.session.last.Load()
		conn.Settle(time.Second)
		conn.Fail(failure)
	}
}

// broken ends a command whose code panicked with v, or ended its goroutine.
func (x *command[T]) broken(seq base.Seq, cmd base.Cmd[T], v any) {
	who, failure := "the command", &base.Error{Outcome: base.Failed, Code: base.ErrPanic}
	if cmd == nil { // nothing was run
		who, failure.Outcome = "the server's codec", base.Rejected
	}
	failure.Message = fmt.Sprintf("%s panicked: %v", who, v)
	if v == nil {
		failure.Message = who + " ended its goroutine by runtime.Goexit"
	}
	defer x.end(seq, failure) // whatever OnPanic does
	x.panicked(seq, cmd, v)
}

// decode makes the command from its body. An error of the codec is a rejection:
// nothing was run.
func (x *command[T]) decode() (base.Cmd[T], *base.Error) {
	if x.value != nil {
		return x.value.(base.Cmd[T]), nil
	}
	if x.compressed {
		plain, held, failure := x.session.decompress(x.reader.Bytes(), x.memory)
		if failure != nil {
			return nil, failure
		}
		x.reader.Replace(plain)
		x.held += held
	}
	cmd, err := x.session.handler.Codec.Decode(&x.reader)
	switch {
	case err != nil:
		failure := failureOf(err)
		failure.Outcome = base.Rejected
		if failure.Code == base.ErrExec {
			failure.Code = base.ErrDecode
			failure.Message = "the server's codec refused the command: " + failure.Message
		}
		return nil, failure
	case cmd == nil:
		return nil, nilCommand()
	}
	return cmd, nil
}

// failed ends a command that has returned err, unless it has ended before.
func (x *command[T]) failed(seq base.Seq, err error) {
	if x.over() {
		x.session.handler.Logger.Debug("a command returned an error after its end", "seq", seq, "error", err)
		return
	}
	failure := failureOf(err)
	failure.Message += detail(err)
	if x.session.handler.usual != nil || x.hasSent() {
		failure.Outcome = base.Failed // for it has run
	}
	x.end(seq, failure)
}

// noResult is the end of a command that has returned, and has not ended.
func noResult() *base.Error {
	return &base.Error{Outcome: base.Failed, Code: base.ErrNoResult, Message: "the command returned without a last result"}
}

var errReturned = &base.Error{Outcome: base.Unknown, Code: base.ErrCommandEnded, Message: "the command has returned"}

// keepBody is the capacity in bytes that a record keeps for the next command.
const keepBody = 4 << 10

// keepMetadata is the same for its metadata.
const keepMetadata = 1 << 10

// panicked reports a panic in the code that belongs to what: a command, or a
// result.
func (x *command[T]) panicked(seq base.Seq, what, v any) {
	h := x.session.handler
	p := Panic{Seq: seq, Value: v, Stack: debug.Stack(), RemoteAddr: x.RemoteAddr().String()}
	h.Counters.Panics.Add(1)
	if what != nil {
		p.Cmd = base.NameOf(what)
	}
	if h.OnPanic == nil {
		h.Logger.Error("a command panicked", "seq", p.Seq, "value", p.Value, "remote", p.RemoteAddr, "stack", string(p.Stack))
		return
	}
	defer func() {
		if v := recover(); v != nil {
			h.Logger.Error("OnPanic panicked itself", "value", v)
		}
	}()
	h.OnPanic(p)
}
