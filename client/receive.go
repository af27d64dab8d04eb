package client

import (
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// read hands out what the server sends over conn until that ends. It never waits
// for anybody, but for the owner of a full slot where the wire has no credit.
func (l *link[T]) read(conn *transport.Conn) (reason error) {
	var last time.Time
	for lone := 0; ; {
		if reason = l.receive(conn); reason != nil {
			return reason
		}
		if !l.lends || conn.Unread() || !l.wasLone() {
			lone = 0
			continue
		}
		if conn.At().Sub(last) > loneFor {
			lone = 0 // so rare calls are not worth it
		}
		last = conn.At()
		if lone++; lone >= loneAfter {
			l.lend(conn)
			lone = 0
		}
	}
}

// receive hands out the next message.
func (l *link[T]) receive(conn *transport.Conn) error {
	m := l.message
	if err := conn.Read(m); err != nil {
		return err
	}
	var err error
	switch m.Kind {
	case transport.Result:
		err = l.result(conn, m)
	case transport.Failure:
		err = l.failure(conn, m)
	case transport.Credit:
		err = l.inputCredit(m)
	case transport.Resume:
		err = l.answered(conn, m)
	case transport.Goaway:
		l.client.leave(l, &base.Error{
			Outcome: base.Rejected, Code: base.ErrDraining, Remote: true, RetryAfter: m.RetryAfter,
			Message: "the server takes no more commands: " + m.Reason,
		})
	}
	if err != nil {
		return conn.Fail(err)
	}
	return nil
}

// wasLone tells whether the message that was read last has ended a call that had the
// link to itself, as far as one can tell.
func (l *link[T]) wasLone() bool {
	return l.message.Kind == transport.Result && l.message.Last && l.openSlots() <= 1
}

// lookup returns the slot of an index; nil: there is none, or it is not open.
// With a slot the caller holds its mu.
func (l *link[T]) lookup(index int) *slot[T] {
	table := *l.table.Load()
	if index < 0 || index >= len(table) {
		return nil
	}
	s := table[index]
	s.mu.Lock()
	if s.seq.Load() == 0 || s.ended {
		s.mu.Unlock()
		return nil
	}
	return s
}

// result takes a result.
func (l *link[T]) result(conn *transport.Conn, m *transport.Message) error {
	s := l.lookup(m.Slot)
	if s == nil {
		return l.stray(m)
	}
	if s.standing != known {
		s.mu.Unlock()
		return tooEarly(m)
	}
	if s.got++; s.got > s.granted && conn.Supports(transport.Credit) {
		defer s.mu.Unlock()
		return transport.BrokenRule("%d results came on slot %d, where there was credit for %d", s.got, m.Slot, s.granted)
	}
	flush := s.acknowledge(conn, m)
	l.accept(conn, s, m)
	if l.owing.bytes > maxTurn {
		flush = l.acknowledgeOld(conn) || flush
	}
	if flush {
		conn.Flush(false)
	}
	return nil
}

// accept hands a result over to whom it concerns. The caller holds the slot's mu, and
// no longer does afterwards.
func (l *link[T]) accept(conn *transport.Conn, s *slot[T], m *transport.Message) {
	l.arriving.arrived(m.Reserved)
	if m.Last && !l.completed.Load() {
		l.completed.Store(true)
	}
	if s.ended = m.Last; m.Last {
		s.dropInputs()
	}
	if s.owner == nobody && !s.queued {
		o := newOrphan(l, base.Seq(s.seq.Load()), s.cmd)
		s.mu.Unlock()
		o.put(m)
		if m.Last {
			l.release(s)
			l.client.orphan(o)
			return
		}
		o.slot = s
		s.giveCredit(o.seq, l.client.orphan(o))
		return
	}
	s.in.put(m)
	full := len(s.in.items) >= windowOfPlain && !m.Last && !conn.Supports(transport.Credit)
	if len(s.in.items) == 1 { // else the owner was woken for those before, and has not taken them yet
		s.signal()
	}
	s.mu.Unlock()
	if full {
		l.waitForOwner(conn, s)
	}
}

// tooEarly is the end of a server that sends of a command before it has said where
// that stands.
func tooEarly(m *transport.Message) error {
	return transport.BrokenRule("a result, failure or credit came on slot %d, before the server had answered for it", m.Slot)
}

// windowOfPlain is how many results of one command may wait to be taken where
// the wire has no credit.
const windowOfPlain = 64

// waitForOwner stops reading until the slot's results were taken: without credit
// there is no other way to slow the server down.
func (l *link[T]) waitForOwner(conn *transport.Conn, s *slot[T]) {
	defer conn.Pause()()
	for {
		s.mu.Lock()
		full := len(s.in.items) >= windowOfPlain && s.owner != nobody
		if full && s.space == nil {
			s.space = make(chan struct{})
		}
		space := s.space
		s.mu.Unlock()
		if !full {
			return
		}
		select {
		case <-space:
		case <-conn.Done():
			return
		}
	}
}

// failure takes a failure.
func (l *link[T]) failure(conn *transport.Conn, m *transport.Message) error {
	s := l.lookup(m.Slot)
	if s == nil {
		return l.stray(m)
	}
	if s.standing != known {
		s.mu.Unlock()
		return tooEarly(m)
	}
	// A server may refuse a command before all of it was sent.
	if s.message.Large() {
		conn.Abort(&s.message)
	}
	s.failInputs()
	s.ended, s.err = true, m.Err
	if s.owner == nobody && !s.queued {
		s.mu.Unlock()
		l.release(s)
		return nil
	}
	s.signal()
	s.mu.Unlock()
	return nil
}

// stray is a result or failure that belongs to no open command.
type stray struct {
	slot int
	seq  base.Seq
}

// tellStray tells the Logger. Should that panic there is nobody left to tell.
func (c *Client[T]) tellStray(s stray) {
	defer func() {
		if recover() != nil {
			c.counters.panics.Add(1)
		}
	}()
	c.conf.Logger.Warn("the server sent a result or failure for no open command", "slot", s.slot, "seq", s.seq)
}

// stray counts a result or failure that belongs to no open command. A few are
// passed on or dropped; a server that goes on is given up.
func (l *link[T]) stray(m *transport.Message) error {
	l.strays++
	l.client.counters.strays.Add(1)
	if l.strays > maxStrays {
		return transport.BrokenRule("more than %d results, failures and credits came for no open command", maxStrays)
	}
	l.client.strays.add(stray{m.Slot, m.Seq})
	if m.Kind != transport.Result || m.Err != nil || m.Pieces != nil { // a large one is not worth its memory
		m.Pieces.Release()
		return nil
	}
	o := newOrphan(l, m.Seq, nil)
	o.put(m)
	l.client.orphan(o)
	return nil
}
