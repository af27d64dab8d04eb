package client

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmdstream/cmdstream/transport"
)

// While one caller at a time uses a link, the callers read their answers themselves:
// nobody needs to be woken. The link's goroutine lends them the reading role, and takes
// it back when a second command is open, when a call ends in another way than by its
// answer, and when nobody has called for a while: somebody has to notice what comes
// unasked, and the end of the connection.
type reading[T any] struct {
	by   atomic.Int32  // who reads: see below; changed under mu
	wake chan struct{} // of capacity 1: the link's goroutine has the role

	mu     sync.Mutex // protects what follows; taken before link.mu
	slot   *slot[T]   // the caller's that reads; nil: none does
	kicked bool       // it is to stop
	calls  int        // that have read since the link's goroutine has looked
}

const (
	byLink   = iota // the link's goroutine
	byNobody        // the next caller may
	byCaller
)

const (
	loneAfter = 4                    // so many calls in a row that had the link to themselves
	loneFor   = 5 * time.Millisecond // without a call, or from one to the next
)

// lend lets callers read conn until the role comes back, or returns at once if they must not. It
// is called by the link's goroutine.
func (l *link[T]) lend(conn *transport.Conn) {
	if !l.tryLend() {
		return
	}
	r := &l.reading
	timer := time.NewTimer(loneFor)
	defer timer.Stop()
	for {
		select {
		case <-r.wake:
			return
		case <-conn.Done():
			if l.takeBack(nil) {
				return
			}
			<-r.wake // the caller notices too
			return
		case <-timer.C:
		}
		r.mu.Lock()
		idle := r.calls == 0 && r.by.Load() == byNobody
		if idle {
			r.by.Store(byLink)
		}
		r.calls = 0
		r.mu.Unlock()
		if idle {
			return
		}
		timer.Reset(loneFor)
	}
}

// tryLend lets callers read, unless a command may be open whose sender has seen that the link's
// goroutine reads.
func (l *link[T]) tryLend() bool {
	r := &l.reading
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = 0
	r.by.Store(byNobody) // from now on whoever opens a command sees it
	if !l.isOver(l.message.Slot) {
		r.by.Store(byLink)
		return false
	}
	return true
}

// isOver tells whether no slot is taken, or only that of an index, by a command that has ended, or
// is not sent yet: who sends it sees who reads.
func (l *link[T]) isOver(index int) bool {
	table := *l.table.Load()
	if index < 0 || index >= len(table) {
		return false // the server has made it up
	}
	s := table[index]
	l.mu.Lock()
	open, free := l.open, slices.Contains(l.free, s)
	l.mu.Unlock()
	if open != 1 || free {
		return open == 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seq.Load() == 0 || s.ended
}

// takeBack gives the role to the link's goroutine, if nobody has it, and nothing has come for s,
// where that is not nil.
func (l *link[T]) takeBack(s *slot[T]) bool {
	r := &l.reading
	if r.by.Load() == byLink {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.by.Load() != byNobody {
		return false
	}
	if s != nil {
		if s.hasCome() { // the role was lent because of that: its owner is a little late
			return false
		}
	}
	r.by.Store(byLink)
	return true
}

// beRead sees to it that somebody reads: an open command is waited for by who does not
// do so himself. Where that is s, not nil, nobody has to if something has come for it.
func (l *link[T]) beRead(s *slot[T]) {
	if l.takeBack(s) {
		l.reading.wake <- struct{}{}
	}
}

// readOwn has the slot's owner read until it is signaled: something has come for it, or its time is
// over. It returns whether it was, and if so, whether nothing more will come. It was not where
// others read, where its ctx or the connection has ended, and where what comes is long.
func (s *slot[T]) readOwn(ctx context.Context) (signaled, over bool) {
	l := s.link
	r := &l.reading
	if r.by.Load() == byLink {
		return false, false
	}
	r.mu.Lock()
	if r.by.Load() != byNobody {
		r.mu.Unlock()
		return false, false
	}
	r.by.Store(byCaller)
	r.slot = s
	r.calls++
	r.mu.Unlock()
	if ctx.Done() != nil {
		defer context.AfterFunc(ctx, s.kick)()
	}
	conn := l.conn.Load()
	defer func() { s.stopReading(conn, over) }() // also if the user's net.Conn panics
	for len(s.ready) == 0 && conn.Await() {
		if err := l.receive(conn); err != nil {
			break // the link's goroutine finds the connection ended
		}
	}
	if signaled = len(s.ready) > 0; signaled {
		over = <-s.ready
	}
	return signaled, over
}

// stopReading is the end of readOwn.
func (s *slot[T]) stopReading(conn *transport.Conn, over bool) {
	l := s.link
	r := &l.reading
	if !conn.Unread() {
		conn.Release() // else whoever sends, and does not read, would wait for the next who does
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kicked {
		r.kicked = false
		conn.Unkick()
	}
	r.slot = nil
	// Set first: who opens a command from now on reads itself, who did before counts.
	r.by.Store(byNobody)
	if !over || conn.Unread() || l.openSlots() > 1 || conn.Ended() {
		r.by.Store(byLink)
		r.wake <- struct{}{}
	}
}

// kick stops the slot's owner, if it reads.
func (s *slot[T]) kick() {
	r := &s.link.reading
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.slot == s && !r.kicked {
		r.kicked = true
		s.link.conn.Load().Kick()
	}
}

// hasCome tells whether there is something for the slot's owner.
func (s *slot[T]) hasCome() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended || s.expired || len(s.in.items) > 0
}
