package main

// released is how many results of the command are not kept any more.
func (r *record) released(m *model) uint8 {
	n := max(r.acked, r.granted-r.first)
	if m.lacks(q1) {
		n = r.acked + r.granted - r.first
	}
	return min(n, r.sent)
}

// serverReads takes the next message of a connection.
func (m *model) serverReads(s *state, i uint8) bool {
	return m.reads(s, i, false)
}

// serverRejects takes it, if it is a command, and rejects it.
func (m *model) serverRejects(s *state, i uint8) bool {
	return m.reads(s, i, true)
}

func (m *model) reads(s *state, i uint8, reject bool) bool {
	c, number := &s.conns[i], i+1
	if c.written == 0 || reject && (s.rejections == 0 || c.up.messages[0].kind != command || c.serverLeft) {
		return false
	}
	x := c.up.pop()
	c.written--
	held := &s.sessions[c.server][c.session-1]
	r := &held.records[x.slot]
	if c.resume && held.conn == number && !c.listed && x.kind != hello && x.kind != list {
		m.breach("a frame came before the list")
	}
	switch {
	case x.kind == hello:
		m.greets(s, number)
	case !held.held:
	case x.kind == list:
		m.isListed(s, number, held)
	case x.kind == command || x.kind == piece:
		if reject {
			s.rejections--
		}
		m.takes(s, number, r, x, reject)
	case x.kind == ack:
		if r.command == x.command {
			r.acked = max(r.acked, x.n)
		}
	case !r.running:
		if m.lacks(s6) && r.partial == 0 && !r.dropping {
			m.breach("a frame crossed the end of its command")
		}
	case x.kind == cancel:
		m.isCanceled(s, r, x.slot, number)
	case x.kind == credit:
		r.granted += x.n
	case x.kind == input:
		m.say("command %d gets input %d", r.command, x.n)
		if r.inputs++; x.n != r.inputs {
			m.wrong("command %d gets input %d as its %d.", r.command, x.n, r.inputs)
		}
		if r.linked && !x.end {
			s.down(held.conn, message{kind: credit, slot: x.slot, command: r.command, n: 1})
		}
	}
	s.forget(number)
	return true
}

// breach is a rule that the server finds broken. Here all peers keep to the rules.
func (m *model) breach(what string) {
	m.wrong("a correct client is disconnected: " + what)
}

// greets answers a hello.
func (m *model) greets(s *state, number uint8) {
	c := &s.conns[number-1]
	x := &s.sessions[c.server][c.session-1]
	switch {
	case !c.resume && x.held:
		m.wrong("session %d can't be opened: there is one of this id", c.session)
		return
	case !c.resume, !x.held && m.lacks(n2):
		m.say("server %d makes session %d", c.server+1, c.session)
		*x = session{held: true}
	case !x.held:
		m.say("server %d does not hold session %d", c.server+1, c.session)
		s.gone[c.session-1] = s.gone[c.session-1] || s.sessions[1-c.server][c.session-1].held
		s.down(number, message{kind: lost})
		return
	case c.epoch <= x.epoch && !m.lacks(n3):
		m.say("server %d refuses the old epoch %d", c.server+1, c.epoch)
		s.down(number, message{kind: stale})
		return
	default:
		m.say("server %d resumes session %d over connection %d", c.server+1, c.session, number)
	}
	if x.conn != 0 {
		if x.conn == s.conn && !s.conns[s.conn-1].cut {
			m.wrong("a correct client's newest connection is ended")
		}
		m.serverLeaves(s, x.conn)
	}
	x.epoch, x.conn = c.epoch, number
	for i := range x.records {
		x.records[i].linked = m.lacks(l3)
	}
	s.down(number, message{kind: ok})
}

// serverNotices that a connection has ended.
func (m *model) serverNotices(s *state, i uint8) bool {
	c, number := &s.conns[i], i+1
	if c.serverLeft || !c.clientLeft && (!c.cut || m.lacks(a2)) {
		return false
	}
	m.serverLeaves(s, number)
	return true
}

// serverLeaves joins the connection's reader; the session goes on without it.
func (m *model) serverLeaves(s *state, number uint8) {
	c := &s.conns[number-1]
	m.say("server %d leaves connection %d", c.server+1, number)
	inHand := uint8(0)
	if (m.lacks(n4) || m.lacks(twice)) && c.written > 0 && c.up.messages[0].kind != hello {
		inHand = 1
	}
	c.up.keep(inHand)
	c.written, c.serverLeft = inHand, true
	if x := &s.sessions[c.server][c.session-1]; x.held && x.conn == number {
		x.conn = 0
		for i := range x.records {
			r := &x.records[i]
			if r.linked, r.dropping = false, false; !m.lacks(c11) {
				r.partial = 0
			}
		}
		if m.lacks(n7) {
			*x = session{}
		}
	}
	s.forget(number)
}

// isListed takes the client's list, answers it, and goes on from there.
func (m *model) isListed(s *state, number uint8, x *session) {
	c := &s.conns[number-1]
	if x.conn != number {
		return
	}
	m.say("server %d gets the list", c.server+1)
	c.listed = true
	for i := range x.records {
		c.answer[i] = m.stands(&x.records[i], c.list[i])
	}
	s.down(number, message{kind: answer})
	for i := range x.records {
		if a := c.answer[i]; a.there && !a.unseen {
			m.replays(s, number, uint8(i), &x.records[i], c.list[i])
		}
	}
	c.list = [slots]item{}
}

// stands says where a listed command stands.
func (m *model) stands(r *record, listed item) item {
	if !listed.there {
		if r.running {
			m.breach("an open command is not in the list")
		}
		if !m.lacks(l2) {
			r.acked = r.sent
		}
		return item{}
	}
	if listed.seq > r.seq || r.rejected && !m.lacks(l4reject) {
		if !m.lacks(q3) {
			r.acked = r.sent // of the command before
		}
		return item{there: true, unseen: true}
	}
	if listed.seq < r.seq || listed.seen < r.released(m) || listed.seen > r.sent {
		m.breach("results are asked for that are not kept")
	}
	if !m.lacks(l7) {
		r.granted = max(r.granted, listed.seen+listed.credit)
	}
	if !m.lacks(l6) {
		r.acked = max(r.acked, listed.seen)
	}
	came := r.inputs
	if m.lacks(i3) && came > m.programs[r.command-1].inputs {
		came--
	}
	return item{there: true, inputs: came, credit: 1}
}

// replays sends what the client has not seen of a command, and links it.
func (m *model) replays(s *state, number, i uint8, r *record, listed item) {
	r.linked = true
	if m.lacks(l6ended) && !r.running {
		return
	}
	from := listed.seen
	if m.lacks(l6) {
		from = r.released(m)
	}
	for n := from + 1; n <= r.sent; n++ {
		s.down(number, message{kind: result, slot: i, command: r.command, n: n, end: n == m.programs[r.command-1].results})
	}
	if r.failed {
		s.down(number, message{kind: failure, slot: i, command: r.command, n: uint8(unknown)})
	}
	if listed.canceled && r.running {
		m.isCanceled(s, r, i, number)
	}
}

// takes takes a command, or a piece of one. That it is a piece its frame does not say: it
// is one if the slot's command is not whole.
func (m *model) takes(s *state, number uint8, r *record, x message, reject bool) {
	c := &s.conns[number-1]
	seq := x.seq
	switch {
	case r.dropping:
		if r.dropping = x.more; x.kind == command {
			m.wrong("command %d is taken for the rest of one that was refused", x.command)
		}
		return
	case r.partial != 0:
		if r.partial != x.command || x.kind == command {
			m.wrong("the pieces of commands %d and %d are put together", r.partial, x.command)
		}
		if m.lacks(s4) {
			c.lastRead++
			r.began = c.lastRead
		}
		r.partial = 0
		x.n = 1 // which the first piece has said
		switch {
		case !x.end:
			m.runs(s, number, r, x, r.began)
		case m.lacks(c6):
			m.wrong("command %d runs with half of its body", x.command)
		default:
			m.refuses(s, number, r, x, r.began)
		}
		return
	case x.kind == piece:
		m.wrong("a piece of command %d is taken for a command", x.command)
	case seq == 0:
		seq = c.lastRead + 1
	}
	if !m.lacks(s4) || !x.more {
		c.lastRead = seq
	}
	switch {
	case r.running && !m.lacks(twice):
		m.breach("a command came on a slot where one is open")
	case (seq < r.seq || seq == r.seq && !r.rejected) && !m.lacks(twice):
		m.breach("a command came twice, or late")
	case reject:
		m.refuses(s, number, r, x, seq)
		r.dropping = x.more
	case x.more:
		m.say("server %d gets the first piece of command %d", c.server+1, x.command)
		if m.lacks(l4) {
			*r = record{command: x.command, seq: seq, first: x.n, granted: x.n}
		}
		r.partial, r.began = x.command, seq
	default:
		m.runs(s, number, r, x, seq)
	}
}

// refuses rejects a command: it is as if it had not come.
func (m *model) refuses(s *state, number uint8, r *record, x message, seq uint8) {
	m.say("server %d rejects command %d", s.conns[number-1].server+1, x.command)
	*r = record{command: x.command, seq: seq, rejected: true}
	s.down(number, message{kind: failure, slot: x.slot, command: x.command, n: uint8(rejected)})
}

// runs begins a command.
func (m *model) runs(s *state, number uint8, r *record, x message, seq uint8) {
	c := &s.conns[number-1]
	m.say("server %d runs command %d", c.server+1, x.command)
	*r = record{command: x.command, seq: seq, running: true, linked: !c.serverLeft, first: x.n, granted: x.n}
	f := &s.fates[x.command-1]
	f.runs++
	switch {
	case f.runs > 1 && !f.again:
		m.wrong("command %d runs twice", x.command)
	case f.runs > 1 && f.ranAs != f.id:
		m.wrong("command %d runs once more, and does not know itself by its CommandID", x.command)
	case f.outcome == notSent, f.outcome == rejected:
		m.wrong("command %d runs, and its caller was told that it did not", x.command)
	case f.id[0] == c.session && f.id[1] != seq:
		m.wrong("command %d has Seq %d at the client, and %d at the server", x.command, f.id[1], seq)
	}
	f.ranAs = f.id
}

// isCanceled ends a running command that the client has given up.
func (m *model) isCanceled(s *state, r *record, i, number uint8) {
	m.say("command %d is canceled", r.command)
	r.running, r.failed = false, true
	if r.linked && !m.lacks(x1) {
		s.down(number, message{kind: failure, slot: i, command: r.command, n: uint8(unknown)})
	}
}

// sendsResult is what a running command does, once it has its inputs.
func (m *model) sendsResult(s *state, n uint8) bool {
	i := n % slots
	x := &s.sessions[n/slots/sessions][n/slots%sessions]
	r := &x.records[i]
	if !r.running {
		return false
	}
	p := &m.programs[r.command-1]
	if r.sent >= min(r.granted, p.results) || p.inputs > 0 && r.inputs <= p.inputs {
		return false
	}
	r.sent++
	if r.running = r.sent < p.results; r.linked {
		s.down(x.conn, message{kind: result, slot: i, command: r.command, n: r.sent, end: !r.running})
	}
	return m.say("command %d sends result %d", r.command, r.sent)
}

// evicts gives a session up.
func (m *model) evicts(s *state, n uint8) bool {
	server, id := n/sessions, n%sessions+1
	x := &s.sessions[server][id-1]
	if s.evictions == 0 || !x.held || x.conn != 0 && !m.lacks(n8) {
		return false
	}
	m.say("SERVER %d gives up session %d", server+1, id)
	if x.conn != 0 {
		m.breach("its session is given up")
	}
	s.evictions--
	*x, s.gone[id-1] = session{}, true
	return true
}

// restarts ends all that a server has.
func (m *model) restarts(s *state, server uint8) bool {
	if s.restarts == 0 || s.sessions[server] == [sessions]session{} {
		return false
	}
	m.say("SERVER %d is restarted", server+1)
	s.restarts--
	for id, x := range s.sessions[server] {
		s.gone[id] = s.gone[id] || x.held
	}
	s.sessions[server] = [sessions]session{}
	for i := range s.conns {
		if c := &s.conns[i]; c.used && c.server == server && !c.serverLeft {
			m.serverLeaves(s, uint8(i)+1)
		}
	}
	return true
}
