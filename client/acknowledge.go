package client

import "github.com/cmdstream/cmdstream/transport"

// owing is what the server of a session may keep, since the client has not acknowledged it:
// docs/spec.md, Q2. It comes in turns, of half of what may be owed each; what is left of a
// turn at the end of the next one is acknowledged. Most is not: it was, by the next command on
// its slot. It is of who reads.
type owing[T any] struct {
	turn       uint32
	bytes      int        // of the small results that have come in this turn, by transport.AckCost
	young, old []*slot[T] // with results that came in this turn, and before it
	message    transport.Message
}

// acknowledge tells the server of a session which results have come, where m, the last of
// them, is large or many others are: it keeps them until then. The caller holds mu, and
// flushes if flush is true.
func (s *slot[T]) acknowledge(conn *transport.Conn, m *transport.Message) (flush bool) {
	l := s.link
	if l.session == nil {
		return false
	}
	if m.Size() > transport.AckAbove || m.Err != nil || s.got-s.acked >= transport.AckAfter {
		return s.appendAck(conn)
	}
	l.owing.bytes += transport.AckCost(m.Size(), s.got)
	if s.got == s.acked+1 {
		s.turn = l.owing.turn
	}
	if !s.owed {
		s.owed = true
		l.owing.young = append(l.owing.young, s)
	}
	return false
}

func (s *slot[T]) appendAck(conn *transport.Conn) (flush bool) {
	s.acked = s.got
	m := &s.link.owing.message
	*m = transport.Message{Kind: transport.Ack, Slot: s.index, Seen: s.got}
	flush, _ = conn.Append(m)
	return flush
}

// acknowledgeOld begins a new turn, and acknowledges what has come before the one that ends.
func (l *link[T]) acknowledgeOld(conn *transport.Conn) (flush bool) {
	o := &l.owing
	next := o.young
	for _, s := range o.old {
		s.mu.Lock()
		switch {
		case s.got > s.acked && s.turn != o.turn:
			flush = s.appendAck(conn) || flush
			s.owed = false
		case s.got > s.acked:
			next = append(next, s)
		default:
			s.owed = false
		}
		s.mu.Unlock()
	}
	o.bytes, o.young, o.old = 0, o.old[:0], next
	o.turn++
	return flush
}

// seen says that the server knows, by the client's list, all that has come on the slot. The
// caller holds mu.
func (s *slot[T]) seen() { s.acked, s.owed = s.got, false }

// sayBefore acknowledges the results of the command before, so many, where the next one, which
// would be the ack, is not sent at once. The slot's owner calls it.
func (s *slot[T]) sayBefore(conn *transport.Conn, seen int) {
	if seen == 0 || s.link.session == nil {
		return
	}
	if flush, _ := conn.Append(&transport.Message{Kind: transport.Ack, Slot: s.index, Seen: seen}); flush {
		conn.Flush(false)
	}
}

// maxTurn is how much may come in a turn: with one result more it is half of what may be owed.
const maxTurn = transport.AckBytes/2 - transport.AckAbove - transport.AckItem
