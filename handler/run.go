package handler

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/cmdstream/cmdstream/base"
)

// run runs a command, to whatever end.
func (c *Conn[T]) run(x *command[T]) {
	var cmd base.Cmd[T]
	seq, returned, refused := x.seq, false, false
	defer c.finish(x)
	defer func() {
		if !returned {
			c.broken(x, seq, cmd, recover())
		}
	}()
	failure := x.start(seq)
	if failure == nil {
		cmd, failure = x.decode()
		refused = failure != nil
	}
	if failure == nil {
		failure = c.conclude(x, seq, c.handler.Invoker.Invoke(&x.ctx, x.at, seq, cmd, x))
	}
	if failure != nil {
		x.end(seq, failure)
	}
	returned = true
	if refused && c.handler.Strict {
		c.conn.Settle(time.Second)
		c.conn.Fail(failure)
	}
}

// broken ends a command whose code panicked with v, or ended its goroutine.
func (c *Conn[T]) broken(x *command[T], seq base.Seq, cmd base.Cmd[T], v any) {
	who, failure := "the command", &base.Error{Outcome: base.Failed, Code: base.ErrPanic}
	if cmd == nil { // nothing was run
		who, failure.Outcome = "the server's codec", base.Rejected
	}
	failure.Message = fmt.Sprintf("%s panicked: %v", who, v)
	if v == nil {
		failure.Message = who + " ended its goroutine by runtime.Goexit"
	}
	defer x.end(seq, failure) // whatever OnPanic does
	c.panicked(x, cmd, v)
}

// decode makes the command from its body. An error of the codec is a rejection:
// nothing was run.
func (x *command[T]) decode() (base.Cmd[T], *base.Error) {
	if x.value != nil {
		return x.value.(base.Cmd[T]), nil
	}
	x.reader.B = x.body
	cmd, err := x.conn.handler.Codec.Decode(&x.reader)
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
// before.
func (c *Conn[T]) conclude(x *command[T], seq base.Seq, err error) *base.Error {
	switch over := x.over(); {
	case over && err != nil:
		c.handler.Logger.Debug("a command returned an error after its end", "seq", seq, "error", err)
		return nil
	case over:
		return nil
	case err != nil:
		failure := failureOf(err)
		if !c.handler.custom || x.hasSent() {
			failure.Outcome = base.Failed // for it has run
		}
		return failure
	}
	return &base.Error{Outcome: base.Failed, Code: base.ErrNoResult, Message: "the command returned without a last result"}
}

// finish lets go of a command whose Exec has returned. Its ctx ends in any case:
// a goroutine that the command left behind may ask for it only now.
func (c *Conn[T]) finish(x *command[T]) {
	x.ctx.cancel(context.Canceled, errReturned)
	if !x.deadline.IsZero() {
		c.handler.wheel.Stop(&x.timer)
	}
	x.value, x.reader.B = nil, nil
	if cap(x.body) > keepBody {
		x.body = nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	x.mu.Lock()
	x.running = false
	x.mu.Unlock()
	if c.table[x.slot] != x {
		n := len(c.left) - 1
		c.left[x.place], c.left[n].place = c.left[n], x.place
		c.left[n], c.left = nil, c.left[:n]
		c.free = append(c.free, x)
	}
	c.running.Add(-1)
}

var errReturned = &base.Error{Outcome: base.Unknown, Code: base.ErrCommandEnded, Message: "the command has returned"}

// keepBody is the capacity in bytes that a record keeps for the next command.
const keepBody = 4 << 10

// panicked reports a panic in the code that belongs to what: a command, or a
// result.
func (c *Conn[T]) panicked(x *command[T], what, v any) {
	p := Panic{Seq: x.seq, Value: v, Stack: debug.Stack(), RemoteAddr: c.conn.RemoteAddr().String()}
	if what != nil {
		p.Cmd = base.NameOf(what)
	}
	if c.handler.OnPanic == nil {
		c.handler.Logger.Error("a command panicked", "seq", p.Seq, "value", p.Value, "remote", p.RemoteAddr, "stack", string(p.Stack))
		return
	}
	defer func() {
		if v := recover(); v != nil {
			c.handler.Logger.Error("OnPanic panicked itself", "value", v)
		}
	}()
	c.handler.OnPanic(p)
}
