package handler

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// keeping is how many bytes of results a session keeps.
type keeping struct {
	floor int // what there is room for in any case
	limit func() int
	all   func(n, beyond int) // counts for all sessions, also what is beyond their floors

	mu     sync.Mutex // protects what follows
	n      int
	queue  []*keeper // the one that has waited longest is the first
	closed bool
}

// keeper waits for room for n bytes.
type keeper struct {
	n     int
	ready chan struct{} // closed once it has that
}

// waiting is a command, as far as it has to do with waiting.
type waiting interface {
	check(seq base.Seq) error
	pass()
}

// smallFloor is what there is room for of small results, whatever the limits. Their clients
// acknowledge before they have seen half of it: so who waits for room never does so for ever.
const smallFloor = 2 * transport.AckBytes

// budget returns that in which an item counts. Small results and large ones have one each:
// only the latter are acknowledged one by one, and so only they can wait until none is left.
func (s *Session[T]) budget(item *keptItem) *keeping {
	if len(item.body) > transport.AckAbove {
		return &s.large
	}
	return &s.small
}

// take waits until there is room for n bytes, in turn; something is always kept. The error
// is the command's end.
func (b *keeping) take(ctx context.Context, x waiting, seq base.Seq, n int) error {
	if n == 0 {
		return nil
	}
	b.mu.Lock()
	if len(b.queue) == 0 && b.fits(n) {
		beyond := b.add(n)
		b.mu.Unlock()
		b.all(n, beyond)
		return nil
	}
	k := &keeper{n, make(chan struct{})}
	b.queue = append(b.queue, k)
	b.mu.Unlock()
	x.pass()
	select {
	case <-k.ready:
		return nil
	case <-ctx.Done():
		b.withdraw(k)
		return cmp.Or(x.check(seq), ctx.Err())
	}
}

// withdraw is for a keeper that does not want its room any more.
func (b *keeping) withdraw(k *keeper) {
	b.mu.Lock()
	given := 0
	if i := slices.Index(b.queue, k); i >= 0 {
		b.queue = slices.Delete(b.queue, i, i+1)
	} else {
		given = k.n
	}
	b.mu.Unlock()
	b.give(given)
}

// add counts n bytes, and returns how much more is beyond the floor. The caller holds mu.
func (b *keeping) add(n int) (beyond int) {
	before := max(b.n-b.floor, 0)
	b.n += n
	return max(b.n-b.floor, 0) - before
}

func (b *keeping) fits(n int) bool {
	return b.n == 0 || b.closed || b.n+n <= b.floor || b.n+n <= b.limit()
}

// give gives n bytes back, and lets those go on for which there is room then.
func (b *keeping) give(n int) {
	b.mu.Lock()
	beyond := b.add(-n)
	n = -n
	for len(b.queue) > 0 && b.fits(b.queue[0].n) {
		k := b.queue[0]
		beyond += b.add(k.n)
		n += k.n
		close(k.ready)
		b.queue[0], b.queue = nil, b.queue[1:]
	}
	b.mu.Unlock()
	b.all(n, beyond)
}

// close lets all go on that wait: the session has ended.
func (b *keeping) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.give(0)
}
