package handler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// Send implements base.Proxy.
func (x *command[T]) Send(seq base.Seq, result base.Result) (err error) {
	nth, err := x.enterSend(seq)
	if err != nil {
		return err
	}
	left, encoding := false, false
	defer func() {
		switch {
		case encoding: // the codec has panicked, or ended this goroutine
			err = x.breakSend(seq, result, recover())
		case !left:
			x.endSend()
		}
	}()
	if nth == 0 && (x.session.named || x.large > keepBody) {
		// What waits for credit is not counted, so it is small, as far as one can tell by the
		// one before. And the last result of a session lies in scratch until it was seen.
		if nth, err = x.waitForCredit(seq); err != nil {
			return err
		}
	}
	encoding = true
	last, err := x.encode(seq, result)
	encoding = false
	switch {
	case err != nil:
		return x.notEncoded(seq, err)
	case x.session.named:
		left, err = x.keepResult(seq, nth, last)
		return err
	}
	if left, err = x.send(seq, last); err == errNoCredit || err == transport.ErrNoRoom {
		left, err = x.sendLater(seq, last, err)
	}
	return err
}

// endSend ends a Send.
func (x *command[T]) endSend() {
	x.mu.Lock()
	x.leaveSend()
	x.mu.Unlock()
}

// breakSend ends a Send whose result can't be encoded, for the codec has panicked with v, or, if v is
// nil, ends the goroutine. It returns what Send says.
func (x *command[T]) breakSend(seq base.Seq, result base.Result, v any) error {
	x.dropEncoded()
	x.endSend() // before OnPanic, which may send
	err := x.encodingEnded(seq, result, v)
	return cmp.Or(x.check(seq), err)
}

// notEncoded lets go of a result that can't be encoded, and returns what Send says.
func (x *command[T]) notEncoded(seq base.Seq, err error) error {
	x.dropEncoded()
	return cmp.Or(x.check(seq), err)
}

// enterSend begins a Send, once no other is under way. Where there is credit for the next
// result, it returns the how manieth that is; else 0.
func (x *command[T]) enterSend(seq base.Seq) (nth int, err error) {
	x.mu.Lock()
	for {
		if err = x.checkLocked(seq); err != nil || !x.inSend {
			break
		}
		if x.sendOver == nil {
			x.sendOver = sync.NewCond(&x.mu)
		}
		x.sendOver.Wait()
	}
	if err != nil {
		x.wakeSender() // who was woken wakes the next one
	} else {
		x.inSend = true
		if x.results < x.granted {
			nth = x.results + 1 // which only a Send changes
		}
	}
	x.mu.Unlock()
	return nth, err
}

// leaveSend ends a Send. The caller holds mu.
func (x *command[T]) leaveSend() {
	x.inSend = false
	x.wakeSender()
}

// wakeSender lets one of those go on who wait in enterSend. The caller holds mu.
func (x *command[T]) wakeSender() {
	if x.sendOver != nil {
		x.sendOver.Signal()
	}
}

// sendLater sends what is in scratch, and could not be sent at once because of err.
func (x *command[T]) sendLater(seq base.Seq, last bool, err error) (left bool, _ error) {
	for {
		switch err {
		case errNoCredit:
			_, err = x.waitForCredit(seq)
		case transport.ErrNoRoom:
			x.pass()
			if err = x.link.Room(&x.ctx); err != nil {
				err = cmp.Or(x.check(seq), err)
			}
		default:
			return left, err
		}
		if err != nil {
			x.dropEncoded()
			return false, err
		}
		left, err = x.send(seq, last)
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
		if x.wake == nil {
			x.wake = make(chan struct{}, 1)
		}
		t, wake := x.turn, x.wake
		x.mu.Unlock()
		if err != nil {
			return 0, err
		}
		t.pass()
		<-wake
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
	x.signal()
	x.mu.Unlock()
	if c.flooded = flood; flood {
		return transport.BrokenRule("%d credits came for the command on slot %d", x.credits, x.slot)
	}
	return nil
}

// signal wakes the Send that waits for credit. The caller holds mu.
func (x *command[T]) signal() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// encode encodes a result into scratch. What the codec does, or LastOne, may be a panic.
func (x *command[T]) encode(seq base.Seq, result base.Result) (last bool, err error) {
	if result == nil {
		return false, nilResult(seq)
	}
	last = result.LastOne()
	x.scratch.Reset()
	if x.large > keepBody {
		x.scratch.B = x.session.handler.memory.bodies.Get(x.large)
	}
	if err := x.session.handler.Codec.Encode(result, &x.scratch); err != nil {
		return false, unencodable(seq, result, err)
	}
	if limit := x.session.maxResultSize; limit > 0 && len(x.scratch.B) > limit {
		return false, tooLargeResult(seq, len(x.scratch.B), limit)
	}
	x.large = len(x.scratch.B)
	return last, x.compress()
}

func nilResult(seq base.Seq) error {
	return &base.Error{Outcome: base.Failed, Code: base.ErrEncode, Seq: seq, Message: "the result is nil"}
}

// encodingEnded reports a panic with v while a result was encoded, and returns it as what Send
// says. If the goroutine ends, v is nil, and nobody hears of it.
func (x *command[T]) encodingEnded(seq base.Seq, result base.Result, v any) error {
	if v == nil {
		return nil
	}
	x.panicked(seq, result, v)
	return &base.Error{Outcome: base.Failed, Code: base.ErrPanic, Seq: seq, Message: fmt.Sprintf("encoding a %T panicked: %v", result, v)}
}

// unencodable is what Send says of a result that the codec refuses.
func unencodable(seq base.Seq, result base.Result, err error) error {
	var e *base.Error
	if errors.As(err, &e) && e != nil {
		return e
	}
	return &base.Error{Outcome: base.Failed, Code: base.ErrEncode, Seq: seq, Message: fmt.Sprintf("a %T can't be encoded", result), Err: err}
}

func tooLargeResult(seq base.Seq, size, limit int) error {
	return &base.Error{Outcome: base.Failed, Code: base.ErrTooLargeResult, Seq: seq, Message: fmt.Sprintf("a result has %d bytes, the client's MaxResultSize is %d", size, limit)}
}

// errNoCredit is what send says where the client has given no credit for another result.
var errNoCredit = errors.New("handler: there is no credit")

// send sends what is in scratch, if there is credit and room for it, unless the command
// has ended meanwhile: that is checked under the lock under which the result is appended,
// so that nothing can follow a command's last frame. It returns whether it has left the Send.
func (x *command[T]) send(seq base.Seq, last bool) (left bool, err error) {
	x.mu.Lock()
	if err := x.checkLocked(seq); err != nil {
		x.mu.Unlock()
		x.dropEncoded()
		return false, err
	}
	if x.results >= x.granted {
		x.mu.Unlock()
		return false, errNoCredit
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
	if left = err == nil && !large && !x.holdsMuch(); left {
		x.leaveSend()
	}
	apart := !x.led()
	x.mu.Unlock()
	switch {
	case flush && !last:
		conn.FlushSoon() // more results are likely to follow
	case flush:
		x.flush(conn, seq)
	case apart && err == nil:
		conn.WriteHeld()
	}
	if left {
		return true, nil
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
	return false, err
}

// flush writes a last result, and what others append at this moment.
func (x *command[T]) flush(conn *transport.Conn, seq base.Seq) {
	crowd := x.session.crowd()
	if crowd {
		x.mu.Lock()
		x.flushed = x.flushed || x.seq == seq // the record may be another command's by now
		x.mu.Unlock()
	}
	conn.Flush(crowd)
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
