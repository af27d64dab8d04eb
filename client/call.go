package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// call is what Do, Results and Send want of a slot.
type call[T any] struct {
	cmd     base.Cmd[T]
	owner   owner
	results chan<- base.AsyncResult
	credit  int
	// seq and origin are of a command that is sent once more: the Seq that its user
	// knows, and the ID that it had in an earlier session.
	seq    base.Seq
	origin *base.ID
	// mayHaveRun is of a command that is sent once more, and may have run before.
	mayHaveRun bool
	inputs     *inputs // of Open; else nil
	patience
}

// send takes a slot, encodes the command and sends it. The error is an
// *base.Error with outcome NotSent, or Rejected. On success the Seq is returned,
// and the slot belongs to the call's owner: a channel's may have been released
// by then.
func (c *Client[T]) send(ctx context.Context, k *call[T]) (*slot[T], base.Seq, error) {
	if k.cmd == nil {
		return nil, 0, errNilCmd()
	}
	k.clock, k.parent = &c.clock, ctx
	for {
		l, err := c.linkFor(ctx, k)
		if err == nil {
			conn := l.conn.Load()
			s, seq, failure := c.sendOn(l, conn, k)
			switch {
			case failure == nil:
				k.over()
				if k.owner == channel || k.inputs != nil {
					l.beRead(nil) // its sender goes on, and does not read
				}
				return s, seq, nil
			case c.triesNext(l, conn, failure):
				continue
			}
			err = failure
		}
		k.over()
		return nil, 0, c.name(k, err)
	}
}

// linkFor returns the link over which a command is to be sent, once there is one.
func (c *Client[T]) linkFor(ctx context.Context, k *call[T]) (*link[T], error) {
	if ctx.Err() != nil {
		return nil, errEnded(ctx)
	}
	return c.link(&k.patience, c.conf.FailFast && k.seq == 0)
}

// triesNext tells whether conn has ended before it had taken a command, which err says: then the
// next one will.
func (c *Client[T]) triesNext(l *link[T], conn *transport.Conn, err error) bool {
	if !l.endedBy(conn, err) || !c.goesOn() {
		return false
	}
	c.unset(l, conn)
	return true
}

func errNilCmd() error {
	return &base.Error{Outcome: base.NotSent, Code: base.ErrNilCmd, Message: "the command is nil"}
}

func errEnded(ctx context.Context) error {
	return &base.Error{Outcome: base.NotSent, Code: ctxCode(ctx), Message: "its ctx had ended before it was sent", Err: context.Cause(ctx)}
}

// goesOn tells whether there will be another link after one that has ended.
func (c *Client[T]) goesOn() bool { return c.redialer != nil && c.Err() == nil }

// sendOn sends a command over a link's connection.
func (c *Client[T]) sendOn(l *link[T], conn *transport.Conn, k *call[T]) (*slot[T], base.Seq, error) {
	if l.refuse != nil {
		if err := l.refuse(k.cmd); err != nil {
			return nil, 0, err
		}
	}
	s, crowd, err := l.tryTake()
	if s == nil && err == nil {
		s, crowd, err = l.tryAdd(l.makeSlots())
	}
	if s == nil && err == nil {
		if err := c.foresee(l, k.cmd); err != nil {
			return nil, 0, err // what the server would not take waits for no place
		}
		crowd = true
		s, err = l.take(k.ctx())
	}
	if err != nil {
		return nil, 0, l.refused(conn, &k.patience, "there was no place among the commands in flight", err)
	}
	s.cmd = k.cmd
	if err := c.encode(s); err != nil {
		l.release(s)
		return nil, 0, err
	}
	if len(s.scratch.B) > keepInbox {
		k.fresh = 0 // that may have taken a while
	}
	if err := s.prepare(k, conn); err != nil {
		l.release(s)
		return nil, 0, err
	}
	large := s.message.Large()
	seq, owed, flush, err := s.post(k, conn)
	if large || err == transport.ErrNoRoom {
		var left bool
		if seq, left, err = s.postSlowly(k, conn, owed, crowd); left {
			return nil, 0, err
		}
	}
	if err != nil {
		l.release(s)
		return nil, 0, l.refused(conn, &k.patience, "the command was not sent", err)
	}
	if flush {
		k.flush(conn, crowd)
	}
	return s, seq, nil // a command of Send may have ended by now, and s be another's
}

// flush writes what the call has appended.
func (k *call[T]) flush(conn *transport.Conn, crowd bool) {
	if crowd && k.owner == channel {
		conn.FlushSoon() // more commands are likely to follow
	} else {
		conn.Flush(crowd)
	}
}

// prepare makes the message of the command whose body is in scratch.
func (s *slot[T]) prepare(k *call[T], conn *transport.Conn) (err error) {
	m := &s.message // all that a command has of it is set
	s.until, m.Timeout = k.until()
	m.Kind, m.Slot, m.Seq, m.Credit = transport.Command, s.index, 0, k.credit
	m.SeqTo, m.Origin, m.Metadata = s, k.origin, nil
	m.Body, m.Compressed = s.scratch.B, false
	if len(s.compressed.B) > 0 {
		m.Body, m.Compressed = s.compressed.B, true
	}
	if k.inputs != nil && !conn.Supports(transport.Input) {
		return &base.Error{Outcome: base.NotSent, Code: base.ErrUnsupported, Message: "the wire in use carries no inputs"}
	}
	if metadata := base.OutgoingMetadata(k.parent); metadata != nil {
		m.Metadata, err = encodeMetadata(metadata, conn)
	}
	return err
}

// post starts the command's time, and appends its message, unless that is large, or there is no
// room: see postSlowly. owed is how many results of the command before have come, where the
// server does not know of all.
func (s *slot[T]) post(k *call[T], conn *transport.Conn) (seq base.Seq, owed int, flush bool, err error) {
	s.mu.Lock()
	s.owner, s.results, s.deadline, s.granted = k.owner, k.results, k.deadline, max(k.credit, 1)
	s.conn, s.first, s.origin, s.mayHaveRun = conn, k.seq, k.origin, k.mayHaveRun
	s.inputs = k.inputs
	if s.got > s.acked {
		owed = s.got
	}
	s.got, s.acked = 0, 0
	if s.deadline != 0 && (s.alarm == 0 || s.deadline < s.alarm) {
		s.arm()
	}
	if !s.message.Large() {
		if flush, err = conn.Append(&s.message); err == nil {
			s.sent, seq = true, base.Seq(s.seq.Load())
		}
	}
	s.mu.Unlock()
	return seq, owed, flush, err
}

// postSlowly appends a message that is large, or for which there was no room: it waits. On an
// error the slot is the caller's, unless that has left the command to itself.
func (s *slot[T]) postSlowly(k *call[T], conn *transport.Conn, owed int, crowd bool) (seq base.Seq, left bool, err error) {
	s.sayBefore(conn, owed)
	flush, err := conn.Append(&s.message)
	for err == transport.ErrNoRoom {
		if err = conn.Room(k.ctx()); err == nil {
			s.message.Timeout = k.clock.left(s.until)
			flush, err = conn.Append(&s.message)
		}
	}
	if flush {
		k.flush(conn, crowd)
	}
	if err == nil && s.message.Large() {
		if err = conn.Wait(k.ctx(), &s.message); err == nil && conn.Progress(&s.message) == transport.Cut {
			// Given up half-way: by us, or because the server refuses it, which
			// has then ended it.
			if _, left = s.giveUp(); left {
				return 0, true, k.failed("only a part of the command was sent", context.Cause(k.ctx()))
			}
		}
	}
	if err != nil {
		return 0, false, err
	}
	return s.begin(), false, nil
}

// encodeMetadata encodes the metadata of a command for the wire of conn.
func encodeMetadata(m base.Metadata, conn *transport.Conn) ([]byte, error) {
	if !conn.Supports(transport.Input) { // such a wire carries no metadata either
		return nil, &base.Error{Outcome: base.NotSent, Code: base.ErrUnsupported, Message: "the wire in use carries no metadata"}
	}
	b, err := transport.AppendMetadata(nil, m)
	if err != nil {
		return nil, &base.Error{Outcome: base.NotSent, Code: base.ErrEncode, Message: "its metadata can't be sent", Err: err}
	}
	return b, nil
}

// refused makes the error of a command that was not sent because of err. The end
// of the link stays what it is, to be known as such.
func (l *link[T]) refused(conn *transport.Conn, waiting *patience, message string, err error) error {
	if l.endedBy(conn, err) {
		return err
	}
	return waiting.failed(message, err)
}

// begin says that a command was sent by postSlowly. What came for it before now is made
// known. It returns the command's Seq.
func (s *slot[T]) begin() base.Seq {
	s.mu.Lock()
	s.sent = true
	s.settled()
	if s.ended || s.expired || len(s.in.items) > 0 {
		s.signal()
	}
	seq := base.Seq(s.seq.Load())
	s.mu.Unlock()
	return seq
}

// tooLarge is a rejection: the client refuses the command on the server's word. (Inlined it would
// make the frame of encode larger, below which the codec runs.)
//
//go:noinline
func tooLarge(size, limit int) error {
	return &base.Error{Outcome: base.Rejected, Code: base.ErrTooLargeCmd, Message: fmt.Sprintf("it has %d bytes, the server's MaxCmdSize is %d", size, limit)}
}

// foresee refuses a command that is too large, as far as the codec foresees. A panic of the
// codec is an error.
func (c *Client[T]) foresee(l *link[T], cmd base.Cmd[T]) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = c.panicked(v)
		}
	}()
	_, err = c.size(l, cmd)
	return err
}

// size returns the size that the codec foresees, held against the server's limit.
func (c *Client[T]) size(l *link[T], cmd base.Cmd[T]) (int, error) {
	size := c.codec.Size(cmd)
	if size > l.maxCmdSize {
		return 0, tooLarge(size, l.maxCmdSize)
	}
	return size, nil
}

// encode encodes the slot's command into its scratch, unless that is too large. A panic of the
// codec is an error. Should it end the goroutine, the slot is released.
func (c *Client[T]) encode(s *slot[T]) (err error) {
	err = errEncoding
	defer func() {
		if v := recover(); v != nil {
			err = c.panicked(v)
		} else if err == errEncoding {
			s.link.release(s)
		}
	}()
	size, failure := c.size(s.link, s.cmd)
	if failure != nil {
		return failure
	}
	if size > keepInbox {
		s.scratch.B = c.memory.pool.Get(size)
	}
	if failure := c.codec.Encode(s.cmd, &s.scratch); failure != nil {
		return encodeError(failure)
	}
	if size := len(s.scratch.B); size > s.link.maxCmdSize {
		return tooLarge(size, s.link.maxCmdSize)
	}
	return s.link.compress(&s.compressed, s.scratch.B)
}

// errEncoding is what encode returns until it does.
var errEncoding = errors.New("client: the codec has not returned")

// panicked makes the error of a codec's panic.
func (c *Client[T]) panicked(v any) error {
	c.counters.panics.Add(1)
	return &base.Error{Outcome: base.NotSent, Code: base.ErrPanic, Message: fmt.Sprintf("the codec panicked: %v", v)}
}

func encodeError(err error) error {
	e := unsent(base.ErrEncode, "the codec can't encode it", err)
	e.Outcome = base.NotSent
	return e
}
