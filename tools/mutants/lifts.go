package main

// lifts lift limits that no Conf lifts, since they are rules of the wire, or the server's own:
// each makes the row of TestAttacks fail that is its name.
var lifts = []mutant{
	{
		"descriptors exhausted", "server/accept.go",
		`		case isTransient(err):`,
		`		case isTransient(err) && s == nil:`,
	},
	{
		"a peer of another kind", "wire/hello.go",
		`		if b[i] != c {`,
		`		if b[i] != c && c == 0 {`,
	},
	{
		"a hello without end", "wire/wire.go",
		`	MaxHello = 8 << 10`,
		`	MaxHello = 8 << 20`,
	},
	{
		"oversized length", "wire/frame.go",
		`	if length > MaxPayload {`,
		`	if length > MaxPayload+100 {`,
	},
	{
		"bad varint", "wire/wire.go",
		`		if i == maxVarint-1 && c > 1 {`,
		`		if i == maxVarint-1 && c > 2 {`,
	},
	{
		"unknown version or kind", "transport/framed_hello.go",
		`	if version != wire.Version && f.server {`,
		`	if version == 0 && f.server {`,
	},
	{
		"duplicate or skipped slot", "handler/session.go",
		`	case !ended:
		return false, transport`,
		`	case !ended && !busy:
		return false, transport`,
	},
	{
		"late frame for a reused slot", "handler/session.go",
		`{ return seq < o.seq || seq == o.seq && !o.rejected }`,
		`{ return false }`,
	},
	{
		"inputs beyond the credit", "handler/input.go",
		`	case !isEnd && in.came >= in.granted:`,
		`	case !isEnd && in.came >= in.granted+100:`,
	},
	{
		"result after last", "client/link.go",
		`const maxStrays = 1000`,
		`const maxStrays = 1000 << 10`,
	},
	{
		"a server that ignores the credit", "client/receive.go",
		`s.got > s.granted && conn`,
		`s.got > s.granted+1000 && conn`,
	},
	{
		"ping flood", "handler/conn.go",
		`	maxPings         = 1000`,
		`	maxPings         = 1000 << 10`,
	},
	{
		"cancel flood", "handler/conn.go",
		`	maxStrays        = 1000`,
		`	maxStrays        = 1000 << 10`,
	},
	{
		"ack flood", "handler/resume.go",
		`		return c.stray()`,
		`		return nil`,
	},
	{
		"credit flood or overflow", "handler/send.go",
		`	flood := x.credits > x.results+maxStrays`,
		`	flood := x.credits > x.results+maxStrays<<10`,
	},
	{
		"a slow user of results", "client/receive.go",
		`	s.in.put(m)
	full :=`,
		`	s.in.put(m)
	s.granted++
	conn.Append(&transport.Message{Kind: transport.Credit, Slot: s.index, Credit: 1})
	conn.FlushSoon()
	full :=`,
	},
	{
		"two connections on one session", "handler/sessions.go",
		`	case hello.Session.Epoch <= s.epoch:`,
		`	case hello.Session.Epoch < s.epoch:`,
	},
	{
		"old connection's bytes after the new one is up", "handler/sessions.go",
		`		old.conn.Fail(&base.Error{Code: base.ErrStaleEpoch, Message: "the connection was ended, since its session goes on over a newer one"})
		<-old.read
		old.conn.Join()`,
		``,
	},
	{
		"partial writes", "client/life.go",
		`	s.wrote = s.wrote || conn.Wrote(&s.message)`,
		`	s.wrote = true`,
	},
	{
		"server killed before, during and after running a command", "handler/sessions.go",
		`		return nil, transport.SessionLost, why`,
		`		_ = why
		return h.Open(context.Background(), hello, principal, compression)`,
	},
	{
		"panic in command, codec, callback", "handler/run.go",
		`			x.brokenOff(seq, t, recover())`,
		`			x.brokenOff(seq, t, nil)`,
	},
	{
		"clock jump", "transport/framed_read.go",
		`		m.Timeout = time.Duration(min(e.Timeout, math.MaxInt64/1000)) * time.Microsecond`,
		`		m.Timeout = time.Until(time.UnixMicro(int64(min(e.Timeout, math.MaxInt64))))`,
	},
	{
		"drain during all of these", "server/admit.go",
		`	case s.state == closed, s.state == draining && !resume:`,
		`	case s.state == closed:`,
	},
}
