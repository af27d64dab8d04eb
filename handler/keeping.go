package handler

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// keeping is how many bytes of results a session keeps.
type keeping struct {
	floor  int64 // what there is room for in any case
	limit  func() int
	beyond func(n int64) // counts, for all sessions, what is beyond the floor of each

	n       atomic.Int64
	waiting atomic.Bool // queue is not empty, or about to be

	mu     sync.Mutex // protects what follows
	queue  []*keeper  // the one that has waited longest is the first
	closed bool
}

// keeper waits for room for n bytes.
type keeper struct {
	n     int64
	ready chan struct{} // closed once it has that
}

// waiting is a command, as far as it has to do with waiting.
type waiting interface {
	check(seq base.Seq) error
	pass()
}

// smallFloor is what there is room for of small results, whatever the limits. A client owes
// acks for half of it at most, so who waits for room does not wait for ever: the rest is on its
// way.
const smallFloor = 2 * transport.AckBytes

// budget returns that in which a result counts. Small results and large ones have one each:
// only the latter are acknowledged one by one, and so only they can wait until none is left.
func (s *Session[T]) budget(size int) *keeping {
	if size > transport.AckAbove {
		return &s.large
	}
	return &s.small
}

// take waits until there is room for n bytes, in turn; something is always kept. The error
// is the command's end.
func (b *keeping) take(ctx context.Context, x waiting, seq base.Seq, n int64) error {
	k := b.enter(n)
	if k == nil {
		return nil
	}
	x.pass()
	select {
	case <-k.ready:
		return nil
	case <-ctx.Done():
		b.withdraw(k)
		return cmp.Or(x.check(seq), ctx.Err())
	}
}

// hasRoom takes n bytes where the floor has room for them, and nobody waits.
func (b *keeping) hasRoom(n int64) bool {
	if n == 0 {
		return true
	}
	for !b.waiting.Load() {
		kept := b.n.Load()
		if kept+n > b.floor {
			break
		}
		if b.n.CompareAndSwap(kept, kept+n) {
			return true
		}
	}
	return false
}

// takeNow is take for who can't wait: it tells whether there was room.
func (b *keeping) takeNow(n int64) bool {
	if b.hasRoom(n) {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tryTake(n)
}

// isBeyond tells whether more is kept than there is room for in any case.
func (b *keeping) isBeyond() bool { return b.n.Load() > b.floor }

// enter takes n bytes, and returns nil, or a place in the queue.
func (b *keeping) enter(n int64) *keeper {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 && b.tryTake(n) {
		return nil
	}
	k := &keeper{n, make(chan struct{})}
	b.queue = append(b.queue, k)
	b.waiting.Store(true)
	b.admit()
	select {
	case <-k.ready:
		return nil
	default:
		return k
	}
}

// admit lets those go on for which there is room. The caller holds mu.
func (b *keeping) admit() {
	for len(b.queue) > 0 && b.tryTake(b.queue[0].n) {
		close(b.queue[0].ready)
		b.queue[0], b.queue = nil, b.queue[1:]
	}
	b.waiting.Store(len(b.queue) > 0)
}

// tryTake takes n bytes where there is room for them.
func (b *keeping) tryTake(n int64) bool {
	for {
		kept := b.n.Load()
		if kept > 0 && !b.closed && kept+n > b.floor && kept+n > int64(b.limit()) {
			return false
		}
		if b.n.CompareAndSwap(kept, kept+n) {
			b.count(kept, kept+n)
			return true
		}
	}
}

// count counts what is beyond the floor, for all sessions.
func (b *keeping) count(before, after int64) {
	if more := max(after-b.floor, 0) - max(before-b.floor, 0); more != 0 {
		b.beyond(more)
	}
}

// give gives n bytes back, and lets those go on for which there is room then.
func (b *keeping) give(n int64) {
	if after := b.n.Add(-n); after+n > b.floor {
		b.count(after+n, after)
	}
	if b.waiting.Load() {
		b.mu.Lock()
		b.admit()
		b.mu.Unlock()
	}
}

// withdraw is for a keeper that does not want its room any more.
func (b *keeping) withdraw(k *keeper) {
	b.mu.Lock()
	i := slices.Index(b.queue, k)
	if i >= 0 {
		b.queue = slices.Delete(b.queue, i, i+1)
		b.admit()
	}
	b.mu.Unlock()
	if i < 0 { // it has got it
		b.give(k.n)
	}
}

// close lets all go on that wait: the session has ended.
func (b *keeping) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.admit()
}
