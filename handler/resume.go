package handler

import (
	"context"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// resume takes the client's list of open slots, says where each of them stands, and
// goes on from there. The reader of the old connection has ended before. A list that
// breaks a rule changes nothing: it is checked as a whole first.
func (c *Conn[T]) resume(m *transport.Message) error {
	if !c.asks {
		return transport.BrokenRule("a list of open slots came, and the client has resumed no session here")
	}
	c.asks = false
	answer, known, err := c.session.compare(m.Slots)
	if err == nil {
		err = c.conn.Post(&transport.Message{Kind: transport.Resume, Last: true, Slots: answer})
	}
	if err != nil {
		return err
	}
	for i, x := range known {
		if x != nil {
			x.goOn(c.conn, m.Slots[i].Canceled, answer[i])
		}
	}
	return nil
}

// compare takes over what the client's list says. It returns the answer, and the commands that
// are known of those that are listed. What these send from now on waits for goOn.
func (s *Session[T]) compare(list []transport.SlotState) (answer []transport.SlotState, known []*command[T], err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, state := range list {
		s.revive(state.Slot)
	}
	if err := eachSlot(s.table, list, (*command[T]).checkListed, (*command[T]).checkUnlisted); err != nil {
		return nil, nil, err
	}
	eachSlot(s.table, list, func(x *command[T], state transport.SlotState) error {
		stands := x.stands(state)
		if stands.Unseen {
			x = nil
		}
		answer, known = append(answer, stands), append(known, x)
		return nil
	}, func(x *command[T]) error {
		x.letGo()
		return nil
	})
	s.seenAll() // of those that are listed there is a record now
	return answer, known, nil
}

// eachSlot calls listed for each item of a list, with the record of its slot, which is
// nil where the slot was never used, and unlisted for all other records. The first
// error ends it.
func eachSlot[T any](table []*command[T], list []transport.SlotState, listed func(*command[T], transport.SlotState) error, unlisted func(*command[T]) error) error {
	next := 0
	skip := func(to int) error {
		for ; next < min(to, len(table)); next++ {
			if x := table[next]; x != nil {
				if err := unlisted(x); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for _, state := range list {
		if err := skip(state.Slot); err != nil {
			return err
		}
		var x *command[T]
		if state.Slot < len(table) {
			x = table[state.Slot]
		}
		if err := listed(x, state); err != nil {
			return err
		}
		next = state.Slot + 1
	}
	return skip(len(table))
}

// checkUnlisted says what is wrong with a list in which the command is not: the client
// must have seen all of it.
func (x *command[T]) checkUnlisted() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.ended {
		return transport.BrokenRule("command %d on slot %d is open, and not in the client's list", x.seq, x.slot)
	}
	return nil
}

// checkListed says what is wrong with an item of a list. What it has found right stays
// so: only the reader, which is here, opens commands, and lets go of what they have
// sent; and what was sent is not dropped.
func (x *command[T]) checkListed(state transport.SlotState) error {
	if x == nil {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	switch k := x.unfold(); {
	case state.Seq < x.seq:
		return transport.BrokenRule("command %d is listed on slot %d, where command %d has come", state.Seq, state.Slot, x.seq)
	case state.Seq > x.seq && !x.ended:
		return transport.BrokenRule("command %d is listed on slot %d, where command %d is open", state.Seq, state.Slot, x.seq)
	case state.Seq > x.seq, x.rejected:
		return nil
	case state.Seen < k.released, state.Seen > min(k.sent, k.results):
		return transport.BrokenRule("of command %d the client has seen %d results, of %d to %d", x.seq, state.Seen, k.released, min(k.sent, k.results))
	case x.inputs != nil && state.Inputs < x.inputs.came && !state.Canceled: // the client has forgotten those of a canceled one
		return transport.BrokenRule("command %d has got %d inputs, the client says to have sent %d", x.seq, x.inputs.came, state.Inputs)
	}
	return nil
}

// stands says where the command of a slot stands, and takes over what the client says
// of it.
func (x *command[T]) stands(state transport.SlotState) transport.SlotState {
	unseen := transport.SlotState{Slot: state.Slot, Unseen: true}
	if x == nil {
		return unseen
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if state.Seq > x.seq || x.rejected {
		x.letGoLocked()
		return unseen
	}
	k := x.unfold()
	x.granted = max(x.granted, state.Seen+state.Credit)
	k.acked = max(k.acked, state.Seen)
	k.sent, k.sender, x.link = min(state.Seen, k.sent), nil, nil
	x.release()
	x.signal()
	stands := transport.SlotState{Slot: state.Slot, Credit: transport.InputWindow}
	if in := x.inputs; in != nil {
		stands.Inputs, stands.Credit = in.came, max(in.granted-in.came, 0)
	}
	return stands
}

// goOn sends what the client has not seen over conn, and the credit for inputs that were taken
// since it was told where the command stands.
func (x *command[T]) goOn(conn *transport.Conn, canceled bool, stood transport.SlotState) {
	x.mu.Lock()
	x.link = conn
	seq := x.seq
	t := x.sendKept()
	if in := x.inputs; in != nil && !x.hasEnded() {
		if more := in.granted - stood.Inputs - stood.Credit; more > 0 {
			flush, err := conn.Append(&transport.Message{Kind: transport.Credit, Slot: x.slot, Credit: more})
			t.conn, t.flush = conn, t.flush || flush && err == nil
		}
	}
	x.mu.Unlock()
	x.tell(t)
	if canceled {
		x.cancel(seq, context.Canceled, &base.Error{Outcome: base.Unknown, Code: base.ErrCanceled, Message: "the command was canceled while the server was running it"})
	}
}

// ack takes the client's word for what it has seen of the command on a slot, which may
// have ended.
func (c *Conn[T]) ack(m *transport.Message) error {
	s := c.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.named || m.Slot >= len(s.table) || s.table[m.Slot] == nil && !s.past[m.Slot].answered {
		return transport.BrokenRule("an ack came on slot %d, where nothing was sent", m.Slot)
	}
	var sent int
	var news bool
	if x := s.table[m.Slot]; x != nil {
		sent, news = x.ack(m.Seen)
	} else {
		sent, news = s.ackPast(m.Slot, m.Seen)
	}
	switch {
	case m.Seen > sent:
		return transport.BrokenRule("an ack of %d results came on slot %d, where %d were sent", m.Seen, m.Slot, sent)
	case !news:
		return c.stray()
	}
	return nil
}

// ack lets go of what the client has seen. It returns how many results were sent, and
// whether that says anything new.
func (x *command[T]) ack(seen int) (sent int, news bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	k := x.unfold()
	sent = min(k.sent, k.results)
	if seen > sent || seen <= k.acked {
		return sent, false
	}
	k.acked = seen
	x.release()
	if len(k.items) == 0 && !x.running && !x.inSend {
		x.slim()
	}
	return sent, true
}
