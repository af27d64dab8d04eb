package handler

import (
	"context"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// resume takes the client's list of open slots, says where each of them stands, and
// goes on from there. The reader of the old connection has ended before.
func (c *Conn[T]) resume(m *transport.Message) error {
	if !c.asks {
		return transport.BrokenRule("a list of open slots came, and the client has resumed no session here")
	}
	c.asks = false
	s := c.session
	s.mu.Lock()
	table := s.table
	s.mu.Unlock()
	answer := &transport.Message{Kind: transport.Resume, Last: true}
	listed := make([]*command[T], 0, len(m.Slots))
	next := 0
	for _, state := range m.Slots {
		for ; next < min(state.Slot, len(table)); next++ {
			if err := table[next].unlisted(); err != nil {
				return err
			}
		}
		next = state.Slot + 1
		var x *command[T]
		if state.Slot < len(table) {
			x = table[state.Slot]
		}
		stands, err := x.stands(state)
		if err != nil {
			return err
		}
		answer.Slots = append(answer.Slots, stands)
		if !stands.Unseen {
			listed = append(listed, x)
		} else {
			listed = append(listed, nil)
		}
	}
	for ; next < len(table); next++ {
		if err := table[next].unlisted(); err != nil {
			return err
		}
	}
	if err := c.conn.Post(answer); err != nil {
		return err
	}
	for i, x := range listed {
		if x != nil {
			x.goOn(c.conn, m.Slots[i].Canceled)
		}
	}
	return nil
}

// unlisted lets go of what a slot holds that the client has not listed: it has seen
// all of it.
func (x *command[T]) unlisted() error {
	if x == nil {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.ended {
		return transport.BrokenRule("command %d on slot %d is open, and not in the client's list", x.seq, x.slot)
	}
	x.letGoLocked()
	return nil
}

// stands says where the command of a slot stands, and takes over what the client says
// of it. x is nil where the slot was never used.
func (x *command[T]) stands(state transport.SlotState) (transport.SlotState, error) {
	unseen := transport.SlotState{Slot: state.Slot, Unseen: true}
	if x == nil {
		return unseen, nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case state.Seq < x.seq:
		return unseen, transport.BrokenRule("command %d is listed on slot %d, where command %d has come", state.Seq, state.Slot, x.seq)
	case state.Seq > x.seq && !x.ended:
		return unseen, transport.BrokenRule("command %d is listed on slot %d, where command %d is open", state.Seq, state.Slot, x.seq)
	case state.Seq > x.seq, x.rejected:
		x.letGoLocked()
		return unseen, nil
	case state.Seen < x.kept.released, state.Seen > x.kept.results:
		return unseen, transport.BrokenRule("of command %d the client has seen %d results, of %d to %d", x.seq, state.Seen, x.kept.released, x.kept.results)
	}
	x.granted = max(x.granted, state.Seen+state.Credit)
	x.kept.acked = max(x.kept.acked, state.Seen)
	x.kept.sent, x.kept.sender, x.link = state.Seen, nil, nil
	x.release()
	x.signal()
	stands := transport.SlotState{Slot: state.Slot, Credit: transport.InputWindow}
	if in := x.inputs; in != nil {
		stands.Inputs, stands.Credit = in.came, max(in.granted-in.came, 0)
	}
	if state.Inputs < stands.Inputs && !state.Canceled { // the client has forgotten those of a canceled one
		return unseen, transport.BrokenRule("command %d has got %d inputs, the client says to have sent %d", x.seq, stands.Inputs, state.Inputs)
	}
	return stands, nil
}

// goOn sends what the client has not seen over conn.
func (x *command[T]) goOn(conn *transport.Conn, canceled bool) {
	x.mu.Lock()
	x.link = conn
	seq := x.seq
	t := x.sendKept()
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
	var x *command[T]
	if m.Slot < len(s.table) {
		x = s.table[m.Slot]
	}
	s.mu.Unlock()
	if x == nil || !s.named {
		return transport.BrokenRule("an ack came on slot %d, where nothing was sent", m.Slot)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if m.Seen > x.kept.sent || m.Seen > x.kept.results {
		return transport.BrokenRule("an ack of %d results came on slot %d, where %d were sent", m.Seen, m.Slot, min(x.kept.sent, x.kept.results))
	}
	x.kept.acked = max(x.kept.acked, m.Seen)
	x.release()
	return nil
}
