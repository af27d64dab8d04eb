package main

// released is how many results of the command are not kept any more.
func (r *record) released(m *model) uint8 {
	if m.lacks(q1) {
		return min(max(r.acked, r.credited), r.sent)
	}
	return min(r.acked, r.sent)
}

// serverReads takes the next message of a connection.
func (m *model) serverReads(s *state, i uint8, reject bool) bool {
	c := &s.conns[i]
	if c.written == 0 || reject && c.up.messages[0].kind != command {
		return false
	}
	c.written--
	frame, x := c.up.pop(), &s.sessions[c.session-1]
	r := &x.records[frame.slot]
	m.judge(x.conn != c.number || c.listed || frame.kind == list, "a correct client is disconnected: a frame came before the list")
	switch {
	case frame.kind == hello:
		m.greets(s, c)
	case !x.heldBy(c.server): // nobody takes it
	case frame.kind == list:
		m.isListed(s, c, x)
	case frame.kind == command, frame.kind == piece:
		m.takes(s, c, r, frame, reject)
	case frame.kind == ack && frame.command == r.command:
		r.acked = max(r.acked, frame.n)
	case !r.running:
		m.judge(r.partial != 0 || !m.lacks(s6), "a correct client is disconnected: a frame crossed the end of its command")
	case frame.kind == cancel:
		m.isCanceled(r)
		m.tellsFrom(s, x, frame.slot, r.sent)
	case frame.kind == credit:
		r.credited += frame.n
	case frame.kind == input:
		m.say("command %d gets input %d", r.command, frame.n)
		r.inputs++
		m.judge(frame.n == r.inputs, "command %d gets input %d as its %d.", r.command, frame.n, r.inputs)
		if frame.more && !m.lacks(i4) {
			m.tells(s, x, frame.slot, message{kind: credit, n: 1})
		}
	}
	return true
}

// greets answers a hello.
func (m *model) greets(s *state, c *conn) {
	x := &s.sessions[c.session-1]
	held, opens := x.heldBy(c.server), c.epoch == 1
	m.judge(!held || !opens, "session %d can't be opened: there is one of this id", c.session)
	switch {
	case opens, !held && m.lacks(n2):
		m.say("server %d makes session %d", c.server+1, c.session)
		*x = session{server: c.server}
	case !held:
		m.say("server %d does not hold session %d", c.server+1, c.session)
		x.gone = x.gone || x.epoch > 0
		c.send(&c.down, message{kind: lost})
		return
	case c.stolen && !m.lacks(n6):
		m.say("server %d refuses the thief", c.server+1)
		c.send(&c.down, message{kind: stale})
		return
	case c.epoch <= x.epoch && !m.lacks(n3):
		m.say("server %d refuses the old epoch %d", c.server+1, c.epoch)
		c.send(&c.down, message{kind: stale})
		return
	default:
		m.say("server %d resumes session %d over connection %d", c.server+1, c.session, c.number)
	}
	if x.conn != 0 {
		old := &s.conns[x.conn-1]
		m.judge(x.conn != s.conn || old.cut, "a correct client's newest connection is ended")
		m.serverLeaves(s, old)
	}
	x.epoch, x.conn, c.listed = c.epoch, c.number, opens
	c.send(&c.down, message{kind: ok})
}

// serverNotices that a connection has ended.
func (m *model) serverNotices(s *state, i uint8) bool {
	c := &s.conns[i]
	return !c.serverLeft && (c.clientLeft || c.cut && !m.lacks(a2)) && m.serverLeaves(s, c)
}

// serverLeaves joins the connection's reader; the session goes on without it.
func (m *model) serverLeaves(s *state, c *conn) bool {
	c.serverLeft = true
	if !m.lacks(n4) || c.up.messages[0].kind == hello {
		c.written = 0 // else the reader goes on
	}
	c.up.keep(c.written)
	if x := &s.sessions[c.session-1]; x.conn == c.number {
		x.conn = 0
		for i := range x.records {
			if r := &x.records[i]; !m.lacks(c11) {
				r.partial, r.began = 0, 0
			}
		}
		if m.lacks(n7) {
			*x = session{}
		}
	}
	return m.say("server %d leaves connection %d", c.server+1, c.number)
}

// isListed takes the client's list, answers it, and goes on from there.
func (m *model) isListed(s *state, c *conn, x *session) {
	m.say("server %d gets the list", c.server+1)
	c.listed = true
	c.send(&c.down, message{kind: answer})
	for i, listed := range c.list {
		r := &x.records[i]
		switch {
		case listed.seq == 0:
			m.judge(!r.running, "a correct client is disconnected: an open command is not in the list")
			if !m.lacks(l2) {
				r.acked = r.sent
			}
		case listed.seq > r.seq:
			if !m.lacks(q3) {
				r.acked = r.sent // of the command before
			}
			c.answer[i].unseen = true
		default:
			c.answer[i] = m.resumes(s, x, uint8(i), listed)
		}
	}
	c.list = [slots]item{}
}

// resumes a command that was seen: it sends what has not come of it.
func (m *model) resumes(s *state, x *session, i uint8, listed item) item {
	r := &x.records[i]
	kept := listed.seq == r.seq && listed.seen >= r.released(m) && listed.seen <= r.sent
	m.judge(kept || m.lacks(l6below), "a correct client is disconnected: results are asked for that are not kept")
	if !m.lacks(l7) {
		r.credited = max(r.credited, listed.seen+listed.credit-1)
	}
	if m.lacks(l6) {
		listed.seen = r.released(m)
	}
	if m.lacks(l6below) {
		listed.seen = max(listed.seen, r.released(m))
	}
	r.acked = max(r.acked, listed.seen)
	if listed.canceled && r.running {
		m.isCanceled(r)
	}
	if r.running || !m.lacks(l6ended) {
		m.tellsFrom(s, x, i, listed.seen)
	}
	came := r.inputs
	if m.lacks(i3) {
		came = min(came, m.programs[r.command].inputs)
	}
	return item{inputs: came, credit: 1}
}

// tells sends a frame about a slot, if its session has a connection whose list was
// answered. Else what is kept goes out behind the next answer.
func (m *model) tells(s *state, x *session, i uint8, frame message) {
	if x.conn == 0 {
		return
	}
	if c := &s.conns[x.conn-1]; c.listed || m.lacks(l3) {
		frame.slot, frame.command = i, x.records[i].command
		c.send(&c.down, frame)
	}
}

// tellsFrom sends what there is of a command behind the results that were seen.
func (m *model) tellsFrom(s *state, x *session, i, seen uint8) {
	r := &x.records[i]
	for n := seen + 1; n <= r.sent; n++ {
		frame := message{kind: result, n: n}
		if n == m.programs[r.command].results {
			frame.outcome = succeeded
		}
		m.tells(s, x, i, frame)
	}
	if r.failed && !m.lacks(x1) {
		m.tells(s, x, i, message{kind: failure, outcome: unknown})
	}
}

// takes takes a command, or a piece of one. That it is a piece its frame does not say: it
// is one if the slot's command is not whole.
func (m *model) takes(s *state, c *conn, r *record, frame message, reject bool) {
	if r.partial != 0 {
		m.takesRest(s, c, r, frame)
		return
	}
	m.judge(frame.kind == command, "a piece of command %d is taken for a command", frame.command)
	if frame.seq == 0 {
		frame.seq = c.lastRead + 1
	}
	if !m.lacks(s4) || !frame.more {
		c.lastRead = frame.seq
	}
	if r.running && m.lacks(s3) { // which S2 finds
		s.sessions[c.session-1] = session{gone: true}
		m.serverLeaves(s, c)
		return
	}
	m.judge(!r.running || m.lacks(s2), "a correct client is disconnected: a command came on a slot where one is open")
	m.judge(!r.running, "commands %d and %d are open on one slot: one gets the results of the other", r.command, frame.command)
	m.judge(frame.seq > r.seq || m.lacks(s3), "a correct client is disconnected: a command came twice, or late")
	switch {
	case reject:
		s.rejections--
		if m.refuses(s, c, r, frame); frame.more {
			r.partial = frame.command // the rest of it is dropped
		}
	case frame.more:
		m.say("server %d gets the first piece of command %d", c.server+1, frame.command)
		if m.lacks(l4) {
			*r = record{command: frame.command, seq: frame.seq}
		}
		r.partial, r.began = frame.command, frame.seq
	default:
		m.runs(s, c, r, frame)
	}
}

// takesRest takes the last piece of a command.
func (m *model) takesRest(s *state, c *conn, r *record, frame message) {
	m.judge(frame.kind == piece && frame.command == r.partial, "command %d is taken for the rest of command %d", frame.command, r.partial)
	frame.seq, r.partial, r.began = r.began, 0, 0
	switch {
	case frame.seq == 0: // it is dropped
	case !frame.more || m.lacks(c6):
		m.runs(s, c, r, frame)
	default:
		m.refuses(s, c, r, frame)
	}
}

// refuses rejects a command: it is as if it had not come.
func (m *model) refuses(s *state, c *conn, r *record, frame message) {
	m.say("server %d rejects command %d", c.server+1, frame.command)
	*r = record{seq: r.seq}
	if m.lacks(l4reject) {
		r.seq = frame.seq
	}
	c.send(&c.down, message{kind: failure, slot: frame.slot, command: frame.command, outcome: rejected})
}

// runs begins a command.
func (m *model) runs(s *state, c *conn, r *record, frame message) {
	m.say("server %d runs command %d", c.server+1, frame.command)
	*r = record{command: frame.command, seq: frame.seq, running: true}
	f := &s.fates[frame.command]
	f.runs++
	m.judge(!frame.more, "command %d runs with half of its body", frame.command)
	m.judge(f.runs == 1 || f.again, "command %d runs twice", frame.command)
	m.judge(f.runs == 1 || f.ranAs == f.id, "command %d runs once more, and does not know itself by its CommandID", frame.command)
	m.judge(f.outcome != notSent && f.outcome != rejected, "command %d runs, and its caller was told that it did not", frame.command)
	m.judge(f.id[0] != c.session || f.id[1] == frame.seq, "command %d has Seq %d at the client, and %d at the server", frame.command, f.id[1], frame.seq)
	f.ranAs = f.id
}

// isCanceled ends a running command that the client has given up.
func (m *model) isCanceled(r *record) {
	m.say("command %d is canceled", r.command)
	r.running, r.failed = false, true
}

// sendsResult is what a running command does, once it has its inputs.
func (m *model) sendsResult(s *state, n uint8) bool {
	x, i := &s.sessions[n/slots], n%slots
	r := &x.records[i]
	if !r.running {
		return false
	}
	p := &m.programs[r.command]
	if r.sent >= p.results || r.sent > r.credited && !m.lacks(k1) || p.inputs > 0 && r.inputs <= p.inputs {
		return false
	}
	r.sent++
	r.running = r.sent < p.results
	m.tellsFrom(s, x, i, r.sent-1)
	return m.say("command %d sends result %d", r.command, r.sent)
}

// evicts gives a session up.
func (m *model) evicts(s *state, i uint8) bool {
	x := &s.sessions[i]
	if s.evictions == 0 || x.epoch == 0 || x.conn != 0 && !m.lacks(n8) {
		return false
	}
	m.say("SERVER %d gives up session %d", x.server+1, i+1)
	m.judge(x.conn == 0, "a correct client is disconnected: its session is given up")
	s.evictions--
	*x = session{gone: true}
	return true
}

// restarts ends all that the server of a session has.
func (m *model) restarts(s *state, i uint8) bool {
	server := s.sessions[i].server
	if s.restarts == 0 || !s.sessions[i].heldBy(server) {
		return false
	}
	m.say("SERVER %d is restarted", server+1)
	s.restarts--
	for i := range s.sessions {
		if x := &s.sessions[i]; x.heldBy(server) {
			*x = session{gone: true}
		}
	}
	for i := range s.conns {
		if c := &s.conns[i]; c.number != 0 && c.server == server && !c.serverLeft {
			m.serverLeaves(s, c)
		}
	}
	return true
}
