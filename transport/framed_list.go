package transport

import (
	"math"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/wire"
)

// appendList appends the list of a Resume, in as many frames as it needs.
func (f *framed) appendList(dst []byte, slots []SlotState) []byte {
	f.extras = f.extras[:0]
	for _, s := range slots {
		if len(f.extras)+wire.MaxSlotItem > wire.MaxPayload {
			dst = appendFrame(dst, wire.KindResume, 0, f.extras)
			f.extras = f.extras[:0]
		}
		if f.server {
			f.extras = wire.AppendServerSlot(f.extras, wire.ServerSlot{
				Slot: uint64(s.Slot), Seen: !s.Unseen, Inputs: uint64(s.Inputs), Credit: uint64(s.Credit),
			})
		} else {
			f.extras = wire.AppendClientSlot(f.extras, wire.ClientSlot{
				Slot: uint64(s.Slot), Seq: uint64(s.Seq), Seen: uint64(s.Seen), Canceled: s.Canceled,
				Inputs: uint64(s.Inputs), Credit: uint64(s.Credit),
			})
		}
	}
	dst = wire.AppendHeader(dst, wire.Header{Kind: wire.KindResume, Flags: wire.FlagLast, Length: len(f.extras)})
	return append(dst, f.extras...)
}

// parseList adds a frame to the list. With the last one m is the message.
func (f *framed) parseList(h wire.Header, payload []byte, m *Message) (ready bool, err error) {
	for len(payload) > 0 {
		var s SlotState
		var slot uint64
		if slot, s, payload, err = f.cutSlot(payload); err != nil {
			return false, err
		}
		switch n := len(f.list); {
		case slot >= f.maxSlots:
			return false, BrokenRule("slot %d in a list is beyond the limit of %d", slot, f.maxSlots)
		case n > 0 && int(slot) <= f.list[n-1].Slot:
			return false, BrokenRule("slot %d comes after slot %d in a list", slot, f.list[n-1].Slot)
		}
		s.Slot = int(slot)
		f.list = append(f.list, s)
	}
	if h.Flags&wire.FlagLast == 0 {
		return false, nil
	}
	m.Slot, m.Slots, f.list = 0, f.list, nil // the slot of the frame says nothing
	return true, nil
}

// cutSlot reads the first slot of the peer's list.
func (f *framed) cutSlot(b []byte) (slot uint64, s SlotState, rest []byte, err error) {
	if !f.server {
		item, rest, err := wire.CutServerSlot(b)
		return item.Slot, SlotState{Unseen: !item.Seen, Inputs: toInt(item.Inputs), Credit: toInt(item.Credit)}, rest, err
	}
	item, rest, err := wire.CutClientSlot(b)
	if err == nil && (item.Seq == 0 || item.Seq > math.MaxInt64) {
		err = BrokenRule("a command in a list has the seq %d", item.Seq)
	}
	return item.Slot, SlotState{
		Seq: base.Seq(item.Seq), Seen: toInt(item.Seen), Canceled: item.Canceled,
		Inputs: toInt(item.Inputs), Credit: toInt(item.Credit),
	}, rest, err
}
