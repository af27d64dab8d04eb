package client

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// Open sends cmd, which may then be sent inputs while it runs: the codec must have
// EncodeInput. ctx and Conf.Timeout bound all of it. The Call must be closed.
//
// The error is an *base.Error with outcome NotSent or Rejected; base.ErrUnsupported
// says that the codec, or the wire in use, has no inputs.
func (c *Client[T]) Open(ctx context.Context, cmd base.Cmd[T]) (base.Call, error) {
	encoder, ok := c.codec.(inputEncoder[T])
	if !ok {
		return nil, &base.Error{Outcome: base.NotSent, Code: base.ErrUnsupported, Cmd: base.NameOf(cmd), Message: "the codec has no EncodeInput"}
	}
	x := &exchange[T]{encoder: encoder, cmd: cmd, inputs: newInputs()}
	if deadline := c.deadline(); deadline.IsZero() {
		x.ctx, x.cancel = context.WithCancel(ctx)
	} else {
		x.ctx, x.cancel = context.WithDeadline(ctx, deadline)
	}
	var err error
	x.slot, x.seq, err = c.send(x.ctx, &call[T]{cmd: cmd, owner: waiting, credit: window, inputs: x.inputs})
	if err != nil {
		x.cancel()
		return nil, err
	}
	x.mu.Lock() // it may be called at once
	defer x.mu.Unlock()
	x.stop = context.AfterFunc(x.ctx, x.abandon)
	return x, nil
}

// exchange is a command of Open: a base.Call.
type exchange[T any] struct {
	encoder inputEncoder[T]
	cmd     base.Cmd[T]
	inputs  *inputs
	slot    *slot[T]
	seq     base.Seq
	ctx     context.Context // ends with the Call
	cancel  context.CancelFunc

	sending sync.Mutex // one input at a time; taken before the slot's mu

	mu   sync.Mutex  // protects what follows, and makes its holder the slot's owner
	stop func() bool // lets go of ctx
	end  error       // what Receive returns from now on; nil: the slot is the Call's
}

// Seq returns the command's number.
func (x *exchange[T]) Seq() base.Seq { return x.seq }

// Send implements base.Call.
func (x *exchange[T]) Send(input any) error {
	x.sending.Lock()
	defer x.sending.Unlock()
	m, err := x.encode(input)
	if err != nil {
		return err
	}
	if err := x.waitForCredit(); err != nil {
		return err
	}
	return x.send(m)
}

// CloseSend implements base.Call.
func (x *exchange[T]) CloseSend() error {
	x.sending.Lock()
	defer x.sending.Unlock()
	return x.send(&transport.Message{Kind: transport.Input, Last: true})
}

// encode encodes an input into memory of its own: it is kept until it was taken.
func (x *exchange[T]) encode(input any) (m *transport.Message, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = x.failed(base.ErrPanic, fmt.Sprintf("the codec panicked: %v", v), nil)
		}
	}()
	l := x.slot.link
	var body, compressed transport.Buffer
	if err := x.encoder.EncodeInput(x.cmd, input, &body); err != nil {
		return nil, x.failed(base.ErrEncode, "the codec can't encode the input", err)
	}
	if len(body.B) > l.maxCmdSize {
		return nil, x.failed(base.ErrTooLargeCmd, fmt.Sprintf("the input has %d bytes, the server's MaxCmdSize is %d", len(body.B), l.maxCmdSize), nil)
	}
	if err := l.compress(&compressed, body.B); err != nil {
		return nil, err
	}
	if len(compressed.B) > 0 {
		return &transport.Message{Kind: transport.Input, Body: compressed.B, Compressed: true}, nil
	}
	return &transport.Message{Kind: transport.Input, Body: body.B}, nil
}

// waitForCredit waits until one more input may be made.
func (x *exchange[T]) waitForCredit() error {
	for {
		x.slot.mu.Lock()
		in := x.inputs
		ended, ready := x.slot.inputs != in || in.ended, in.made < in.granted
		if in.changed == nil {
			in.changed = make(chan struct{})
		}
		changed := in.changed
		x.slot.mu.Unlock()
		switch {
		case ended:
			return io.EOF
		case ready:
			return nil
		}
		select {
		case <-changed:
		case <-x.ctx.Done():
			return x.failed(ctxCode(x.ctx), "its ctx ended before the input could be sent", context.Cause(x.ctx))
		}
	}
}

// send makes m the next input, and sends it if nothing is before it.
func (x *exchange[T]) send(m *transport.Message) error {
	s, in := x.slot, x.inputs
	s.mu.Lock()
	if s.inputs != in || in.ended {
		s.mu.Unlock()
		return io.EOF
	}
	in.kept = append(in.kept, m)
	in.made++
	in.ended = m.Last
	conn := s.conn
	s.mu.Unlock()
	if conn != nil {
		s.sendInputs(x.ctx, conn) // if it fails, the command ends, or its session sends them again
	}
	return nil
}

// failed makes the error of an input. The command is as it was.
func (x *exchange[T]) failed(code base.Code, message string, err error) error {
	return &base.Error{Code: code, Seq: x.seq, Cmd: base.NameOf(x.cmd), Message: message, Err: err}
}

// Receive implements base.Call.
func (x *exchange[T]) Receive() (base.Result, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for x.end == nil {
		result, last, err, ok := x.slot.pop()
		if !ok {
			if err := x.wait(); err != nil {
				return nil, x.finish(err)
			}
			continue
		}
		x.slot.handedOver()
		switch {
		case err != nil:
			x.slot.leave()
			return nil, x.finish(err)
		case last:
			x.slot.leave()
			x.finish(io.EOF)
		default:
			x.slot.taken(x.seq)
		}
		return result, nil
	}
	return nil, x.end
}

// wait waits for a result. The error is the command's end; the slot is left then.
func (x *exchange[T]) wait() error {
	mine, ended, failure := x.slot.wait(x.ctx)
	switch {
	case !mine:
		return failure
	case len(x.slot.out.items) > 0 || !ended:
		return nil
	}
	x.slot.link.release(x.slot)
	return failure
}

// finish notes how the Call ended. The caller holds mu.
func (x *exchange[T]) finish(err error) error {
	x.end = err
	x.stop()
	x.cancel()
	return err
}

// Close implements base.Call.
func (x *exchange[T]) Close() error {
	x.cancel() // a Receive that is under way gives the command up
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.end == nil {
		x.slot.leave()
		x.finish(x.failed(base.ErrCanceled, "the call was closed", nil))
	}
	return nil
}

// abandon gives the command up when ctx has ended, also where nobody is in Receive.
// If the command has ended before, Receive still tells how.
func (x *exchange[T]) abandon() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.end != nil {
		return
	}
	err := x.slot.wrap(base.Unknown, ctxCode(x.ctx), "its ctx ended while it was open", context.Cause(x.ctx))
	if outcome, left := x.slot.giveUp(); left {
		x.finish(withOutcome(err, outcome))
	}
}
