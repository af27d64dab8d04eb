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
	aparts []apart
}

// item is one result.
type item struct {
	end        int32 // of its body in inbox.bytes
	apart      int32 // its place in inbox.aparts, counted from 1; 0: its body is in bytes
	last       bool
	compressed bool // the body is
}

// apart is a result that is not among the small ones: one of what follows.
type apart struct {
	owned  []byte
	pieces *transport.Pieces
	value  base.Result // the transport has decoded it
	err    *base.Error // why the result can't be taken

	held int // bytes of memory that it has
}

// setApart makes a what the last item is.
func (b *inbox) setApart(a apart) {
	b.aparts = append(b.aparts, a)
	b.items[len(b.items)-1].apart = int32(len(b.aparts))
}

// takeItem takes an item as if it were apart; its body begins at from.
func (b *inbox) takeItem(it item, from int) (a apart) {
	if it.apart == 0 {
		return apart{owned: b.bytes[from:it.end]}
	}
	a, b.aparts[it.apart-1] = b.aparts[it.apart-1], apart{}
	return a
}

// put adds the result in m, and takes over the memory that was reserved for it. Of a
// result for which there is none, it adds how it failed.
func (b *inbox) put(m *transport.Message) {
	b.items = append(b.items, item{last: m.Last, compressed: m.Compressed})
	switch {
	case m.Err != nil:
		b.memory.counters.refused(m.Err)
		b.setApart(apart{err: m.Err})
	case m.Value != nil:
		value, _ := m.Value.(base.Result)
		b.setApart(apart{value: value})
	case m.Pieces != nil:
		b.setApart(apart{pieces: m.Pieces, held: m.Reserved})
	case len(b.bytes)+len(m.Body) <= keepInbox:
		b.bytes = append(b.bytes, m.Body...)
	case !b.memory.take(len(m.Body)):
		b.setApart(apart{err: b.memory.refusal(len(m.Body))})
	case len(m.Body) > keepInbox:
		b.setApart(apart{owned: append(b.memory.pool.Get(len(m.Body)), m.Body...), held: len(m.Body)})
	default:
		b.held += len(m.Body)
		b.bytes = append(b.bytes, m.Body...)
	}
	b.items[len(b.items)-1].end = int32(len(b.bytes))
}

func (b *inbox) reset() {
	if len(b.items) == 0 && b.held == 0 {
		return
	}
	for _, a := range b.aparts {
		b.memory.give(a.held)
		a.pieces.Release()
	}
	clear(b.aparts)
	b.memory.give(b.held)
	b.held = 0
	b.bytes, b.items, b.aparts = b.bytes[:0], b.items[:0], b.aparts[:0]
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
	if cap(b.aparts) > keepAparts {
		b.aparts = nil
	}
}

// keepInbox is the capacity in bytes that a slot keeps between two commands, and up to
// which what is in an inbox is not counted.
const keepInbox = 4 << 10

// keepAparts is for how many results that are apart an inbox keeps the place.
const keepAparts = 8
