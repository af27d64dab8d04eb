package client

import (
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// read hands out what the server sends until the connection ends. It never waits
// for anybody, but for the owner of a full slot where the wire has no credit.
func (l *link[T]) read() (reason error) {
	var m transport.Message
	for {
		if err := l.conn.Read(&m); err != nil {
			return err
		}
		var err error
		switch m.Kind {
		case transport.Result:
			err = l.result(&m)
		case transport.Failure:
			err = l.failure(&m)
		case transport.Goaway:
			l.client.leave(l, &base.Error{
				Outcome: base.Rejected, Code: base.ErrDraining, Remote: true, RetryAfter: m.RetryAfter,
				Message: "the server takes no more commands: " + m.Reason,
			})
		}
		if err != nil {
			return l.conn.Fail(err)
		}
	}
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
func (l *link[T]) result(m *transport.Message) error {
	s := l.lookup(m.Slot)
	if s == nil {
		return l.stray(m)
	}
	if s.got++; s.got > s.granted && l.conn.Supports(transport.Credit) {
		s.mu.Unlock()
		return transport.BrokenRule("%d results came on slot %d, where there was credit for %d", s.got, m.Slot, s.granted)
	}
	if m.Last && !l.completed.Load() {
		l.completed.Store(true)
	}
	s.ended = m.Last
	if s.owner == nobody && !s.queued {
		o := orphan[T]{seq: base.Seq(s.seq.Load()), cmd: s.cmd}
		s.mu.Unlock()
		o.put(m)
		if m.Last {
			l.release(s)
			l.client.orphan(o)
			return nil
		}
		o.slot = s
		s.giveCredit(o.seq, l.client.orphan(o))
		return nil
	}
	s.in.put(m)
	full := len(s.in.items) >= windowOfPlain && !m.Last && !l.conn.Supports(transport.Credit)
	s.signal()
	s.mu.Unlock()
	if full {
		l.waitForOwner(s)
	}
	return nil
}

// put adds the result in m.
func (b *inbox) put(m *transport.Message) {
	it := item{last: m.Last, err: m.Err}
	switch {
	case m.Err != nil:
	case m.Value != nil:
		it.value, _ = m.Value.(base.Result)
	case m.Owned:
		it.owned = m.Body
	default:
		b.bytes = append(b.bytes, m.Body...)
	}
	it.end = len(b.bytes)
	b.items = append(b.items, it)
}

// windowOfPlain is how many results of one command may wait to be taken where
// the wire has no credit.
const windowOfPlain = 64

// waitForOwner stops reading until the slot's results were taken: without credit
// there is no other way to slow the server down.
func (l *link[T]) waitForOwner(s *slot[T]) {
	defer l.conn.Pause()()
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
		case <-l.conn.Done():
			return
		}
	}
}

// failure takes a failure.
func (l *link[T]) failure(m *transport.Message) error {
	s := l.lookup(m.Slot)
	if s == nil {
		return l.stray(m)
	}
	// A server may refuse a command before all of it was sent.
	if s.message.Large() {
		l.conn.Abort(&s.message)
	}
	s.ended, s.err = true, s.named(m.Err)
	if s.owner == nobody && !s.queued {
		s.mu.Unlock()
		l.release(s)
		return nil
	}
	s.signal()
	s.mu.Unlock()
	return nil
}

// stray counts a result or failure that belongs to no open command. A few are
// passed on or dropped; a server that goes on is given up.
func (l *link[T]) stray(m *transport.Message) error {
	l.strays++
	if l.strays > maxStrays {
		return transport.BrokenRule("more than %d results and failures came for no open command", maxStrays)
	}
	l.client.conf.Logger.Warn("the server sent a result or failure for no open command", "slot", m.Slot, "seq", m.Seq)
	if m.Kind != transport.Result || m.Err != nil || m.Owned { // a large one is not worth its memory
		return nil
	}
	o := orphan[T]{seq: m.Seq}
	o.put(m)
	l.client.orphan(o)
	return nil
}
