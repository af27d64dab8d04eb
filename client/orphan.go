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
	for i := range b.items[next:] {
		it := b.items[next+i]
		b.items[next+i].held, b.items[next+i].pieces = 0, nil
		if !it.isApart() {
			it.owned = bytes.Clone(b.bytes[from:it.end])
			if it.owned == nil {
				it.owned = []byte{}
			}
		}
		from = int(it.end)
		o.items = append(o.items, it)
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
	told, from := 0, 0
	defer func() {
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
	for i, it := range o.items {
		var body transport.Body
		switch {
		case it.pieces != nil:
			body.SetPieces(it.pieces)
		case it.owned != nil:
			body.Set(it.owned)
		case it.value == nil && it.err == nil:
			body.Set(o.bytes[from:it.end])
			from = int(it.end)
		}
		told++
		held := it.held
		o.items[i] = item{end: it.end}
		c.tellResult(o, it, &body)
		o.memory.give(held)
	}
}

// tellResult tells the callback of one result.
func (c *Client[T]) tellResult(o orphan[T], it item, body *transport.Body) {
	defer body.Release()
	if it.err != nil {
		return
	}
	result := it.value
	if it.compressed {
		plain, err := o.link.decompress(body.Bytes())
		if err != nil {
			c.conf.Logger.Warn("a result that nobody waits for can't be decompressed", "seq", o.seq, "error", err)
			return
		}
		body.Replace(plain)
	}
	if result == nil {
		var err error
		if result, err = c.decode(o.cmd, body); err != nil {
			c.conf.Logger.Warn("a result that nobody waits for can't be decoded", "seq", o.seq, "error", err)
			return
		}
	}
	c.guard("UnexpectedResultCallback", func() { c.conf.UnexpectedResultCallback(o.seq, result) })
}
