package handler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// Send implements base.Proxy.
func (x *command[T]) Send(seq base.Seq, result base.Result) error {
	if !x.sendMu.TryLock() { // another Send waits, or a later command's
		if err := x.check(seq); err != nil {
			return err
		}
		x.sendMu.Lock()
	}
	defer x.sendMu.Unlock()
	nth := 0
	if x.session.named || x.large > keepBody {
		// What waits for credit is not counted, so it is small, as far as one can tell by the
		// one before. And the last result of a session lies in scratch until it was seen.
		var err error
		if nth, err = x.waitForCredit(seq); err != nil {
			return err
		}
	}
	last, err := x.encode(seq, result)
	if err != nil {
		x.dropEncoded()
		return cmp.Or(x.check(seq), err)
	}
	if x.session.named {
		return x.keepResult(seq, nth, last)
	}
	for {
		switch err = x.send(seq, last); err {
		case errNoCredit:
			_, err = x.waitForCredit(seq)
		case transport.ErrNoRoom:
			x.pass()
			if err = x.link.Room(&x.ctx); err != nil {
				err = cmp.Or(x.check(seq), err)
			}
		default:
			return err
		}
		if err != nil {
			x.dropEncoded()
			return err
		}
	}
}

// waitForCredit waits until the client has given credit for the next result, which is the
// nth.
func (x *command[T]) waitForCredit(seq base.Seq) (nth int, err error) {
	for {
		x.mu.Lock()
		if err = x.checkLocked(seq); err == nil && x.results < x.granted {
			nth = x.results + 1 // which only a Send changes
			x.mu.Unlock()
			return nth, nil
		}
		t := x.turn
		x.mu.Unlock()
		if err != nil {
			return 0, err
		}
		t.pass()
		<-x.wake
	}
}

// pass has another goroutine read the connection: the command is about to wait.
func (x *command[T]) pass() {
	x.mu.Lock()
	t := x.turn
	x.mu.Unlock()
	t.pass()
}

// credit lets n more results of a command go, as the client says.
func (c *Conn[T]) credit(x *command[T], n int) error {
	x.mu.Lock()
	x.granted += min(n, math.MaxInt-x.granted)
	x.credits++
	flood := x.credits > x.results+maxStrays
	x.mu.Unlock()
	x.signal()
	if c.flooded = flood; flood {
		return transport.BrokenRule("%d credits came for the command on slot %d", x.credits, x.slot)
	}
	return nil
}

func (x *command[T]) signal() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// encode encodes a result into scratch. A panic of the codec, or of LastOne, is
// an error of this Send.
func (x *command[T]) encode(seq base.Seq, result base.Result) (last bool, err error) {
	if result == nil {
		return false, &base.Error{Outcome: base.Failed, Code: base.ErrEncode, Seq: seq, Message: "the result is nil"}
	}
	defer func() {
		if v := recover(); v != nil {
			x.panicked(seq, result, v)
			err = &base.Error{Outcome: base.Failed, Code: base.ErrPanic, Seq: seq, Message: fmt.Sprintf("encoding a %T panicked: %v", result, v)}
		}
	}()
	last = result.LastOne()
	x.scratch.Reset()
	if x.large > keepBody {
		x.scratch.B = x.session.handler.memory.bodies.Get(x.large)
	}
	if err := x.session.handler.Codec.Encode(result, &x.scratch); err != nil {
		var e *base.Error
		if !errors.As(err, &e) || e == nil {
			e = &base.Error{Outcome: base.Failed, Code: base.ErrEncode, Seq: seq, Message: fmt.Sprintf("a %T can't be encoded", result), Err: err}
		}
		return false, e
	}
	if limit := x.session.maxResultSize; limit > 0 && len(x.scratch.B) > limit {
		return false, &base.Error{Outcome: base.Failed, Code: base.ErrTooLargeResult, Seq: seq, Message: fmt.Sprintf("a result has %d bytes, the client's MaxResultSize is %d", len(x.scratch.B), limit)}
	}
	x.large = len(x.scratch.B)
	return last, x.compress()
}

// errNoCredit is what send says where the client has given no credit for another result.
var errNoCredit = errors.New("handler: there is no credit")

// send sends what is in scratch, if there is credit and room for it, unless the command
// has ended meanwhile: that is checked under the lock under which the result is appended,
// so that nothing can follow a command's last frame.
func (x *command[T]) send(seq base.Seq, last bool) error {
	x.mu.Lock()
	if err := x.checkLocked(seq); err != nil {
		x.mu.Unlock()
		x.dropEncoded()
		return err
	}
	if x.results >= x.granted {
		x.mu.Unlock()
		return errNoCredit
	}
	conn := x.link
	m := &x.message
	m.Kind, m.Slot, m.Last = transport.Result, x.slot, last
	m.Body, m.Compressed = x.encoded()
	flush, err := conn.Append(m)
	large := err == nil && m.Large()
	if err == nil {
		x.results++
	}
	switch {
	case large:
		x.sending = m
	case err == nil && last:
		x.ended = true
		x.endInputs()
	}
	crowd := flush && last && x.session.crowd()
	x.flushed = x.flushed || crowd
	x.mu.Unlock()
	switch {
	case flush && !last:
		conn.FlushSoon() // more results are likely to follow
	case flush:
		conn.Flush(crowd)
	}
	if large {
		err = x.sendLarge(conn, seq)
	}
	switch {
	case err == transport.ErrNoRoom: // it will be tried again
	case !large || err == nil && conn.Wrote(m):
		x.dropEncoded()
	default: // the connection may be writing it
		x.scratch.B, x.packed.B, m.Body = nil, nil, nil
	}
	return err
}

// holdsMuch tells whether the memory of the encoded result is more than a record keeps.
func (x *command[T]) holdsMuch() bool {
	return cap(x.scratch.B) > keepBody || cap(x.packed.B) > keepBody
}

// dropEncoded lets go of the memory of a result that nobody refers to, if that is much.
func (x *command[T]) dropEncoded() {
	if x.holdsMuch() {
		x.session.handler.memory.bodies.Put(x.scratch.B)
		x.scratch.B, x.packed.B, x.message.Body = nil, nil, nil
	}
}

// sendLarge waits until a large result is written. If the command ends before,
// the result is given up by whoever ended it.
func (x *command[T]) sendLarge(conn *transport.Conn, seq base.Seq) error {
	x.pass()
	err := conn.Wait(context.Background(), &x.message)
	x.mu.Lock()
	defer x.mu.Unlock()
	progress := conn.Progress(&x.message)
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
