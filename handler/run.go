package handler

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/cmdstream/cmdstream/base"
)

// run runs a command, to whatever end; t says who does. It returns the command if it has
// run in that turn, and the leader is to note how long its type takes.
func (x *command[T]) run(t turn) (ran base.Cmd[T]) {
	var cmd base.Cmd[T]
	seq, returned, refused := x.seq, false, false
	defer x.session.finish(x)
	defer x.session.handler.admitted.leave(x)
	defer func() {
		if !returned {
			x.broken(seq, cmd, recover())
		}
	}()
	var failure *base.Error
	if !x.started {
		failure = x.start(seq, t)
	}
	if failure == nil {
		cmd, failure = x.decode()
		if refused = failure != nil && failure.Code != base.ErrBusy; refused {
			x.session.handler.Counters.BadBodies.Add(1)
		}
	}
	if failure == nil {
		x.cmd = cmd
		ran, failure = x.invoke(seq, cmd, t)
	}
	if failure != nil {
		x.end(seq, failure)
	}
	returned = true
	if refused && x.session.handler.Strict {
		conn := x.session.last.Load()
		conn.Settle(time.Second)
		conn.Fail(failure)
	}
	return ran
}

// invoke runs the command itself. A leader hands reading over first if its type takes long,
// and it is noted here how long it took; else the command is returned for that.
func (x *command[T]) invoke(seq base.Seq, cmd base.Cmd[T], t turn) (ran base.Cmd[T], failure *base.Error) {
	h := x.session.handler
	if t.role == nil {
		return nil, x.conclude(seq, h.Invoker.Invoke(&x.ctx, x.ctx.at, seq, cmd, x))
	}
	slow := h.paces.slow(cmd)
	if slow == nil {
		return cmd, x.conclude(seq, h.Invoker.Invoke(&x.ctx, x.ctx.at, seq, cmd, x))
	}
	t.pass()
	began := time.Now()
	failure = x.conclude(seq, h.Invoker.Invoke(&x.ctx, x.ctx.at, seq, cmd, x))
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.flushed {
		slow.ranApart(time.Since(began))
	}
	return nil, failure
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

// conclude returns how a command ended that has returned err; nil, if it ended
// before, or is to be ended by finish.
func (x *command[T]) conclude(seq base.Seq, err error) *base.Error {
	switch {
	case err == nil:
		return nil
	case x.over():
		x.session.handler.Logger.Debug("a command returned an error after its end", "seq", seq, "error", err)
		return nil
	}
	failure := failureOf(err)
	failure.Message += detail(err)
	if !x.session.handler.custom || x.hasSent() {
		failure.Outcome = base.Failed // for it has run
	}
	return failure
}

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
