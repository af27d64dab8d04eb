package main

import "slices"

// mutants are the faults. Each is one that could be made: a rule of docs/spec.md that
// was overlooked, a lock that was left too early, a case that was forgotten.
var mutants = slices.Concat(inClients, inServers)

var inClients = []mutant{
	{
		"the time of a hello counts as life", "client/link.go",
		`l.since.Load()) >=`,
		`int64(l.conn.Load().Since().Sub(l.client.clock.start))) >=`,
	},
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
		"a lost command is told to be not sent", "client/life.go",
		`s.wrote = s.wrote || conn.Wrote(&s.message)`,
		`s.wrote = s.wrote && conn.Wrote(&s.message)`,
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
		"a lone caller takes its first result for the last", "client/lone.go",
		`		over = <-s.ready`,
		`		<-s.ready
		over = true`,
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
		"half a result stays until the session has another connection", "client/life.go",
		`	conn.Shrink()
`,
		``,
	},
	{
		"Forget waits for a line of the Logger", "client/send.go",
		`	defer close(over)
	select {`,
		`	defer close(over)
	defer s.closed(&forgotten)
	select {`,
	},
	{
		"a codec that ends the goroutine of the deliveries loses its command", "client/client.go",
		"	c.deliveries.exited = c.failDelivery",
		"	c.deliveries.exited = nil",
	},
	{
		"a codec that ends its caller's goroutine keeps a place", "client/client.go",
		"			s.breakOff()",
		"			_ = s",
	},
	{
		"a Call stays open whose codec has ended the goroutine", "client/open.go",
		"	if !*returned && x.end == nil {",
		"	if !*returned && x.end != nil {",
	},
	{
		"a Dialer that waits keeps commands open after Close", "client/close.go",
		`		l.abandon(err)
`,
		`		_ = l
`,
	},
}
