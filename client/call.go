package client

import (
	"context"
	"fmt"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// call is what Do, Results and Send want of a slot.
type call[T any] struct {
	cmd     base.Cmd[T]
	owner   owner
	results chan<- base.AsyncResult
	credit  int
	// deadline is when Conf.Timeout is over, and wait how long the command may
	// wait to be sent, if that is less; zero: for ever.
	deadline time.Time
	wait     time.Duration
}

// send takes a slot, encodes the command and sends it. The error is an
// *base.Error with outcome NotSent, or Rejected. On success the Seq is returned,
// and the slot belongs to the call's owner: a channel's may have been released
// by then.
func (c *Client[T]) send(ctx context.Context, k *call[T]) (*slot[T], base.Seq, error) {
	if k.cmd == nil {
		return nil, 0, &base.Error{Outcome: base.NotSent, Code: base.ErrNilCmd, Message: "the command is nil"}
	}
	waiting := &patience{parent: ctx, deadline: k.deadline, wait: k.wait}
	defer waiting.end()
	for {
		if ctx.Err() != nil {
			return nil, 0, c.name(k, &base.Error{Outcome: base.NotSent, Code: ctxCode(ctx), Message: "its ctx had ended before it was sent", Err: context.Cause(ctx)})
		}
		l, err := c.link(waiting)
		if err != nil {
			return nil, 0, c.name(k, err)
		}
		s, seq, err := c.sendOn(l, waiting, k)
		if err == nil {
			return s, seq, nil
		}
		if !l.endedBy(err) || !c.goesOn() {
			return nil, 0, c.name(k, err)
		}
		// The link ended before it had taken the command: the next one will.
		c.unset(l)
	}
}

// goesOn tells whether there will be another link after one that has ended.
func (c *Client[T]) goesOn() bool { return c.redialer != nil && c.Err() == nil }

// sendOn sends a command on a link.
func (c *Client[T]) sendOn(l *link[T], waiting *patience, k *call[T]) (*slot[T], base.Seq, error) {
	if err := c.checkSize(l, k.cmd); err != nil {
		return nil, 0, err
	}
	s, crowd, err := l.tryTake()
	if s == nil && err == nil {
		crowd = true
		s, err = l.take(waiting.ctx())
	}
	if err != nil {
		return nil, 0, l.refused(waiting, "there was no place among the commands in flight", err)
	}
	s.cmd = k.cmd
	if err := c.encode(s, l); err != nil {
		l.release(s)
		return nil, 0, err
	}
	s.message = transport.Message{
		Kind: transport.Command, Slot: s.index, Credit: k.credit, Body: s.scratch.B,
		Timeout: waiting.left(), SeqTo: s,
	}
	s.mu.Lock()
	s.owner, s.results, s.deadline, s.granted = k.owner, k.results, k.deadline, max(k.credit, 1)
	s.mu.Unlock()
	if !k.deadline.IsZero() {
		c.wheel.Start(&s.timer, time.Until(k.deadline))
	}
	flush, err := l.conn.Append(&s.message)
	for err == transport.ErrNoRoom {
		if err = l.conn.Room(waiting.ctx()); err == nil {
			s.message.Timeout = waiting.left()
			flush, err = l.conn.Append(&s.message)
		}
	}
	if flush {
		l.conn.Flush(crowd)
	}
	if err == nil && s.message.Large() {
		if err = l.conn.Wait(waiting.ctx(), &s.message); err == nil && l.conn.Progress(&s.message) == transport.Cut {
			// Given up half-way: by us, or because the server refuses it, which
			// has then ended it.
			if s.giveUp() {
				return nil, 0, waiting.failed("only a part of the command was sent", context.Cause(waiting.ctx()))
			}
		}
	}
	if err != nil {
		l.release(s)
		return nil, 0, l.refused(waiting, "the command was not sent", err)
	}
	seq := s.begin()
	return s, seq, nil
}

// refused makes the error of a command that was not sent because of err. The end
// of the link stays what it is, to be known as such.
func (l *link[T]) refused(waiting *patience, message string, err error) error {
	if l.endedBy(err) {
		return err
	}
	return waiting.failed(message, err)
}

// begin says that the command was sent. What came for it before now, the link's
// end included, is made known. It returns the command's Seq.
func (s *slot[T]) begin() base.Seq {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = true
	if s.lost != nil {
		s.endLost(s.lost)
	}
	if s.ended || s.expired || len(s.in.items) > 0 {
		s.signal()
	}
	return base.Seq(s.seq.Load())
}

// checkSize holds the size that the codec foresees against the server's limit.
func (c *Client[T]) checkSize(l *link[T], cmd base.Cmd[T]) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &base.Error{Outcome: base.NotSent, Code: base.ErrPanic, Message: fmt.Sprintf("the codec's Size panicked: %v", v)}
		}
	}()
	if size := c.codec.Size(cmd); size > l.maxCmdSize {
		return tooLarge(size, l.maxCmdSize)
	}
	return nil
}

// tooLarge is a rejection: the client refuses the command on the server's word.
func tooLarge(size, limit int) error {
	return &base.Error{Outcome: base.Rejected, Code: base.ErrTooLargeCmd, Message: fmt.Sprintf("it has %d bytes, the server's MaxCmdSize is %d", size, limit)}
}

// encode encodes the slot's command into its scratch. A panic of the codec is an
// error.
func (c *Client[T]) encode(s *slot[T], l *link[T]) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &base.Error{Outcome: base.NotSent, Code: base.ErrPanic, Message: fmt.Sprintf("the codec panicked: %v", v)}
		}
	}()
	if err := c.codec.Encode(s.cmd, &s.scratch); err != nil {
		e := unsent(base.ErrEncode, "the codec can't encode it", err)
		e.Outcome = base.NotSent
		return e
	}
	if size := len(s.scratch.B); size > l.maxCmdSize {
		return tooLarge(size, l.maxCmdSize)
	}
	return nil
}
