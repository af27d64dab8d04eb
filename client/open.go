package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// Open sends cmd, which may then be sent inputs while it runs: the codec must have
// EncodeInput. ctx and Conf.Timeout bound all of it. The Call must be closed. Neither the codec
// nor the methods of cmd may use it.
//
// The error is an *base.Error with outcome NotSent or Rejected; base.ErrUnsupported
// says that the codec, or the wire in use, has no inputs.
//
// Like a command of Do, one that its server has refused since it is draining, that never
// left, or that says that it may run twice, is sent again by itself, with the inputs that
// it was sent until then. It is not once a result has come of it, or it has taken four
// inputs, or where an input was compressed.
func (c *Client[T]) Open(ctx context.Context, cmd base.Cmd[T]) (base.Call, error) {
	encoder, ok := c.codec.(inputEncoder[T])
	if !ok {
		return nil, &base.Error{Outcome: base.NotSent, Code: base.ErrUnsupported, Cmd: base.NameOf(cmd), Message: "the codec has no EncodeInput"}
	}
	first := newInputs()
	x := &exchange[T]{client: c, encoder: encoder, call: call[T]{cmd: cmd, owner: waiting, credit: window, inputs: first}}
	if c.conf.Timeout > 0 {
		x.ctx, x.cancel = context.WithTimeout(ctx, c.conf.Timeout)
	} else {
		x.ctx, x.cancel = context.WithCancel(ctx)
	}
	s, seq, err := c.send(x.ctx, &x.call)
	if err != nil {
		x.cancel()
		return nil, err
	}
	x.seq = seq
	x.present.Store(&try[T]{slot: s, inputs: first, over: make(chan struct{})})
	x.mu.Lock() // it may be called at once
	defer x.mu.Unlock()
	x.stop = context.AfterFunc(x.ctx, x.abandon)
	return x, nil
}

// exchange is a command of Open: a base.Call.
type exchange[T any] struct {
	client  *Client[T]
	encoder inputEncoder[T]
	seq     base.Seq
	ctx     context.Context // ends with the Call
	cancel  context.CancelFunc
	present atomic.Pointer[try[T]]

	sending sync.Mutex // one input at a time; taken before the slot's mu

	mu   sync.Mutex  // protects what follows, and makes its holder the slot's owner
	call call[T]     // of the present try; its cmd never changes
	stop func() bool // lets go of ctx
	end  error       // what Receive returns from now on; nil: the slot is the Call's
}

// try is one sending of the command: see reopen.
type try[T any] struct {
	slot   *slot[T]
	inputs *inputs
	over   chan struct{} // closed when another has taken its place
}

// Seq returns the command's number.
func (x *exchange[T]) Seq() base.Seq { return x.seq }

// Send implements base.Call.
func (x *exchange[T]) Send(input any) error {
	x.sending.Lock()
	defer x.sending.Unlock()
	return x.onPresent(func(t *try[T]) error {
		m, err := x.encode(t, input)
		if err != nil {
			return err
		}
		if err := x.waitForCredit(t); err != nil {
			return err
		}
		return x.send(t, m)
	})
}

// CloseSend implements base.Call.
func (x *exchange[T]) CloseSend() error {
	x.sending.Lock()
	defer x.sending.Unlock()
	return x.onPresent(func(t *try[T]) error {
		return x.send(t, &transport.Message{Kind: transport.Input, Last: true})
	})
}

// onPresent calls send with the present try, and if that has ended, with the one that
// has taken its place.
func (x *exchange[T]) onPresent(send func(t *try[T]) error) error {
	for {
		t := x.present.Load()
		if err := send(t); err != io.EOF || !x.movesOn(t) {
			return err
		}
	}
}

// encode encodes an input into memory of its own: it is kept until it was taken.
func (x *exchange[T]) encode(t *try[T], input any) (m *transport.Message, err error) {
	defer func() {
		if v := recover(); v != nil {
			x.client.counters.panics.Add(1)
			err = x.failed(base.ErrPanic, fmt.Sprintf("the codec panicked: %v", v), nil)
		}
	}()
	l := t.slot.link
	var body, compressed transport.Buffer
	if err := x.encoder.EncodeInput(x.call.cmd, input, &body); err != nil {
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
func (x *exchange[T]) waitForCredit(t *try[T]) error {
	for {
		t.slot.mu.Lock()
		in := t.inputs
		ended, ready := t.slot.inputs != in || in.ended, in.made < in.granted
		if in.changed == nil {
			in.changed = make(chan struct{})
		}
		changed := in.changed
		t.slot.mu.Unlock()
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
func (x *exchange[T]) send(t *try[T], m *transport.Message) error {
	s, in := t.slot, t.inputs
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
	return &base.Error{Code: code, Seq: x.seq, Cmd: base.NameOf(x.call.cmd), Message: message, Err: err}
}

// Receive implements base.Call.
func (x *exchange[T]) Receive() (base.Result, error) {
	x.mu.Lock()
	returned := false
	defer x.unlock(&returned)
	result, err := x.receive()
	returned = true
	return result, err
}

// unlock is the end of what holds mu. If that has not returned, for the codec or a method of the
// command ends the goroutine, the Call ends.
func (x *exchange[T]) unlock(returned *bool) {
	defer x.mu.Unlock()
	if !*returned && x.end == nil {
		s := x.present.Load().slot
		err := s.errBrokenOff()
		s.leave(false)
		x.finish(err)
	}
}

// receive is Receive. The caller holds mu.
func (x *exchange[T]) receive() (base.Result, error) {
	for x.end == nil {
		t := x.present.Load()
		result, last, err, ok := t.slot.pop()
		if !ok {
			if err := x.wait(t); err != nil {
				return nil, err
			}
			continue
		}
		t.slot.handedOver()
		switch {
		case err != nil:
			t.slot.leave(false)
			return nil, x.finish(err)
		case last:
			t.slot.leave(false)
			x.finish(io.EOF)
		default:
			t.slot.taken(x.seq)
		}
		return result, nil
	}
	return nil, x.end
}

// wait waits for a result, or until another try has taken t's place. The error is the
// command's end; the slot is left then. The caller holds mu.
func (x *exchange[T]) wait(t *try[T]) error {
	mine, ended, failure := t.slot.wait(x.ctx, false)
	switch {
	case !mine:
		return x.finish(failure)
	case len(t.slot.out.items) > 0 || !ended:
		return nil
	}
	t.slot.link.release(t.slot)
	return x.reopen(t, failure)
}

// reopen sends the command once more where failure, by which t has ended, allows that:
// with all its inputs, for none was taken that is not kept. The error is the command's
// end. The caller holds mu, and has released t's slot.
func (x *exchange[T]) reopen(t *try[T], failure error) error {
	defer func() {
		if x.end == nil && x.present.Load() == t { // the codec, or the command, ends the goroutine
			x.finish(failure)
		}
	}()
	inputs := t.inputs.again()
	if inputs == nil || !x.client.again(t.slot.link, &x.call, failure) {
		return x.finish(failure)
	}
	x.call.seq, x.call.inputs = x.seq, inputs
	s, _, err := x.client.send(x.ctx, &x.call)
	if err != nil {
		var e *base.Error
		errors.As(err, &e)
		e.Seq = x.seq
		return x.finish(e)
	}
	x.present.Store(&try[T]{slot: s, inputs: inputs, over: make(chan struct{})})
	close(t.over)
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	if conn != nil {
		s.sendInputs(x.ctx, conn)
	}
	return nil
}

// movesOn tells a Send that has found t to have ended whether another try has taken its
// place, or takes it now. Who is in Receive sees to that; if nobody is, Send itself.
func (x *exchange[T]) movesOn(t *try[T]) bool {
	t.slot.mu.Lock()
	unanswered := t.inputs.unanswered // else a Receive may return before it sees to it
	t.slot.mu.Unlock()
	if !unanswered {
		return false
	}
	if x.tryWait(t) {
		return x.present.Load() != t
	}
	select {
	case <-t.over:
	case <-x.ctx.Done():
	}
	return x.present.Load() != t
}

// tryWait waits for the end of t, which has come, unless somebody else does: then it returns false.
func (x *exchange[T]) tryWait(t *try[T]) bool {
	if !x.mu.TryLock() {
		return false
	}
	returned := false
	defer x.unlock(&returned)
	if x.end == nil && x.present.Load() == t {
		x.wait(t)
	}
	returned = true
	return true
}

// finish notes how the Call ended. The caller holds mu.
func (x *exchange[T]) finish(err error) error {
	x.end = x.call.ends(err)
	x.stop()
	x.cancel()
	return x.end
}

// Close implements base.Call.
func (x *exchange[T]) Close() error {
	x.cancel() // a Receive that is under way gives the command up
	x.mu.Lock()
	returned := false
	defer x.unlock(&returned)
	if x.end == nil {
		s := x.present.Load().slot
		err := s.wrap(base.Unknown, base.ErrCanceled, "the call was closed", nil)
		s.handedOver()
		outcome, left := s.giveUp()
		if !left {
			s.link.release(s)
		}
		x.finish(withOutcome(err, outcome))
	}
	returned = true
	return nil
}

// abandon gives the command up when ctx has ended, also where nobody is in Receive.
// If the command has ended before, Receive still tells how.
func (x *exchange[T]) abandon() {
	x.mu.Lock()
	returned := false
	defer x.unlock(&returned)
	if x.end == nil {
		s := x.present.Load().slot
		err := s.wrap(base.Unknown, ctxCode(x.ctx), "its ctx ended while it was open", context.Cause(x.ctx))
		if outcome, left := s.giveUp(); left {
			x.finish(withOutcome(err, outcome))
		}
	}
	returned = true
}
