package handler

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// InputDecoder is a further method that a server's codec may have: it decodes what a
// running command is sent.
type InputDecoder[T any] interface {
	DecodeInput(cmd base.Cmd[T], r transport.Reader) (any, error)
}

// inputs are what a running command was sent and has not taken yet: docs/spec.md,
// section 12. The command's mu protects it.
type inputs struct {
	queue   []input
	came    int           // how many have come, the end counted
	granted int           // how many may come
	free    int           // bytes of those in queue that are not counted, keepBody at most
	taken   int           // that were, and for which no credit was given yet
	last    bool          // no more follow
	wake    chan struct{} // closed when something has changed; nil: nobody waits
}

type input struct {
	body       transport.Body
	compressed bool
	memory     *Memory
	held       int // bytes of memory
	free       int // bytes that are not counted
}

func (in *inputs) signal() {
	if in.wake != nil {
		close(in.wake)
		in.wake = nil
	}
}

// input takes an input. Only the reader calls it.
func (x *command[T]) input(c *Conn[T], m *transport.Message) error {
	refusal, held := m.Err, 0
	if refusal == nil {
		held, refusal = c.memory.hold(m.Size(), m.Reserved, x.freeForInputs())
	}
	if refusal != nil {
		if refusal.Code == base.ErrBusy {
			c.countRefusal(refusal)
		}
		failure := *refusal
		failure.Outcome = base.Failed
		x.cancel(x.seq, context.Canceled, &failure)
		return nil
	}
	taken := false
	defer func() {
		if !taken {
			m.Pieces.Release()
			c.memory.give(held)
		}
	}()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.hasEnded() { // just now
		return nil
	}
	in := x.inputsLocked()
	isEnd := m.Last && m.Size() == 0
	switch {
	case in.last:
		return transport.BrokenRule("an input came on slot %d after the last one", x.slot)
	case !isEnd && in.came >= in.granted:
		return transport.BrokenRule("%d inputs came on slot %d, where there was credit for %d", in.came+1, x.slot, in.granted)
	}
	in.came++
	in.last = m.Last
	if !isEnd {
		next := input{compressed: m.Compressed, memory: c.memory, held: held}
		if held == 0 {
			next.free = m.Size()
			in.free += next.free
		}
		if m.Pieces != nil {
			next.body.SetPieces(m.Pieces)
		} else {
			next.body.Set(bytes.Clone(m.Body))
		}
		in.queue = append(in.queue, next)
		taken = true
	}
	in.signal()
	return nil
}

// freeForInputs is how many bytes more may wait without being counted.
func (x *command[T]) freeForInputs() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.inputs == nil {
		return keepBody
	}
	return keepBody - x.inputs.free
}

// inputsLocked returns the command's inputs. The caller holds mu.
func (x *command[T]) inputsLocked() *inputs {
	if x.inputs == nil {
		x.inputs = &inputs{granted: transport.InputWindow}
	}
	return x.inputs
}

// endInputs drops what was not taken, and wakes a Receive: the command has ended. The
// caller holds mu.
func (x *command[T]) endInputs() {
	if x.inputs != nil {
		x.inputs.end()
	}
}

func (i *inputs) end() {
	for n := range i.queue {
		next := &i.queue[n]
		next.body.Release()
		next.memory.give(next.held)
	}
	i.queue = nil
	i.signal()
}

// Receive implements base.Inputs.
func (x *command[T]) Receive(seq base.Seq) (any, error) {
	decoder, ok := x.session.handler.Codec.(InputDecoder[T])
	if !ok {
		return nil, &base.Error{Outcome: base.Failed, Code: base.ErrUnsupported, Seq: seq, Message: "the server's codec has no DecodeInput"}
	}
	for {
		next, cmd, wake, err := x.nextInput(seq)
		if err != nil {
			return nil, err
		}
		if wake == nil {
			return x.decodeInput(decoder, seq, cmd, next)
		}
		x.pass()
		select {
		case <-wake:
		case <-x.ctx.Done():
			if err := x.check(seq); err != nil {
				return nil, err
			}
			return nil, context.Cause(&x.ctx)
		}
	}
}

// nextInput returns the next input, for the command, or what to wait for.
func (x *command[T]) nextInput(seq base.Seq) (next input, cmd base.Cmd[T], wake <-chan struct{}, err error) {
	x.mu.Lock()
	if err := x.checkLocked(seq); err != nil {
		x.mu.Unlock()
		return next, nil, nil, err
	}
	in, cmd := x.inputsLocked(), x.cmd
	switch {
	case len(in.queue) > 0:
		next, in.queue[0] = in.queue[0], input{}
		in.queue = in.queue[1:]
		in.free -= next.free
		t := x.creditInputs(in)
		x.mu.Unlock()
		x.tell(t)
		return next, cmd, nil, nil
	case in.last:
		x.mu.Unlock()
		return next, nil, nil, io.EOF
	}
	if in.wake == nil {
		in.wake = make(chan struct{})
	}
	wake = in.wake
	x.mu.Unlock()
	return next, cmd, wake, nil
}

// creditInputs lets the client send as many more inputs as were taken, once that is
// half of the window. The caller holds mu, and calls tell afterwards.
func (x *command[T]) creditInputs(in *inputs) (t told) {
	if in.taken++; in.taken < transport.InputWindow/2 {
		return t
	}
	n := in.taken
	in.taken = 0
	in.granted += n
	if x.link == nil {
		return t // the client will learn of it when it resumes
	}
	flush, err := x.link.Append(&transport.Message{Kind: transport.Credit, Slot: x.slot, Credit: n})
	return told{conn: x.link, flush: flush && err == nil, apart: !x.led()}
}

// decodeInput decodes an input. A panic of the codec is an error.
func (x *command[T]) decodeInput(decoder InputDecoder[T], seq base.Seq, cmd base.Cmd[T], next input) (v any, err error) {
	defer func() {
		if p := recover(); p != nil {
			x.panicked(seq, cmd, p)
			err = &base.Error{Outcome: base.Failed, Code: base.ErrPanic, Seq: seq, Message: fmt.Sprintf("the server's codec panicked: %v", p)}
		}
	}()
	defer next.memory.give(next.held)
	body := &next.body
	defer body.Release()
	if next.compressed {
		plain, held, failure := x.session.decompress(body.Bytes(), next.memory)
		if failure != nil {
			failure.Outcome = base.Failed
			return nil, failure
		}
		defer next.memory.give(held)
		body.Replace(plain)
	}
	v, err = decoder.DecodeInput(cmd, body)
	if err == io.EOF { // which is the end of the inputs to who receives them
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		err = &base.Error{Outcome: base.Failed, Code: base.ErrDecode, Seq: seq, Message: "the server's codec refused an input", Err: err}
	}
	return v, err
}
