package main

import "slices"

// dials makes a connection, to whichever server the network likes.
func (m *model) dials(s *state, server uint8) bool {
	i := slices.IndexFunc(s.conns[:], func(c conn) bool { return c.number == 0 })
	waits := slices.ContainsFunc(s.fates[1:len(m.programs)], func(f fate) bool { return f.outcome <= open })
	if s.conn != 0 || i < 0 || !waits && s.slots == [slots]clientSlot{} {
		return false
	}
	if s.epoch > 0 {
		s.epoch++
	} else if s.session == 0 || !m.lacks(n1) {
		s.session++
	}
	s.conn = uint8(i) + 1
	c := &s.conns[i]
	*c = conn{number: s.conn, server: server, session: s.session, epoch: max(1, s.epoch), written: 1}
	c.send(&c.up, message{kind: hello})
	return m.say("the client dials server %d, connection %d: session %d, epoch %d", server+1, c.number, c.session, c.epoch)
}

// steals has another client, who has come to know the session's id, resume it.
func (m *model) steals(s *state, server uint8) bool {
	i := slices.IndexFunc(s.conns[:], func(c conn) bool { return c.number == 0 })
	if s.thefts == 0 || s.epoch == 0 || i < 0 {
		return false
	}
	s.thefts--
	c := &s.conns[i]
	*c = conn{number: uint8(i) + 1, server: server, session: s.session, epoch: s.epoch + 1, stolen: true, written: 1}
	c.send(&c.up, message{kind: hello})
	return m.say("A THIEF dials server %d, connection %d: session %d, epoch %d", server+1, c.number, c.session, c.epoch)
}

// begins sends the next command on the lowest free slot.
func (m *model) begins(s *state, _ uint8) bool {
	next := slices.IndexFunc(s.fates[1:len(m.programs)], func(f fate) bool { return f.outcome == waiting })
	i := slices.IndexFunc(s.slots[:], func(x clientSlot) bool { return x.command == 0 })
	if !s.attached || next < 0 || i < 0 {
		return false
	}
	s.seq++
	x, f := &s.slots[i], &s.fates[next+1]
	*x = clientSlot{command: uint8(next) + 1, seq: s.seq, allowed: 1}
	if f.outcome = open; f.id[0] == 0 || m.lacks(n10id) {
		f.id = [2]uint8{s.session, s.seq}
	}
	m.sends(s, uint8(i))
	if m.lacks(s6lock) && s.fates[next].outcome == succeeded {
		s.up(uint8(i), message{kind: cancel}) // of the one before
	}
	return m.say("the client sends command %d on slot %d, Seq %d", x.command, i, s.seq)
}

// sends appends the command of a slot, or its first piece. It has credit for one result.
func (m *model) sends(s *state, i uint8) {
	x, c := &s.slots[i], &s.conns[s.conn-1]
	frame := message{kind: command, more: m.programs[x.command].pieces}
	if x.seq != c.lastUp+1 {
		frame.seq = x.seq
	}
	c.lastUp = x.seq
	x.piece, x.unseen = frame.more, false
	s.up(i, frame)
}

// up sends a frame about a slot, unless the server has to be told of its command first.
func (s *state) up(i uint8, frame message) {
	if x := &s.slots[i]; s.attached && !x.unseen {
		frame.slot, frame.command = i, x.command
		c := &s.conns[s.conn-1]
		c.send(&c.up, frame)
	}
}

// sendsAgain sends a command that the server has not seen, or frees its slot.
func (m *model) sendsAgain(s *state, i uint8) bool {
	x := &s.slots[i]
	if !s.attached || !x.unseen || m.lacks(l8) || x.canceled && m.lacks(l8cancel) {
		return false
	}
	if x.canceled {
		*x = clientSlot{}
		return m.say("slot %d is free: nobody wants its command", i)
	}
	m.sends(s, i)
	return m.say("the client sends command %d again", x.command)
}

// sendsPiece sends the last piece of a command, if it is still to be sent.
func (m *model) sendsPiece(s *state, i uint8) bool {
	x := &s.slots[i]
	if !x.piece {
		return false
	}
	x.piece = false
	s.up(i, message{kind: piece, more: x.canceled})
	return m.say("the client sends the last piece of command %d", x.command)
}

func (m *model) sendsInput(s *state, i uint8) bool {
	x := &s.slots[i]
	all := m.programs[x.command].inputs
	more := x.inputs < all // the end needs no credit
	known := !x.unseen && (!x.listed || m.lacks(l9inputs))
	if !s.attached || !known || x.canceled || all == 0 || x.inputs > all || more && x.inputs >= x.allowed {
		return false
	}
	x.inputs++
	s.up(i, message{kind: input, n: x.inputs, more: more})
	return m.say("the client sends input %d of command %d", x.inputs, x.command)
}

// takesResult lets the user take a result, for which credit is given.
func (m *model) takesResult(s *state, i uint8) bool {
	x := &s.slots[i]
	if x.taken == x.got || x.canceled {
		return false
	}
	p := m.programs[x.command]
	given := x.credit(p)
	x.taken++
	if !m.lacks(k2) {
		s.up(i, message{kind: credit, n: x.credit(p) - given})
	}
	return m.say("the user takes result %d of command %d", x.taken, x.command)
}

// givesUp lets the user cancel a command.
func (m *model) givesUp(s *state, i uint8) bool {
	x := &s.slots[i]
	endless := m.programs[x.command].endless
	if x.command == 0 || x.canceled || !endless && s.cancels == 0 {
		return false
	}
	if !endless {
		s.cancels--
	}
	m.say("the user cancels command %d", x.command)
	x.canceled = true
	f := &s.fates[x.command]
	if f.outcome = unknown; s.conn == 0 && !x.wrote && (!f.again || m.lacks(n10told)) {
		f.outcome = notSent
	}
	if !m.sendsPiece(s, i) && !m.lacks(s2) { // which says enough
		s.up(i, message{kind: cancel})
	}
	if m.lacks(s1) {
		*x = clientSlot{}
	}
	return true
}

// clientNotices that its connection has ended: its reader and writer are joined.
func (m *model) clientNotices(s *state, i uint8) bool {
	c := &s.conns[i]
	return !c.clientLeft && (c.serverLeft || c.cut && !m.lacks(a2)) && m.clientLeaves(s, c)
}

func (m *model) clientLeaves(s *state, c *conn) bool {
	c.clientLeft = true
	if c.stolen {
		c.up.keep(c.written)
		c.down.keep(0)
		return m.say("the thief leaves connection %d", c.number)
	}
	if m.lacks(n5writer) && !c.serverLeft {
		c.written = c.up.n // the writer goes on
	}
	c.up.keep(c.written)
	if !m.lacks(n5) || c.down.messages[0].kind <= stale { // else the reader goes on
		c.down.keep(0)
	}
	s.conn, s.attached = 0, false
	for i := range s.slots {
		s.slots[i].piece = false
	}
	return m.say("the client leaves connection %d", c.number)
}

// clientReads takes the next message that has come.
func (m *model) clientReads(s *state, i uint8) bool {
	c := &s.conns[i]
	if c.down.n == 0 {
		return false
	}
	if c.stolen {
		x := c.down.pop()
		m.judge(x.kind == stale || x.kind == lost, "a thief gets what is for another client")
		return m.clientLeaves(s, c)
	}
	switch x := c.down.pop(); x.kind {
	case ok:
		m.say("the client is answered: ok")
		m.attaches(s, c)
	case lost:
		m.say("the client is answered: session lost")
		m.loses(s)
		m.clientLeaves(s, c)
	case stale:
		m.judge(false, "the client's newest connection is refused")
	case answer:
		m.say("the client gets the answer to its list")
		m.isAnswered(s, c)
	default:
		m.hears(s, x)
	}
	return true
}

// attaches makes the connection that for new commands, and lists the open slots.
func (m *model) attaches(s *state, c *conn) {
	s.epoch, s.attached = c.epoch, true
	if c.epoch == 1 {
		return // none is open
	}
	for i := range s.slots {
		if x := &s.slots[i]; x.command != 0 {
			x.listed, x.unseen = true, false
			c.list[i] = item{seq: x.seq, seen: x.got, credit: x.credit(m.programs[x.command]) - x.got, canceled: x.canceled && !m.lacks(l9)}
		}
	}
	if m.lacks(l1) {
		m.begins(s, 0)
	}
	c.send(&c.up, message{kind: list})
	m.say("the client sends its list")
}

// isAnswered takes the server's answer to the list.
func (m *model) isAnswered(s *state, c *conn) {
	for i, a := range c.answer {
		x := &s.slots[i]
		if !x.listed {
			continue // it is a new one's
		}
		x.listed, x.unseen, x.allowed = false, a.unseen, max(x.allowed, a.inputs+a.credit)
		if !m.lacks(i5) {
			x.inputs = a.inputs
		}
		m.judge(!a.unseen || x.got == 0, "command %d is told to be unseen, and results of it have come", x.command)
	}
	c.answer = [slots]item{}
}

// loses is the end of the session: another will be opened.
func (m *model) loses(s *state) {
	m.judge(s.sessions[s.session-1].gone, "session %d is told to be lost, and nothing has happened to it", s.session)
	for _, x := range s.slots {
		f, idempotent := &s.fates[x.command], m.programs[x.command].idempotent
		switch {
		case x.command == 0, x.canceled: // nobody waits for it
		case !x.wrote:
			f.outcome = waiting // it never left: it goes out in the next session
		case idempotent && (x.got == 0 || m.lacks(n10)) || m.lacks(n10any):
			f.outcome, f.again = waiting, idempotent
		default:
			m.say("command %d ends: unknown", x.command)
			f.outcome = unknown
		}
	}
	s.epoch, s.slots = 0, [slots]clientSlot{}
}

// hears takes a frame about an open command.
func (m *model) hears(s *state, frame message) {
	x := &s.slots[frame.slot]
	if frame.command != x.command {
		m.judge(frame.kind == credit, "a frame about command %d comes for command %d", frame.command, x.command)
		return // credit may have crossed the end
	}
	f := &s.fates[x.command]
	switch frame.kind {
	case credit:
		x.allowed += frame.n
	case result:
		m.say("the client gets result %d of command %d", frame.n, x.command)
		x.got++
		f.got++
		m.judge(frame.n == f.got, "command %d gets result %d as its %d.", x.command, frame.n, f.got)
		credit := x.credit(m.programs[x.command])
		m.judge(x.got <= credit || m.lacks(k3), "the client ends the connection: command %d gets more results than it has credit for", x.command)
		m.judge(x.got <= credit, "the client holds more results of command %d than it wants to", x.command)
		if m.programs[x.command].large && !m.lacks(q2) {
			s.up(frame.slot, message{kind: ack, n: x.got})
		}
	case failure:
		m.say("the client gets the failure of command %d", x.command)
	}
	if frame.outcome == 0 {
		return
	}
	if !x.canceled {
		f.outcome = frame.outcome
		m.judge(f.outcome != unknown, "command %d is ended, which nobody has canceled", x.command)
	}
	untrue := f.outcome == rejected && f.runs > 0 || f.outcome == succeeded && f.runs == 0
	m.judge(!untrue, "command %d has another outcome than its caller is told", x.command)
	if !m.lacks(c9) {
		m.sendsPiece(s, frame.slot) // which is dropped
	}
	*x = clientSlot{}
}
