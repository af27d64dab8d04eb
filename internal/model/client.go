package main

// dials makes a connection, to whichever server the network likes.
func (m *model) dials(s *state, server uint8) bool {
	free := uint8(1)
	for free <= conns && s.conns[free-1].used {
		free++
	}
	if s.conn != 0 || free > conns || m.ended(s) == "" {
		return false
	}
	if !s.opened && (s.session == 0 || !m.lacks(n1)) {
		s.ids++
		s.session, s.epoch = s.ids, 0
	}
	s.epoch++
	s.conn = free
	s.conns[free-1] = conn{used: true, server: server, session: s.session, epoch: s.epoch, resume: s.opened}
	s.up(message{kind: hello})
	s.conns[free-1].written = 1
	if s.opened {
		return m.say("the client dials server %d, connection %d, to resume session %d, epoch %d", server+1, free, s.session, s.epoch)
	}
	return m.say("the client dials server %d, connection %d, to open session %d", server+1, free, s.session)
}

// begins sends the next command on the lowest free slot.
func (m *model) begins(s *state, _ uint8) bool {
	next, i := uint8(0), uint8(0)
	for next < uint8(len(m.programs)) && s.fates[next].outcome != waiting {
		next++
	}
	for i < slots && s.slots[i].command != 0 {
		i++
	}
	if !s.attached || next == uint8(len(m.programs)) || i == slots {
		return false
	}
	s.seq++
	s.slots[i] = clientSlot{command: next + 1, seq: s.seq, granted: 1, allowed: 1}
	f := &s.fates[next]
	if f.outcome = open; f.id[0] == 0 || m.lacks(n10id) {
		f.id = [2]uint8{s.session, s.seq}
	}
	m.say("the client sends command %d on slot %d, Seq %d", next+1, i, s.seq)
	m.sends(s, i)
	return true
}

// sends appends the command of a slot, or its first piece.
func (m *model) sends(s *state, i uint8) {
	x, c := &s.slots[i], &s.conns[s.conn-1]
	frame := message{kind: command, slot: i, command: x.command, n: x.granted, more: m.programs[x.command-1].pieces}
	if x.seq != c.lastUp+1 {
		frame.seq = x.seq
	}
	c.lastUp = x.seq
	x.piece, x.standing, x.inputs, x.asked = frame.more, known, 0, false
	s.up(frame)
}

// sendsAgain sends a command that the server has not seen, or frees its slot.
func (m *model) sendsAgain(s *state, i uint8) bool {
	x := &s.slots[i]
	switch {
	case !s.attached || x.standing != unseen || m.lacks(l8) || x.canceled && m.lacks(l8cancel):
		return false
	case x.canceled:
		m.say("the slot of command %d, which nobody wants, is free", x.command)
		*x = clientSlot{}
	default:
		m.say("the client sends command %d again", x.command)
		m.sends(s, i)
	}
	return true
}

func (m *model) sendsPiece(s *state, i uint8) bool {
	x := &s.slots[i]
	if !x.piece {
		return false
	}
	x.piece = false
	s.up(message{kind: piece, slot: i, command: x.command})
	return m.say("the client sends the last piece of command %d", x.command)
}

func (m *model) sendsInput(s *state, i uint8) bool {
	x := &s.slots[i]
	if x.command == 0 {
		return false
	}
	all := m.programs[x.command-1].inputs
	isEnd := x.inputs == all // needs no credit
	if !s.attached || all == 0 || x.inputs > all || !isEnd && x.inputs >= x.allowed || x.standing != known || x.asked || x.canceled {
		return false
	}
	x.inputs++
	s.up(message{kind: input, slot: i, command: x.command, n: x.inputs, end: isEnd})
	return m.say("the client sends input %d of command %d", x.inputs, x.command)
}

// takesResult lets the user take a result, for which credit is given.
func (m *model) takesResult(s *state, i uint8) bool {
	x := &s.slots[i]
	if x.taken == x.got || x.canceled {
		return false
	}
	x.taken++
	x.granted++
	if s.attached && x.standing != unseen {
		s.up(message{kind: credit, slot: i, command: x.command, n: 1})
	}
	return m.say("the user takes result %d of command %d", x.taken, x.command)
}

// givesUp lets the user cancel a command.
func (m *model) givesUp(s *state, i uint8) bool {
	x := &s.slots[i]
	if x.command == 0 {
		return false
	}
	endless := m.programs[x.command-1].endless
	if x.canceled || s.cancels == 0 && !endless {
		return false
	}
	if !endless {
		s.cancels--
	}
	m.say("the user cancels command %d", x.command)
	f := &s.fates[x.command-1]
	if f.outcome = unknown; s.conn == 0 && !x.wrote {
		f.outcome = notSent
	}
	x.canceled = true
	switch {
	case !s.attached || x.standing == unseen:
	case x.piece:
		x.piece = false
		s.up(message{kind: piece, slot: i, command: x.command, end: true}) // says enough
	default:
		s.up(message{kind: cancel, slot: i, command: x.command})
	}
	if m.lacks(s1) {
		*x = clientSlot{}
	}
	return true
}

// cancelsLate cancels a command that has just ended, on a slot that is another's.
func (m *model) cancelsLate(s *state, i uint8) bool {
	x := &s.slots[i]
	if !m.lacks(held) || s.cancels == 0 || !s.attached || x.command < 2 || s.fates[x.command-2].outcome != succeeded {
		return false
	}
	s.cancels--
	s.up(message{kind: cancel, slot: i, command: x.command - 1})
	return m.say("the user cancels command %d, which had slot %d", x.command-1, i)
}

// clientNotices that its connection has ended: its reader and writer are joined.
func (m *model) clientNotices(s *state, i uint8) bool {
	c, number := &s.conns[i], i+1
	if c.clientLeft || !c.serverLeft && (!c.cut || m.lacks(a2)) {
		return false
	}
	m.clientLeaves(s, number)
	return true
}

func (m *model) clientLeaves(s *state, number uint8) {
	c := &s.conns[number-1]
	m.say("the client leaves connection %d", number)
	c.clientLeft = true
	if m.lacks(n5writer) && c.up.n > c.written && !c.serverLeft {
		c.written++ // the writer has it in hand
	}
	c.up.keep(c.written)
	inHand := uint8(0)
	if m.lacks(n5) && c.down.n > 0 && c.down.messages[0].kind > stale {
		inHand = 1
	}
	c.down.keep(inHand)
	s.conn, s.attached = 0, false
	if !s.opened && !m.lacks(n1) {
		s.session = 0
	}
	for i := range s.slots {
		s.slots[i].piece = false
	}
	s.forget(number)
}

// clientReads takes the next message that has come.
func (m *model) clientReads(s *state, i uint8) bool {
	c, number := &s.conns[i], i+1
	if c.down.n == 0 {
		return false
	}
	switch x := c.down.pop(); x.kind {
	case ok:
		m.say("the client is answered: ok")
		m.attaches(s)
	case lost:
		m.say("the client is answered: session lost")
		m.loses(s, number)
	case stale:
		m.wrong("the client's newest connection is refused")
	case answer:
		m.say("the client gets the answer to its list")
		m.isAnswered(s, c)
	default:
		m.hears(s, number, x)
	}
	s.forget(number)
	return true
}

// attaches makes the connection that for new commands, and lists the open slots.
func (m *model) attaches(s *state) {
	c := &s.conns[s.conn-1]
	s.opened, s.attached = true, true
	if !c.resume {
		return
	}
	for i := range s.slots {
		x := &s.slots[i]
		if x.command == 0 {
			continue
		}
		c.list[i] = item{there: true, seq: x.seq, seen: x.got, credit: x.granted - x.got, inputs: x.inputs, canceled: x.canceled && !m.lacks(l9)}
		if x.standing, x.asked = listed, true; m.lacks(l9inputs) {
			x.standing, x.asked = known, false
		}
	}
	if c.posts = true; !m.lacks(l1) {
		m.sendsList(s, 0)
	}
}

func (m *model) sendsList(s *state, _ uint8) bool {
	if s.conn == 0 || !s.conns[s.conn-1].posts {
		return false
	}
	s.conns[s.conn-1].posts = false
	s.up(message{kind: list})
	return m.say("the client sends its list")
}

// isAnswered takes the server's answer to the list.
func (m *model) isAnswered(s *state, c *conn) {
	for i := range s.slots {
		x, a := &s.slots[i], c.answer[i]
		switch {
		case !a.there:
		case a.unseen:
			if x.standing = unseen; x.got > 0 {
				m.wrong("command %d is told to be unseen, and results of it have come", x.command)
			}
		default:
			x.standing, x.asked = known, false
			x.allowed = max(x.allowed, a.inputs+a.credit)
			if !m.lacks(l9inputs) && !m.lacks(i5) {
				x.inputs = a.inputs
			}
		}
	}
}

// loses is the end of the session: another will be opened.
func (m *model) loses(s *state, number uint8) {
	if !s.gone[s.session-1] {
		m.wrong("session %d is told to be lost, and nothing has happened to it", s.session)
	}
	for i := range s.slots {
		x := &s.slots[i]
		if x.command == 0 || x.canceled {
			*x = clientSlot{}
			continue
		}
		f := &s.fates[x.command-1]
		idempotent := m.programs[x.command-1].idempotent
		switch {
		case !x.wrote:
			f.outcome = waiting // it never left: it goes out in the next session
		case idempotent && (x.got == 0 || m.lacks(n10)) || m.lacks(n10any):
			f.outcome, f.again = waiting, idempotent
		default:
			m.say("command %d ends: unknown", x.command)
			f.outcome = unknown
		}
		*x = clientSlot{}
	}
	s.session, s.opened = 0, false
	m.clientLeaves(s, number)
}

// hears takes a frame about an open command.
func (m *model) hears(s *state, number uint8, frame message) {
	x := &s.slots[frame.slot]
	if frame.command != x.command {
		if frame.kind != credit { // that may have crossed the end
			m.wrong("a frame about command %d comes for command %d", frame.command, x.command)
		}
		return
	}
	f := &s.fates[x.command-1]
	end := frame.end
	switch frame.kind {
	case credit:
		x.allowed += frame.n
	case result:
		m.say("the client gets result %d of command %d", frame.n, x.command)
		x.got++
		if f.got++; frame.n != f.got {
			m.wrong("command %d gets result %d as its %d.", x.command, frame.n, f.got)
		}
		if x.got > x.granted {
			m.wrong("command %d gets more results than it has credit for", x.command)
		}
		if m.programs[x.command-1].large && !m.lacks(q2) && s.conn == number {
			s.up(message{kind: ack, slot: frame.slot, command: x.command, n: x.got})
		}
		if end && !x.canceled {
			f.outcome = succeeded
		}
	case failure:
		m.say("the client gets the failure of command %d", x.command)
		if end = true; !x.canceled {
			f.outcome = outcome(frame.n)
		}
		if f.outcome == unknown && !x.canceled {
			m.wrong("command %d is ended, which nobody has canceled", x.command)
		}
	}
	if f.outcome == rejected && f.runs > 0 || f.outcome == succeeded && f.runs == 0 {
		m.wrong("command %d has another outcome than its caller is told", x.command)
	}
	if end {
		if x.piece && !m.lacks(c9) {
			s.up(message{kind: piece, slot: frame.slot, command: x.command, end: true})
		}
		*x = clientSlot{}
	}
}
