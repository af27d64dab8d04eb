package main

// inServers are those of servers, and of what servers and clients share.
var inServers = []mutant{
	{
		"what is left is lost when a connection ends", "transport/conn.go",
		`	limitUnsent(c.nc, 0) // nothing`,
		`	// nothing`,
	},
	{
		"a command is refused beside a free place", "handler/admission.go",
		`	first := a.next() // a place`,
		`	var first *command[T] // a place`,
	},
	{
		"records of commands that end after their connection stay", "handler/session.go",
		`	if free && !s.resting {`,
		`	if free {`,
	},
	{
		"a body that breaks a rule stays as long as its session", "handler/conn.go",
		`	c.message = transport.Message{} // the session's`,
		`	// the session's`,
	},
	{
		"small commands wait in the kernel behind a large one", "transport/conn.go",
		`	limitUnsent(nc, mostUnsent)
`,
		``,
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
		"the end of the inputs is not counted", "handler/input.go",
		`	in.came++
	in.last = m.Last`,
		`	if !isEnd {
		in.came++
	}
	in.last = m.Last`,
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
		"credit that was given during a resume is lost", "handler/resume.go",
		`stood.Credit; more > 0 {`,
		`stood.Credit; more > 1<<20 {`,
	},
	{
		"a server ends twice", "handler/pool.go",
		`		p.once.Do(func() { close(p.empty) })`,
		`		close(p.empty)`,
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
		"a deadline is forgotten when another goroutine leads", "handler/sessions.go",
		`			x.arm()
`,
		``,
	},
	{
		"a leader runs a command that is late", "handler/command.go",
		`		return time.Duration(t.began-x.session.handler.watchdog.since(x.ctx.at)) >= x.ctx.timeout`,
		`		return false`,
	},
	{
		"a command overtakes those that wait", "handler/admission.go",
		`	if a.waiting.Load() > 0 {
		return false
	}
	n :=`,
		`	n :=`,
	},
	{
		"half a body stays as long as its session", "handler/conn.go",
		`	c.conn.Shrink()
`,
		``,
	},
	{
		"the records of a burst stay while a command runs", "handler/session.go",
		`	s.unused = len(s.free)
`,
		`	s.unused = 0
`,
	},
	{
		"a slot keeps the memory of a large answer", "handler/past.go",
		`if cap(s.answers[slot]) > keepSeen { // nothing`,
		`if cap(s.answers[slot]) > keepSeen<<20 { // nothing`,
	},
	{
		"what was to be written stays with a connection that has ended", "transport/sleep.go",
		`(ended || len(c.out) == 0)`,
		`len(c.out) == 0`,
	},
	{
		"a Send waits for one that goes on after its command's end", "handler/end.go",
		`		x.sendOver.Broadcast() // nobody waits for a Send that goes on
`,
		``,
	},
}
