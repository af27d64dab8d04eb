package client

import (
	"bytes"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// orphan is results that nobody waits for, on their way to the
// UnexpectedResultCallback. They are its own copy.
type orphan[T any] struct {
	inbox
	link *link[T]
	slot *slot[T] // to give credit back to; nil: nothing more can come
	seq  base.Seq
	cmd  base.Cmd[T] // nil: not known
}

func newOrphan[T any](l *link[T], seq base.Seq, cmd base.Cmd[T]) orphan[T] {
	return orphan[T]{inbox: inbox{memory: &l.client.memory}, link: l, seq: seq, cmd: cmd}
}

// copy adds the items of b from the given one on, whose body begins at from. Their
// memory is o's then.
func (o *orphan[T]) copy(b *inbox, next, from int) {
	o.held += b.held
	b.held = 0
	for _, it := range b.items[next:] {
		a := b.takeItem(it, from)
		if it.apart == 0 {
			a.owned = bytes.Clone(a.owned)
		}
		from = int(it.end)
		o.items = append(o.items, it)
		o.setApart(a)
	}
}

// orphan hands results over to the callback, without waiting for it. Where there
// is none, it returns how many more the server may send. The results of a command
// keep their order if nobody can add any before the caller has: it may hold the
// slot's mu.
func (c *Client[T]) orphan(o orphan[T]) (credit int) {
	if c.conf.UnexpectedResultCallback == nil {
		credit = len(o.items)
		o.reset()
		return credit
	}
	if len(o.items) > 0 {
		c.orphans.add(o)
	} else {
		o.reset()
	}
	return 0
}

// tellOrphan calls the callback, and lets the server send as many more results.
// Should the callback end the goroutine, the rest is told by the next one.
func (c *Client[T]) tellOrphan(o orphan[T]) {
	told, from, held := 0, 0, 0
	defer func() {
		o.memory.give(held)
		if o.slot != nil {
			o.slot.giveCredit(o.seq, told)
		}
		defer o.reset()
		if rest := newOrphan(o.link, o.seq, o.cmd); told < len(o.items) {
			rest.slot = o.slot
			rest.copy(&o.inbox, told, from)
			c.orphans.add(rest)
		}
	}()
	for _, it := range o.items {
		told++
		a := o.takeItem(it, from)
		from, held = int(it.end), a.held
		c.tellResult(o, a, it.compressed)
		o.memory.give(held)
		held = 0
	}
}

// tellResult tells the callback of one result.
func (c *Client[T]) tellResult(o orphan[T], a apart, compressed bool) {
	if a.err != nil {
		return
	}
	var body transport.Body
	if a.pieces != nil {
		body.SetPieces(a.pieces)
	} else {
		body.Set(a.owned)
	}
	defer body.Release()
	result := a.value
	if compressed {
		plain, err := o.link.decompress(body.Bytes())
		if err != nil {
			c.counters.refused(err)
			c.conf.Logger.Warn("a result that nobody waits for can't be decompressed", "seq", o.seq, "error", err)
			return
		}
		body.Replace(plain)
	}
	if result == nil {
		var err error
		if result, err = c.decode(nil, o.cmd, &body); err != nil {
			c.counters.refused(err)
			c.conf.Logger.Warn("a result that nobody waits for can't be decoded", "seq", o.seq, "error", err)
			return
		}
	}
	c.guard("UnexpectedResultCallback", func() { c.conf.UnexpectedResultCallback(o.seq, result) })
}
