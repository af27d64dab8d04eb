package handler_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/internal/deck"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/wire"
)

func newReader(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, 4<<10) }

// FuzzClientFrames has a client say frames that are mostly right, over one connection
// after the other, so that it comes deep into sessions.
func FuzzClientFrames(f *testing.F) {
	for _, seed := range foeSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 512 {
			t.Skip()
		}
		thrifty(t, 8<<20+200_000*len(b), func() {
			x := &foe{Deck: deck.Deck{B: b}}
			withHost(t, nil, func(conf *handler.Conf[World]) { foeConf(conf, x.codec()) }, func(t *testing.T, h *host) {
				x.t, x.host = t, h
				x.open(nil)
				for len(x.Deck.B) > 0 {
					x.act()
					settle()
					x.bounded()
				}
				x.cut()
				x.hello(x.current, true)
				x.list(false)
				if !x.dishonest {
					h.unbroken()
				}
			})
		})
	})
}

// foeSeeds are programs, as act reads them: what to do, and how.
var foeSeeds = []string{
	"",
	"\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x01\x00\x04\x00\x01\x09\x00\x04\x00\x02",
	"\x01\x0d\x01\x00\x00\x00\x03\x00\x00\x00\x01\x09\x00\x05\x00\x04\x00\x00\x09\x01\x05\x00",
	"\x02\x00\x00\x01\x00\x00\x00\x03\x07\x00\x00\x01\x00\x0d\x01\x07\x00\x00\x02\x00\x09\x00\x07\x00\x01\x00\x00",
	"\x00\x00\x00\x01\x00\x03\x00\x00\x09\x00\x00\x00\x01\x00\x00\x00\x00\x06\x00\x0c\x09\x00",
	"\x00\x00\x00\x02\x00\x00\x00\x00\xfa\x00\x03\x01\x09\x00\xfb\x02\xfb\x00\xf0\x0e\x0e\x09\x00",
}

// act does the next thing: mostly what an honest client would do.
func (x *foe) act() {
	what := x.Byte()
	x.wrong = what >= 0xf0
	x.dishonest = x.dishonest || x.wrong
	s := x.current
	s.mu.Lock()
	gone, lost := s.gone, s.lost
	s.mu.Unlock()
	switch {
	case !gone || x.wrong:
	case lost && x.opened < foeOpened:
		x.open(nil)
		return
	default:
		what = 9
	}
	switch what % 16 {
	case 0, 1, 2, 3:
		x.command()
	case 4:
		slot := x.slot(true)
		n := x.Number()
		if k := &s.slots[slot%foeSlots]; !x.wrong {
			if n = 1 + n&3; !k.open {
				return
			}
		}
		if slot < foeSlots {
			s.mu.Lock()
			s.slots[slot].credit += min(n, 1<<31-1)
			s.mu.Unlock()
		}
		x.frame(wire.KindCredit, 0, slot, wire.AppendUvarint(nil, n))
	case 5:
		slot := x.slot(true)
		n := x.Number()
		if !x.wrong {
			s.mu.Lock()
			n = 0
			if s.slots[slot].open {
				n = s.slots[slot].seen
			}
			s.mu.Unlock()
		}
		if n > 0 || x.wrong {
			x.frame(wire.KindAck, 0, slot, wire.AppendUvarint(nil, n))
		}
	case 6:
		slot := x.slot(true)
		if slot < foeSlots {
			s.mu.Lock()
			s.slots[slot].canceled = true
			s.mu.Unlock()
		}
		x.frame(wire.KindCancel, 0, slot, nil)
	case 7, 8:
		x.input()
	case 9:
		x.cut()
		x.sleep()
		x.hello(s, true)
		x.list(false)
	case 10:
		x.cut()
		x.hello(s, true)
		x.list(x.wrong)
	case 11:
		x.another()
	case 12:
		if x.wrong {
			x.frame(wire.KindGoaway, 0, 0, wire.AppendGoaway(nil, wire.Goaway{Reason: "bye"}))
		}
	case 13:
		switch v := s.visitor; x.Pick(3) {
		case 0:
			x.sleep()
		case 1: // what the server says is lost from now on
			v.far.Cut(memnet.Stall)
		case 2: // what it is told
			v.peer.conn.Cut(memnet.Stall)
		}
	case 14:
		x.say([]byte{wire.Ping})
	case 15:
		if x.wrong {
			x.say(x.Take(1 + x.Pick(32)))
		}
	}
}

// slot is one where a command is open, or where none is, if there is such a one; or any.
func (x *foe) slot(open bool) int {
	n := x.Pick(64)
	if n == 63 && x.wrong {
		return foeSlots
	}
	x.current.mu.Lock()
	defer x.current.mu.Unlock()
	for i := range foeSlots {
		slot := (n + i) % foeSlots
		if x.wrong || x.current.slots[slot].open == open {
			return slot
		}
	}
	return n % foeSlots
}

func (x *foe) frame(kind wire.Kind, flags wire.Flags, slot int, payload []byte) {
	x.say(frame(kind, flags, slot, payload))
}

// command sends a command, whole or in chunks.
func (x *foe) command() {
	s, slot := x.current, x.slot(false)
	switch k := &s.slots[slot%foeSlots]; {
	case x.wrong:
	case k.partial != 0:
		x.finish(slot)
		return
	case k.open:
		return // all are taken
	}
	e := wire.Extras{Seq: s.seq + 1}
	switch how := x.Pick(16); {
	case how > 11 && x.wrong:
		e.Seq = x.Number()
	case how > 8 && !x.wrong && s.slots[slot].rejected, how > 8 && x.wrong:
		if slot < foeSlots {
			e.Seq = s.slots[slot].seq // once more, as after a rejection
		}
	}
	e.Credit = uint64(x.Pick(6))
	extras := x.Byte()
	if extras&1 != 0 {
		e.Timeout = 1 + x.Number()*100_000
	}
	if extras&2 != 0 {
		e.Metadata = wire.AppendPair(nil, "key", "value")
	}
	if extras&4 != 0 {
		e.Origin = &wire.Origin{Session: wire.SessionID{foreign}, Seq: 1 + x.Number()>>1}
	}
	if extras&16 != 0 && e.Seq == s.last+1 {
		e.Seq = 0 // it is said only where it is not the next one
	}
	seq := e.Seq
	if seq == 0 {
		seq = s.last + 1
	}
	chunked, padding := x.Pick(4), x.Pick(8)
	body := append([]byte(foeNames[x.Pick(len(foeNames))]), ' ', byte('0'+slot))
	if padding == 7 {
		body = append(body, make([]byte, int(x.Byte())<<5)...)
	}
	if slot < foeSlots {
		s.mu.Lock()
		k := &s.slots[slot]
		*k = foeSlot{open: true, seq: seq, credit: max(e.Credit, 1), allowed: 8, resultSeq: k.resultSeq, resultItem: k.resultItem}
		s.mu.Unlock()
	}
	s.seq, s.last = max(s.seq, min(seq, 1<<62)), seq
	payload := wire.AppendExtras(nil, e)
	flags := wire.FlagExtras
	if len(payload) == 0 {
		flags = 0
	}
	if extras&8 != 0 && (x.wrong || s.visitor.hello.Compressions != nil) {
		flags |= wire.FlagCompressed
		body = append([]byte("q"), "100"...)
	}
	if chunked == 0 {
		x.frame(wire.KindCommand, flags, slot, append(payload, body...))
		return
	}
	x.chunks(wire.KindCommand, flags, slot, payload, body, chunked)
}

// chunks sends a body in two chunks: 1: of which both come; 2: the second one is empty;
// 3: it does not come, for now.
func (x *foe) chunks(kind wire.Kind, flags wire.Flags, slot int, payload, body []byte, how int) {
	half := len(body) / 2
	payload = append(wire.AppendUvarint(payload, uint64(len(body))), body[:half]...)
	x.frame(kind, flags|wire.FlagMore, slot, payload)
	rest := flags &^ (wire.FlagExtras | wire.FlagCompressed)
	switch how {
	case 1:
		x.frame(kind, rest, slot, body[half:])
	case 2:
		x.frame(kind, rest, slot, nil)
	default:
		if slot < foeSlots {
			x.current.slots[slot].partial = kind
		}
	}
}

// finish sends the last chunk that is due on a slot.
func (x *foe) finish(slot int) {
	k := &x.current.slots[slot]
	kind := k.partial
	k.partial = 0
	x.frame(kind, 0, slot, nil)
}

// input sends an input.
func (x *foe) input() {
	slot, flags := x.slot(true), wire.Flags(0)
	if !x.wrong {
		k := &x.current.slots[slot]
		if k.partial != 0 {
			x.finish(slot)
			return
		}
		if !k.open || k.inputsEnded || k.inputs >= k.allowed {
			return
		}
	}
	if x.Pick(4) == 1 {
		flags = wire.FlagLast
	}
	body := make([]byte, x.Pick(3))
	if x.Rarely(8) {
		body = make([]byte, foeCmdSize-1+x.Pick(4))
	}
	if slot < foeSlots {
		x.current.mu.Lock()
		x.current.slots[slot].inputs++
		x.current.slots[slot].inputsEnded = flags != 0
		x.current.mu.Unlock()
	}
	if how := x.Pick(8); how < 4 || len(body) == 0 {
		x.frame(wire.KindInput, flags, slot, body)
	} else {
		x.chunks(wire.KindInput, flags, slot, nil, body, how&3)
	}
}

// list tells of the open slots, as they are, or with something wrong.
func (x *foe) list(wrong bool) {
	s := x.current
	if s.number == 0 {
		return
	}
	var slots []wire.ClientSlot
	s.mu.Lock()
	for i, k := range s.slots {
		if k.open {
			slots = append(slots, wire.ClientSlot{Slot: uint64(i), Seq: k.seq, Seen: k.seen, Credit: max(k.credit, k.seen) - k.seen, Inputs: k.inputs, Canceled: k.canceled})
		}
	}
	if wrong {
		slots = x.spoil(slots)
	}
	for i := range s.slots {
		s.slots[i].resultSeq, s.slots[i].resultItem = 0, 0
	}
	for _, item := range slots {
		if item.Slot < foeSlots {
			k := &s.slots[item.Slot]
			k.open, k.seq, k.seen, k.credit, k.inputs = true, item.Seq, item.Seen, item.Seen+item.Credit, item.Inputs
			k.resultSeq, k.resultItem = int(item.Seq), int(item.Seen)
		}
	}
	s.mu.Unlock()
	var payload []byte
	for _, item := range slots {
		payload = wire.AppendClientSlot(payload, item)
	}
	x.frame(wire.KindResume, wire.FlagLast, 0, payload)
}

// spoil changes a list.
func (x *foe) spoil(slots []wire.ClientSlot) []wire.ClientSlot {
	for range 1 + x.Pick(3) {
		if len(slots) == 0 || x.Rarely(8) {
			slots = append(slots, wire.ClientSlot{Slot: x.Number(), Seq: x.Number(), Seen: x.Number(), Credit: x.Number()})
			continue
		}
		i := x.Pick(len(slots))
		k := &slots[i]
		switch x.Pick(8) {
		case 0:
			k.Seen++
		case 1:
			k.Seen--
		case 2:
			k.Credit = x.Number()
		case 3:
			k.Inputs += x.Number() - 1
		case 4:
			k.Canceled = !k.Canceled
		case 5:
			k.Seq += x.Number() - 1
		case 6:
			k.Slot += x.Number() - 1
		case 7:
			slots = append(slots[:i], slots[i+1:]...)
		}
	}
	return slots
}

// another makes a connection that is not simply the next one of its session.
func (x *foe) another() {
	x.dishonest = true // it may leave a list unsaid
	s := x.current
	switch x.Pick(8) {
	case 0: // beside the one that there is
		x.hello(s, true)
		x.list(false)
	case 1: // of somebody else
		s.visitor.name = "eve"
		x.hello(s, true)
		s.visitor.name = ""
	case 2: // that was long on its way
		s.epoch -= 2
		x.hello(s, true)
		s.epoch += 2
	case 3: // that opens it once more
		x.hello(s, false)
	case 4:
		x.cut()
		x.open(nil)
	case 5: // without a session
		x.cut()
		s = x.newSession()
		s.number = 0
		x.hello(s, false)
	case 6:
		x.open(nil)
	case 7: // that has yet to say its list
		x.cut()
		x.hello(s, true)
	}
}

// foeOpened is how many sessions the foe opens at most.
const foeOpened = 9

// open opens a further session.
func (x *foe) open(compressions []uint64) {
	if x.opened >= foeOpened {
		return
	}
	s := x.newSession()
	if x.Rarely(4) {
		compressions = []uint64{64}
	}
	x.current = s
	s.visitor.hello.Compressions = compressions
	x.hello(s, false)
}

func (x *foe) newSession() *foeSession {
	x.opened++
	s := &foeSession{number: x.opened}
	s.visitor = x.host.visit(wire.ClientHello{})
	x.current = s
	return s
}

// hello makes a connection that opens the session, or resumes it.
func (x *foe) hello(s *foeSession, resume bool) {
	s.epoch++
	s.visitor.hello.Session = s.session(resume)
	if s.number == 0 {
		s.visitor.hello.Session = nil
	}
	if !resume || s.number == 0 {
		x.tries++
		s.visitor.ctx = context.WithValue(x.t.Context(), sessionKey{}, x.tries)
	}
	b, err := wire.AppendClientHello(nil, s.visitor.hello)
	if err != nil {
		x.t.Fatal(err)
	}
	x.connection(s, b)
}

// connection makes a connection over which b is said.
func (x *foe) connection(s *foeSession, b []byte) {
	near, far := memnet.Pipe()
	x.t.Cleanup(func() { near.Close() })
	s.visitor.far, s.visitor.peer = far, &peer{t: x.t, conn: near}
	s.mu.Lock()
	s.conn++
	s.gone, s.lost = false, false
	number := s.conn
	for i := range s.slots {
		s.slots[i].resultSeq, s.slots[i].resultItem, s.slots[i].partial = 0, 0, 0
		if s.number == 0 {
			s.slots[i] = foeSlot{}
		}
	}
	s.seq, s.last = 0, 0
	for _, k := range s.slots {
		s.seq = max(s.seq, min(k.seq, 1<<62))
	}
	s.mu.Unlock()
	go x.hear(s, number, near)
	go x.host.accept(s.visitor, far)
	x.say(b)
}

// unbroken checks that no connection has ended by a rule that was broken.
func (h *host) unbroken() {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, err := range h.ended {
		if errors.Is(err, base.ErrProtocol) {
			h.t.Errorf("an honest client's connection has ended: %v", err)
		}
	}
}
