package client

import (
	"context"
	"net"
	"sync/atomic"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// HeldBytes returns how many bytes of results c holds, as Conf.MaxBytes counts them.
func HeldBytes[T any](c *Client[T]) int { return int(c.memory.used.Load()) }

// ReadByCallers tells whether c's callers read their answers themselves.
func ReadByCallers[T any](c *Client[T]) bool {
	return c.current.Load().reading.by.Load() != byLink
}

// HeldByFreeSlots returns how many bytes of commands c's free slots hold on to.
func HeldByFreeSlots[T any](c *Client[T]) (n int) {
	l := c.current.Load()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.free {
		n += cap(s.scratch.B) + cap(s.compressed.B) + cap(s.message.Body)
	}
	return n
}

// Armed returns a function that stops the timers of c's present link, and tells how many ran.
func Armed[T any](c *Client[T]) (stop func() int) {
	l := c.current.Load()
	return func() (n int) {
		for _, s := range *l.table.Load() {
			s.mu.Lock()
			if c.wheel.Stop(&s.timer) {
				n++
			}
			s.mu.Unlock()
		}
		return n
	}
}

// SlotsFor returns how many slots a link has once so many callers have one each, of whom many
// at a time find none that is free, and make some; how many were made, and how many of these are kept.
func SlotsFor(callers, atATime, limit int) (has, made, kept int) {
	l := newLink(new(Client[struct{}]))
	l.limit = limit
	for range callers / atATime {
		var all [][]slot[struct{}]
		for range atATime {
			if s, _, _ := l.tryTake(); s != nil {
				continue
			}
			slots := l.makeSlots()
			made += len(slots)
			all = append(all, slots)
		}
		for _, slots := range all {
			l.tryAdd(slots)
		}
	}
	for _, slots := range l.unused {
		kept += len(slots)
	}
	return len(*l.table.Load()), made, kept
}

// LateOwner has the owner of a command wait while callers may read; came tells whether its
// answer has come already. It returns whether they still may.
func LateOwner(came bool) bool {
	l := newLink(new(Client[struct{}]))
	l.reading.by.Store(byNobody)
	s := new(slot[struct{}])
	s.init(l)
	s.ended = came
	s.seq.Store(1)
	l.beRead(s)
	return l.reading.by.Load() == byNobody
}

// Lends tells whether the link's goroutine lends the reading after the last message on a slot: by now
// its command has ended or not, or is not sent yet, where seq is 0; or the slot is released. Another
// slot is taken beside it, or not.
func Lends(seq int64, ended, released, another bool) bool {
	l := newLink(new(Client[struct{}]))
	l.limit = 2
	s, _, _ := l.tryAdd(l.makeSlots())
	s.seq.Store(seq)
	s.ended = ended
	if another {
		l.tryAdd(l.makeSlots())
	}
	if released {
		l.release(s)
	}
	lends := l.tryLend()
	if lends != (l.reading.by.Load() == byNobody) {
		panic("it says one thing and does another")
	}
	return lends
}

// LateReader has the owner of a command read for itself, to whom it was said already that the
// command is over.
func LateReader(nc net.Conn) (signaled, over bool) {
	l := newLink(new(Client[struct{}]))
	l.conn.Store(transport.NewConn(nc, transport.Framed(transport.Options{}), new(atomic.Int64), 0))
	l.reading.by.Store(byNobody)
	s := new(slot[struct{}])
	s.init(l)
	s.seq.Store(1)
	s.ended = true
	s.signal()
	return s.readOwn(context.Background())
}

// Links returns how many links c knows of.
func Links[T any](c *Client[T]) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.links)
}

// Late returns what a caller does that has found c's link a while ago: it sends a command over
// the connection that the link has by now, and returns how it ended.
func Late[T any](c *Client[T], cmd base.Cmd[T]) func() error {
	l := c.current.Load()
	return func() error {
		k := call[T]{cmd: cmd, owner: waiting}
		k.begin(&c.clock, 0)
		k.clock, k.parent = &c.clock, context.Background()
		s, _, err := c.sendOn(l, l.conn.Load(), &k)
		if err == nil {
			_, err = s.result(context.Background())
		}
		return err
	}
}

// OpenAfterALateResend returns how many slots are taken once a canceled command is to be sent again
// whose link has ended meanwhile: its slot is released by who ends the link.
func OpenAfterALateResend() int {
	l := newLink(new(Client[struct{}]))
	l.limit = 1
	s, _, _ := l.tryAdd(l.makeSlots())
	s.seq.Store(1)
	s.standing, s.canceled, s.ended = unseen, true, true
	s.sendAgain(nil)
	return l.openSlots()
}
