package handler

import "github.com/cmdstream/cmdstream/transport"

// Most commands of a session answer by one small result. Such an answer stays where it was
// encoded until the command has returned, and then on the command's slot, so that the record is
// free for the next command, and still in a cache. All else that a command has sent is in its
// kept, and so is an answer that somebody asks for, see unfold.

// answer sends an encoded result as the command's answer. It returns false where that can't be
// done now, or not in this way. The caller holds mu, and calls tell afterwards.
func (x *command[T]) answer(body []byte, compressed bool) (t told, sent bool) {
	if x.link == nil {
		return told{}, false
	}
	flush, err := x.link.AppendResult(x.slot, body, true, compressed)
	if err != nil {
		return told{}, false
	}
	x.answered = true
	return told{conn: x.link, flush: flush}, true
}

// unfold makes an item of the answer, if there is one. The caller holds mu.
func (x *command[T]) unfold() *kept {
	if x.answered {
		x.answered = false
		body, compressed := x.encoded()
		x.kept.push(keptItem{body: body, last: true, compressed: compressed, counted: answerCost(body)})
		x.kept.total, x.kept.sent, x.kept.results = 1, 1, 1
	}
	return x.kept
}

func answerCost(body []byte) int64 { return int64(transport.AckCost(len(body), 1)) }

// takeAnswer puts the answer of a command that has returned on its slot, and notes so in o. It
// returns false if there is none, or more is to be known of the command. The caller holds mu, and
// x's mu.
func (s *Session[T]) takeAnswer(x *command[T], o *over) bool {
	if !x.answered || x.inputs != nil || s.ended.Load() {
		return false
	}
	body, compressed := x.encoded()
	s.answers[x.slot] = append(s.answers[x.slot][:0], body...)
	o.answered, o.unseen, o.compressed = true, true, compressed
	x.answered = false
	return true
}

// seen lets go of the answer on a slot. The caller holds mu.
func (s *Session[T]) seen(slot int) {
	if o := &s.past[slot]; o.unseen {
		o.unseen = false
		s.small.give(answerCost(s.answers[slot]))
		if cap(s.answers[slot]) > keepSeen { // nothing counts it now
			s.answers[slot] = nil
		}
	}
}

// seenAll is seen for all slots, for good. The caller holds mu.
func (s *Session[T]) seenAll() {
	for slot := range s.answers {
		s.seen(slot)
		s.answers[slot] = nil
	}
}

// ackPast is ack for a slot that has an answer. The caller holds mu.
func (s *Session[T]) ackPast(slot, seen int) (sent int, news bool) {
	news = seen == 1 && s.past[slot].unseen
	if news {
		s.seen(slot)
		s.answers[slot] = nil
	}
	return 1, news
}

// revive makes a record of the answer on a slot again, if there is one. The caller holds mu.
func (s *Session[T]) revive(slot int) {
	if slot >= len(s.table) || s.table[slot] != nil || !s.past[slot].answered {
		return
	}
	o := &s.past[slot]
	x := s.spare(o.seq)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.seq, x.slot, x.link, x.inputs = o.seq, slot, nil, nil
	x.ended, x.running, x.rejected, x.results = true, false, false, 1
	*x.kept = kept{items: x.kept.items[:0], total: 1, sent: 1, results: 1}
	if o.unseen {
		body := s.answers[slot]
		x.kept.push(keptItem{body: body, last: true, compressed: o.compressed, counted: answerCost(body)})
	} else {
		x.kept.acked, x.kept.released = 1, 1
	}
	o.unseen = false
	s.answers[slot], s.table[slot] = nil, x
}
