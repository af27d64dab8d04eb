package handler

import (
	"bytes"
	"context"
	"strings"
	"unicode/utf8"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// kept is what a command of a session has sent, and its client has not acknowledged:
// docs/spec.md, section 11. The command's mu protects it.
type kept struct {
	items    []keptItem
	gone     int     // of items, which were released
	arena    []byte  // where the bodies of small results are that are not the last
	released int     // how many were
	total    int     // how many there ever were, the failure counted
	results  int     // how many of these are results
	acked    int     // how many the client says to have seen
	sent     int     // how many have gone over the link
	sender   *sender // a goroutine that is sending them; nil: there is none
}

// sender is a goroutine that sends what is kept over a link.
type sender struct{ link *transport.Conn }

// over tells whether somebody is sending over link already.
func (s *sender) over(link *transport.Conn) bool { return s != nil && s.link == link }

// keptItem is a result, or the failure.
type keptItem struct {
	body       []byte
	failure    *base.Error // nil: it is a result
	last       bool
	compressed bool
	counted    int64              // bytes of its budget
	large      *transport.Message // the message, while it goes out by reference
}

const (
	arenaSize  = 16 << 10 // bytes of memory that small results get at once
	firstArena = 1 << 10  // before; most commands have sent all then
	keepSeen   = 256      // bytes of a body that a slot keeps whose command was seen
)

// copyBody returns a copy of a body, among others.
func (k *kept) copyBody(body []byte) []byte {
	if cap(k.arena)-len(k.arena) < len(body) {
		size := arenaSize
		if k.arena == nil {
			size = firstArena
		}
		k.arena = make([]byte, 0, max(size, len(body)))
	}
	k.arena = append(k.arena, body...)
	return k.arena[len(k.arena)-len(body):]
}

// keepResult keeps the result that is encoded, the command's nth, and sends it as far as
// that can be done without waiting. It returns whether it has left the Send.
func (x *command[T]) keepResult(seq base.Seq, nth int, last bool) (left bool, err error) {
	body, compressed := x.encoded()
	budget, n := x.session.budget(len(body)), int64(transport.AckCost(len(body), nth))
	if !budget.hasRoom(n) {
		if err := budget.take(&x.ctx, x, seq, n); err != nil {
			return false, err
		}
	}
	x.mu.Lock()
	if err := x.checkLocked(seq); err != nil {
		x.mu.Unlock()
		budget.give(n)
		return false, err
	}
	x.results++
	x.ended = last
	if last {
		x.endInputs()
	}
	t, sent := told{}, false
	if last && nth == 1 && len(body) <= transport.AckAbove && !x.holdsMuch() {
		t, sent = x.answer(body, compressed)
	}
	if !sent {
		item := keptItem{body: body, last: last, compressed: compressed, counted: n}
		if !last && len(body) <= transport.LargeBody {
			item.body = x.kept.copyBody(body)
		} else if cap(body) > 2*len(body)+keepBody { // it would hold what does not count
			item.body = bytes.Clone(body)
		}
		if x.holdsMuch() {
			x.scratch.B, x.packed.B = nil, nil // where the body lies there it is the item's
		}
		x.kept.results++
		t = x.keep(item)
	}
	t.soon, t.apart = !last, !x.led()
	x.flushed = x.flushed || t.flush && last
	x.leaveSend()
	x.mu.Unlock()
	x.tell(t)
	return true, nil
}

// keepFailure keeps the failure that ends the command. A rejection is not kept: to
// the client, the command has not come then. The caller holds mu.
func (x *command[T]) keepFailure(failure *base.Error, atOnce bool) told {
	if atOnce {
		x.dropUnsent()
	}
	// What the client is told, and no more: the error may hold much that it is not.
	told := &base.Error{Outcome: failure.Outcome, Code: failure.Code, RetryAfter: failure.RetryAfter, Message: failure.Message}
	item := keptItem{failure: told}
	if n := len(told.Message); n > shortMessage {
		if most := transport.MaxMessage + utf8.UTFMax; n > most { // the transport cuts it where a character ends
			told.Message = strings.Clone(told.Message[:most])
		}
		item.counted = int64(len(told.Message))
		if !x.session.failures.takeNow(item.counted) {
			item.counted, told.Message = 0, messageLost
		}
	}
	return x.keep(item)
}

// shortMessage is up to how many bytes the text of a failure does not count: the number of
// slots bounds these. No ack releases a failure, so it can't wait for room: where there is none
// it loses its text.
const (
	shortMessage = 256
	messageLost  = "the text of the error is not kept: the session has too many that are long"
)

// keep adds an item. The caller holds mu, and calls tell afterwards.
func (x *command[T]) keep(item keptItem) told {
	x.kept.push(item)
	x.kept.total++
	return x.sendKept()
}

// push adds an item, in the place of those that are gone where there is no other.
func (k *kept) push(item keptItem) {
	if len(k.items) == cap(k.items) && k.gone > len(k.items)/2 {
		n := copy(k.items, k.items[k.gone:])
		clear(k.items[n:])
		k.items, k.gone = k.items[:n], 0
	}
	k.items = append(k.items, item)
}

// dropUnsent drops the results that have not gone out yet: their command was given
// up. One that is on its way is ended by an empty piece. The caller holds mu.
func (x *command[T]) dropUnsent() {
	k := x.kept
	for k.total > k.sent {
		x.dropLast()
	}
	if n := len(k.items); n > 0 && x.link != nil && k.sender.over(x.link) && k.items[n-1].large != nil {
		if x.link.Abort(k.items[n-1].large) != transport.Whole {
			x.dropLast()
			k.sent--
		}
	}
}

// dropLast drops the last result. The caller holds mu.
func (x *command[T]) dropLast() {
	k := x.kept
	n := len(k.items) - 1
	x.giveBack(&k.items[n])
	k.items[n], k.items = keptItem{}, k.items[:n]
	k.trim()
	k.total, k.results = k.total-1, k.results-1
}

// sendKept sends what was not sent yet over the command's link, as far as it can
// without waiting; a goroutine does the rest. The caller holds mu, and calls tell
// afterwards.
func (x *command[T]) sendKept() (t told) {
	k := x.kept
	link := x.link
	for link != nil && !k.sender.over(link) && k.sent < k.total {
		flush, large, err := x.appendNext(link)
		switch {
		case err == transport.ErrNoRoom:
			k.sender = &sender{link}
			go x.sendRest(k.sender, nil)
			return t
		case err != nil:
			x.link = nil // the connection has ended: to be kept is enough
			return t
		}
		k.sent++
		t.conn, t.flush = link, t.flush || flush
		if large != nil { // nothing may overtake it
			k.sender = &sender{link}
			go x.sendRest(k.sender, large)
		}
	}
	return t
}

// appendNext appends what is to be sent next. The message of a large result is its own, for it
// is in use until it is written.
func (x *command[T]) appendNext(link *transport.Conn) (flush bool, large *transport.Message, err error) {
	item := &x.kept.items[x.kept.gone+x.kept.sent-x.kept.released]
	switch {
	case item.failure != nil:
		flush, err = link.Append(&transport.Message{Kind: transport.Failure, Slot: x.slot, Err: item.failure})
	case len(item.body) <= transport.LargeBody:
		flush, err = link.AppendResult(x.slot, item.body, item.last, item.compressed)
	default:
		large = &transport.Message{Kind: transport.Result, Slot: x.slot, Last: item.last, Body: item.body, Compressed: item.compressed}
		if flush, err = link.Append(large); err == nil {
			item.large = large
		}
	}
	return flush, large, err
}

// sendRest waits until a large message is written, or there is room, and goes on. It
// is a goroutine of its own, one for a command at most, and ends when all is sent, or
// with the connection.
func (x *command[T]) sendRest(self *sender, large *transport.Message) {
	link, err := self.link, error(nil)
	if large != nil {
		err = link.Wait(context.Background(), large)
	} else {
		err = link.Room(context.Background())
	}
	x.mu.Lock()
	if x.kept.sender != self { // the command is another, or has another link
		x.mu.Unlock()
		return
	}
	x.kept.sender = nil
	var t told
	if err == nil && x.link == link {
		t = x.sendKept()
	}
	x.mu.Unlock()
	x.tell(t)
}

// release lets go of what the client says to have seen. The caller holds mu.
func (x *command[T]) release() {
	k := x.kept
	for upTo := min(k.acked, k.sent, k.results); k.released < upTo; k.released++ {
		x.giveBack(&k.items[k.gone])
		k.items[k.gone] = keptItem{}
		k.gone++
	}
	k.trim()
}

// slim gives up large memory of a record that stays its slot's, though all of its command was seen:
// nothing counts that. The caller holds mu.
func (x *command[T]) slim() {
	if cap(x.kept.arena) > firstArena {
		x.kept.arena = nil
	}
	if cap(x.body) > keepSeen {
		x.body = nil
	}
	if cap(x.scratch.B) > keepSeen {
		x.scratch.B = nil
	}
	if cap(x.packed.B) > keepSeen {
		x.packed.B = nil
	}
}

// trim begins items anew where nothing is left of them.
func (k *kept) trim() {
	if k.gone == len(k.items) {
		k.items, k.gone = k.items[:0], 0
	}
}

// letGo lets go of all that is kept: the client has seen it, or will never ask.
func (x *command[T]) letGo() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.session.named {
		x.letGoLocked()
	}
}

func (x *command[T]) letGoLocked() {
	if x.unfold().total == 0 {
		return
	}
	items := x.kept.items
	for i := range items {
		x.giveBack(&items[i])
	}
	if clear(items); cap(items) > transport.AckAfter {
		items = nil
	}
	*x.kept = kept{items: items[:0]}
}

// unseen tells whether there is something that the client has not acknowledged.
func (x *command[T]) unseen() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.unfold().items) > 0
}

// giveBack gives back what an item has counted. The caller holds mu.
func (x *command[T]) giveBack(item *keptItem) {
	if item.counted > 0 {
		budget := &x.session.failures
		if item.failure == nil {
			budget = x.session.budget(len(item.body))
		}
		budget.give(item.counted)
	}
}
