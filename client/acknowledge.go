package client

import "github.com/cmdstream/cmdstream/transport"

// owing is what the server of a session may keep, since the client has not acknowledged it:
// docs/spec.md, Q2. It is of who reads.
type owing[T any] struct {
	bytes int        // of the small results that have come, by transport.AckCost
	slots []*slot[T] // whose they are
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
	if !s.owed {
		s.owed = true
		l.owing.slots = append(l.owing.slots, s)
	}
	return false
}

func (s *slot[T]) appendAck(conn *transport.Conn) (flush bool) {
	s.acked = s.got
	flush, _ = conn.Append(&transport.Message{Kind: transport.Ack, Slot: s.index, Seen: s.got})
	return flush
}

// acknowledgeAll acknowledges all that has come and is not acknowledged yet.
func (l *link[T]) acknowledgeAll(conn *transport.Conn) (flush bool) {
	slots := l.owing.slots
	l.owing.bytes, l.owing.slots = 0, slots[:0]
	for _, s := range slots {
		s.mu.Lock()
		switch {
		case s.got > s.acked:
			flush = s.appendAck(conn) || flush
			s.owed = false
		case s.before > 0: // if the next command is sent, that is the ack
			l.owing.slots = append(l.owing.slots, s)
		default:
			s.owed = false
		}
		s.mu.Unlock()
	}
	return flush
}

// seen says that the server knows, by the client's list, all that has come on the slot. The
// caller holds mu.
func (s *slot[T]) seen() { s.acked, s.before, s.owed = s.got, 0, false }
