package client

import (
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// inbox holds results that have come and were not taken yet.
type inbox struct {
	memory *memory
	bytes  []byte // the small bodies, one behind the other
	held   int    // bytes of memory, where those are more than keepInbox
	items  []item
}

// item is one result.
type item struct {
	last       bool
	compressed bool              // the body is
	end        int32             // in inbox.bytes
	held       int               // bytes of memory that the body has
	owned      []byte            // the body, where it is not in there
	pieces     *transport.Pieces // or in pieces
	value      base.Result       // the result, where the transport has decoded it
	err        *base.Error       // why the result can't be taken
}

// isApart tells whether the body is not among inbox.bytes.
func (it *item) isApart() bool { return it.owned != nil || it.pieces != nil || it.value != nil }

// put adds the result in m, and takes over the memory that was reserved for it. Of a
// result for which there is none, it adds how it failed.
func (b *inbox) put(m *transport.Message) {
	if n := len(b.items); n < cap(b.items) {
		b.items = b.items[:n+1] // it is zero: reset, or append, has seen to that
	} else {
		b.items = append(b.items, item{})
	}
	it := &b.items[len(b.items)-1]
	it.last, it.compressed = m.Last, m.Compressed
	switch {
	case m.Err != nil:
		it.err = m.Err
	case m.Value != nil:
		it.value, _ = m.Value.(base.Result)
	case m.Pieces != nil:
		it.pieces, it.held = m.Pieces, m.Reserved
	case len(b.bytes)+len(m.Body) <= keepInbox:
		b.bytes = append(b.bytes, m.Body...)
	case !b.memory.take(len(m.Body)):
		it.err = b.memory.refusal(len(m.Body))
	case len(m.Body) > keepInbox:
		it.owned, it.held = append(b.memory.pool.Get(len(m.Body)), m.Body...), len(m.Body)
	default:
		b.held += len(m.Body)
		b.bytes = append(b.bytes, m.Body...)
	}
	it.end = int32(len(b.bytes))
}

func (b *inbox) reset() {
	if len(b.items) == 0 && b.held == 0 {
		return
	}
	for i := range b.items {
		if it := &b.items[i]; it.held > 0 || it.pieces != nil {
			b.memory.give(it.held)
			it.pieces.Release()
		}
		b.items[i] = item{}
	}
	b.memory.give(b.held)
	b.held = 0
	b.bytes, b.items = b.bytes[:0], b.items[:0]
}

// clear empties the inbox, and gives its memory up if that is much.
func (b *inbox) clear() {
	b.reset()
	if cap(b.bytes) > keepInbox {
		b.bytes = nil
	}
	if cap(b.items) > window {
		b.items = nil
	}
}

// keepInbox is the capacity in bytes that a slot keeps between two commands, and up to
// which what is in an inbox is not counted.
const keepInbox = 4 << 10
