package main

// mutants are the faults. Each is one that could be made: a rule of docs/spec.md that
// was overlooked, a lock that was left too early, a case that was forgotten.
var mutants = []mutant{
	{
		"an acknowledgement is lost", "client/acknowledge.go",
		"\tflush, _ = conn.Append(m)\n",
		``,
	},
	{
		"a slot is used again before its end has come", "client/slot.go",
		`	s.link.client.orphan(s.leftovers())
	s.mu.Unlock()
	if flush {`,
		`	s.link.client.orphan(s.leftovers())
	s.mu.Unlock()
	defer s.link.release(s)
	if flush {`,
	},
	{
		"results are replayed from the first that is kept", "handler/resume.go",
		`	k.acked = max(k.acked, state.Seen)
	k.sent, k.sender, x.link = min(state.Seen, k.sent), nil, nil
	x.release()`,
		`	k.sent, k.sender, x.link = k.released, nil, nil`,
	},
	{
		"a result is left out of the replay", "handler/resume.go",
		`	x.release()
	x.signal()`,
		`	x.release()
	x.kept.sent = min(state.Seen+1, x.kept.total)
	x.signal()`,
	},
	{
		"an answer is forgotten once its command has returned", "handler/past.go",
		`		x.kept.push(keptItem{body: body, last: true, compressed: o.compressed, counted: answerCost(body)})
	} else {`,
		`		_ = body
	}
	{`,
	},
	{
		"the answer of the command before is sent again", "handler/past.go",
		`	s.answers[x.slot] = append(s.answers[x.slot][:0], body...)`,
		`	s.answers[x.slot] = append(s.answers[x.slot], body...)[:len(body)]`,
	},
	{
		"credit is not restored", "handler/resume.go",
		`x.granted = max(x.granted, state.Seen+state.Credit)`,
		`x.granted += 0`,
	},
	{
		"a large result is not followed by the next one", "handler/keep.go",
		`	var t told
	if err == nil && x.link == link {
		t = x.sendKept()
	}`,
		`	var t told
	_ = err`,
	},
	{
		"a lost command is told to be not sent", "client/life.go",
		`s.wrote = s.wrote || conn.Wrote(&s.message)`,
		`s.wrote = s.wrote && conn.Wrote(&s.message)`,
	},
	{
		"an old hello takes the session back", "handler/sessions.go",
		`case hello.Session.Epoch <= s.epoch:`,
		`case hello.Session.Epoch == 0:`,
	},
	{
		"the old connection is still read when the new one is answered", "handler/sessions.go",
		`		<-old.read
		old.conn.Join()`,
		`		old.conn.Join()`,
	},
	{
		"a rejected command is told to be seen", "handler/resume.go",
		`	if state.Seq > x.seq || x.rejected {`,
		`	if state.Seq > x.seq {`,
	},
	{
		"an unseen command is not sent again", "client/session.go",
		`		s.standing, s.conn = unseen, nil
		return true`,
		`		s.standing, s.conn = unseen, nil
		return false`,
	},
	{
		"an unseen command that was canceled keeps its slot", "client/session.go",
		`		if forgotten {
			s.link.release(s)
		}
		return nil`,
		`		_ = forgotten
		return nil`,
	},
	{
		"inputs are sent again from the first that is kept", "client/input.go",
		`in.sent, in.unknown = state.Inputs, false`,
		`in.sent, in.unknown = in.taken, false`,
	},
	{
		"an input is let go of before it was taken", "client/input.go",
		`taken := min(in.granted-transport.InputWindow, in.sent)`,
		`taken := min(in.granted-transport.InputWindow+2, in.sent)`,
	},
	{
		"the end of the inputs is not counted", "handler/input.go",
		`	in.came++
	in.last = m.Last`,
		`	if !isEnd {
		in.came++
	}
	in.last = m.Last`,
	},
	{
		"a new command overtakes the list", "client/session.go",
		`	conn.Post(list)
	for _, state`,
		`	l.use(conn)
	l.client.attached(l, conn)
	l.client.tasks.wait(1e6)
	conn.Post(list)
	for _, state`,
	},
	{
		"results go out before the answer", "handler/resume.go",
		`	if err == nil {
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
	return nil`,
		`	if err != nil {
		return err
	}
	for i, x := range known {
		if x != nil {
			x.goOn(c.conn, m.Slots[i].Canceled, answer[i])
		}
	}
	return c.conn.Post(&transport.Message{Kind: transport.Resume, Last: true, Slots: answer})`,
	},
	{
		"a cut ends the session", "handler/sessions.go",
		`	if s.over != nil {
		return false
	}
	if s.conn == c {`,
		`	if s.over != nil || c.commands > 3 {
		return false
	}
	if s.conn == c {`,
	},
	{
		"what was credited counts as acknowledged", "handler/keep.go",
		`min(k.acked, k.sent, k.results)`,
		`min(max(k.acked, x.granted-1), k.sent, k.results)`,
	},
	{
		"a failure drops the results before it", "handler/end.go",
		`told := x.endLocked(failure, false)`,
		`told := x.endLocked(failure, true)`,
	},
	{
		"a resumed command that waits for credit is not woken", "handler/resume.go",
		`	x.signal()
	stands :=`,
		`	stands :=`,
	},
	{
		"a command that is sent again begins with the first credit only", "client/session.go",
		`Kind: transport.Command, Slot: s.index, Seq: s.number, Credit: s.granted,`,
		`Kind: transport.Command, Slot: s.index, Seq: s.number, Credit: 1,`,
	},
	{
		"a cancel while there is no connection is forgotten", "client/session.go",
		`Credit: s.granted - s.got, Canceled: s.canceled,`,
		`Credit: s.granted - s.got,`,
	},
	{
		"a command that was cut off half-way is taken for whole", "transport/framed_chunk.go",
		`	if p.got < p.total {`,
		`	if p.got < p.total && p.got == 0 {`,
	},
	{
		"a result overtakes the pieces of the one before", "handler/keep.go",
		`			k.sender = &sender{link}
			go x.sendRest(k.sender, large)`,
		`			_ = large`,
	},
	{
		"a server's memory for a body is not given back", "handler/session.go",
		`		x.memory.give(x.held)
		x.held = 0`,
		`		x.held = 0`,
	},
	{
		"a command that is sent again has lost its metadata", "client/session.go",
		`Metadata: s.message.Metadata, Origin: s.origin,`,
		`Origin: s.origin,`,
	},
	{
		"a command that is sent again is not said to be compressed", "client/session.go",
		`Compressed: s.message.Compressed, Metadata`,
		`Metadata`,
	},
	{
		"a client goes without a word", "client/close.go",
		`if conn.Supports(transport.Goaway) {`,
		`if conn.Supports(transport.Goaway) && conn.Err() != nil {`,
	},
	{
		"a stream begins anew after some of its results were taken", "client/results.go",
		`if yielded || !c.again(`,
		`if yielded && false || !c.again(`,
	},
	{
		"the last of the queue is not woken", "handler/admission.go",
		`	a.running.Add(-1)
	if a.waiting.Load() == 0 {`,
		`	a.running.Add(-1)
	if a.waiting.Load() <= 1 {`,
	},
	{
		"a failure is not flushed", "handler/end.go",
		`	case t.flush:
		t.conn.Flush(x.session.crowd())`,
		`	case t.flush && t.err != nil:
		t.conn.Flush(x.session.crowd())`,
	},
	{
		"a command that was not begun is told to be unknown", "handler/end.go",
		`	if !x.started { // nor will it be`,
		`	if !x.started && failure.Outcome != base.Unknown {`,
	},
	{
		"credit for a result that was taken is not given", "client/slot.go",
		`		s.granted += n
		if conn != nil &&`,
		`		s.granted += n
		if conn != nil && s.granted%5 != 0 &&`,
	},
	{
		"the outcome of a second try hides the first", "client/do.go",
		`	if !k.mayHaveRun {`,
		`	if !k.mayHaveRun || err != nil {`,
	},
	{
		"a long command keeps the reading role", "handler/watchdog.go",
		"		t.pass()\n	}\n}\n\n// look",
		"		_ = t\n	}\n}\n\n// look",
	},
	{
		"what a leader has spent before all had been read counts for nothing", "handler/pace.go",
		"		*s = spending{before: s.now, counted",
		"		*s = spending{counted",
	},
	{
		"answers wait until all is read", "handler/lead.go",
		"		if c.clock-c.wrote > int64(mostHeld) {\n			c.writeInTime()",
		"		if c.clock-c.wrote > int64(mostHeld) && c.conn == nil {\n			c.writeInTime()",
	},
	{
		"answers of a command that has a goroutine wait until all is read", "handler/send.go",
		`	case apart && err == nil:`,
		`	case apart && err != nil:`,
	},
	{
		"where a read takes long, all counts as read", "transport/read.go",
		`		if n < len(b) && (c.socket ||`,
		`		if n < len(b) && c.socket || !c.socket && (c.socket ||`,
	},
	{
		"a sender that was woken for nothing wakes no other", "handler/send.go",
		`		x.wakeSender() // who was`,
		`		_ = x.wakeSender // who was`,
	},
	{
		"commands handed over wait until all is read", "handler/lead.go",
		`	if c.ahead++; c.ahead == farAhead {`,
		`	if c.ahead++; c.ahead == -farAhead {`,
	},
	{
		"a command that waits for credit keeps the reading role", "handler/send.go",
		"		t.pass()\n		<-wake",
		"		_ = t\n		<-wake",
	},
	{
		"a lone caller leaves what is for others unread", "client/lone.go",
		`	if !over || conn.Unread() || l.openSlots() > 1 || conn.Ended() {`,
		`	if !over || conn.Ended() {`,
	},
	{
		"a lone caller does not look whether the connection has ended", "client/lone.go",
		`l.openSlots() > 1 || conn.Ended()`,
		`l.openSlots() > 1`,
	},
	{
		"a free slot is taken for the one that is open", "client/lone.go",
		`	open, free := l.open, slices.Contains(l.free, s)`,
		`	open, free := l.open, slices.Contains(l.free, nil)`,
	},
	{
		"credit that was given during a resume is lost", "handler/resume.go",
		`stood.Credit; more > 0 {`,
		`stood.Credit; more > 1<<20 {`,
	},
	{
		"what a connection has taken that was hardly used is not known", "client/life.go",
		"\t\t\tl.part(next) // it may have taken commands already\n",
		``,
	},
	{
		"an idle session is resumed for good", "client/session.go",
		`reason != nil && l.isIdle() { // its last`,
		`reason == nil && l.isIdle() { // its last`,
	},
	{
		"a large command that is forgotten while it is sent is not", "client/client.go",
		"\t\ts.results = nil\n\t\tif !s.sent {",
		"\t\tif !s.sent {",
	},
	{
		"a server ends twice", "handler/pool.go",
		`		p.once.Do(func() { close(p.empty) })`,
		`		close(p.empty)`,
	},
	{
		"a lone caller takes its first result for the last", "client/lone.go",
		`		over = <-s.ready`,
		`		<-s.ready
		over = true`,
	},
	{
		"a sleep does not wait for who wakes it", "transport/sleep.go",
		"\ts.mu.Lock() // whoever has called Wake has set it\n\tdefer s.mu.Unlock()\n",
		``,
	},
	{
		"the read deadline by which a leader was woken stays", "transport/sleep.go",
		`	c.nc.SetReadDeadline(time.Time{})
	return late`,
		`	return late`,
	},
	{
		"the memory of a body is used again while it is decoded", "client/take.go",
		"	s.size = s.body.Len()\n",
		"	s.size = s.body.Len()\n	s.link.client.memory.pool.Put(owned)\n",
	},
	{
		"small results of many commands are not acknowledged", "client/receive.go",
		`	if l.owing.bytes > maxTurn {`,
		`	if l.owing.bytes > maxTurn<<20 {`,
	},
	{
		"a command that the server reads differently is sent", "codec/catalogue.go",
		`	case their.Hash != mine.Hash && !s.ignoreFields:`,
		`	case their.Hash != mine.Hash && s.ignoreFields:`,
	},
	{
		"a command that may have run goes to another member", "group/call.go",
		`e.ID != (base.ID{}) || !k.isIdempotent() {`,
		`e.ID != (base.ID{}) {`,
	},
	{
		"a deadline is forgotten when another goroutine leads", "handler/sessions.go",
		`			x.arm()
`,
		``,
	},
	{
		"a slot's timer that fires for the command before is not started again", "client/slot.go",
		`	case timed:
		s.arm()
	}`,
		`	}`,
	},
	{
		"the time that a command has waited is not told to the server", "client/patience.go",
		`	p.fresh = 0
	if p.made != nil {`,
		`	if p.made != nil {`,
	},
	{
		"a leader runs a command that is late", "handler/command.go",
		`		return time.Duration(t.began-x.session.handler.watchdog.since(x.ctx.at)) >= x.ctx.timeout`,
		`		return false`,
	},
}
