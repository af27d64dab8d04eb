package attacks

import (
	"context"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/wire"
)

// byCredentials takes what a client shows for its name.
func byCredentials(ctx context.Context, hello server.ClientHello) (context.Context, string, error) {
	return ctx, string(hello.Credentials), nil
}

// sessions are attacks on sessions, and by them.
func sessions() []row {
	return []row{
		{
			name: "session-table exhaustion", limit: "`Sessions.Max`, 1024 without a connection",
			conf:     func(l *limits) { l.server.Sessions.Max = 4 },
			lift:     func(l *limits) { l.server.Sessions.Max = 1000 },
			attack:   manySessions,
			counters: []string{"SessionsEvicted", "SessionsLost"},
			sees:     []sight{{atClient, base.ErrSessionLost, base.Unknown}},
			note:     "a session with a connection is never given up",
			also:     []string{"TestSessionsAreEvicted", "TestAllSessionsTogetherAreBounded"},
		},
		{
			name: "results that nobody fetches", limit: "`Sessions.MaxBytes`, 4 MiB of small ones and of larger ones each; `Sessions.Time`, 1 min",
			conf:     func(l *limits) { l.server.Sessions.MaxBytes, l.server.Sessions.Time = 20_000, 100*time.Millisecond },
			lift:     func(l *limits) { l.server.Sessions.MaxBytes, l.server.Sessions.Time = 100<<20, time.Hour },
			attack:   resultsForNobody,
			counters: []string{"SessionsExpired"},
			sees:     []sight{{atClient, base.ErrSessionLost, base.Unknown}},
			note:     "the command waits, and ends with its session",
			also:     []string{"TestAServerKeepsNoMoreThanItWill", "TestTheNextCommandReleases"},
		},
		{
			name: "sessions that keep too much together", limit: "`Sessions.TotalBytes`, 256 MiB",
			conf:     func(l *limits) { l.server.Sessions.TotalBytes = 100_000 },
			lift:     func(l *limits) { l.server.Sessions.TotalBytes = 100 << 20 },
			attack:   heavySessions,
			counters: []string{"SessionsEvicted", "SessionsLost"},
			sees:     []sight{{atClient, base.ErrSessionLost, base.Unknown}},
			note:     "of the sessions that keep more than there is room for in any case, the one that was left first goes first",
			also:     []string{"TestAllSessionsTogetherAreBounded"},
		},
		{
			name: "sessions whose clients vanish", limit: "`Sessions.ReceiveTimeout`, 15 min; `Sessions.Time`",
			conf: func(l *limits) {
				l.server.Sessions.ReceiveTimeout, l.server.Sessions.Time = 50*time.Millisecond, 50*time.Millisecond
			},
			lift:     func(l *limits) { l.server.Sessions.ReceiveTimeout = time.Hour },
			attack:   vanishing,
			counters: []string{"Idle", "SessionsExpired"},
			sees:     []sight{{atServer, base.ErrIdle, base.Unknown}},
		},
		{
			name: "stolen session id", limit: "the principal: of `Authenticate`, or the certificate",
			conf: func(l *limits) { l.server.Authenticate = byCredentials },
			lift: func(l *limits) {
				l.server.Authenticate = func(ctx context.Context, hello server.ClientHello) (context.Context, string, error) {
					return ctx, "everybody", nil
				}
			},
			attack:   stolenSession,
			counters: []string{"ForeignSessions", "Unauthorized"},
			sees:     []sight{{atServer, base.ErrUnauthorized, base.Unknown}},
			also:     []string{"TestAStolenSession", "TestASessionBelongsToACertificate"},
		},
		{
			name: "two connections on one session", limit: "the epoch, one more with each dial",
			why:      "the rule is the wire's, N3: a higher epoch takes the session over",
			attack:   twoConnections,
			counters: []string{"StaleEpochs"},
			sees:     []sight{{atServer, base.ErrStaleEpoch, base.Unknown}},
			anyway:   []any{base.ErrStaleEpoch}, // of the connection that the newer one ends
			note:     "the newer one goes on",
			also:     []string{"TestWhatIsNotResumed", "TestAResumeTakesOverItsPlace"},
		},
		{
			name: "old connection's bytes after the new one is up", limit: "the old connection is joined first",
			why:      "the rule is the wire's, N4: what comes before the resume is run",
			attack:   oldBytes,
			counters: []string{"SessionsResumed"},
			anyway:   []any{"SessionsResumed"},
			note:     "nothing: they are not run",
			also:     []string{"TestAResumeTakesOverItsPlace"},
		},
	}
}

func sessionID(n int) wire.SessionID { return wire.SessionID{0xaa, byte(n >> 8), byte(n)} }

// member is a peer that opens a session, or resumes it.
func (a *arena) member(id, epoch int, credentials string) *peer {
	hello := wire.ClientHello{Session: &wire.Session{ID: sessionID(id), Epoch: uint64(epoch), Resume: epoch > 1}}
	if a.limits.server.Authenticate != nil {
		hello.Credentials = []byte(credentials)
	}
	p := a.peer(hello)
	// Its session ends with it, if it is still there in the end.
	a.atEnd(func() { p.send(wire.KindGoaway, 0, 0, wire.AppendGoaway(nil, wire.Goaway{})) })
	a.until(func() bool { return p.status() != 255 || p.over() })
	return p
}

// leave ends a peer's connection as a cut does.
func (p *peer) leave() {
	if p.nc != nil {
		p.nc.Close()
		<-p.done
	}
}

// lost makes a client with a session and an open command that has lost its network, and
// returns the network, and the command's end.
func (a *arena) lost(c command) (*links, <-chan error) {
	n := a.links(a.server)
	conf := a.limits.client
	conf.Session = true
	conf.KeepaliveTime, conf.KeepaliveIntvl = time.Hour, time.Hour
	conf.Backoff = client.Backoff{First: time.Millisecond, Max: time.Millisecond}
	honest, err := a.reconnecting(n.dial, conf)
	if err != nil {
		a.t.Fatal(err)
	}
	done := a.start(honest, c)
	n.sever()
	a.until(func() bool { return a.server.Stats().DetachedSessions == 1 })
	return n, done
}

func manySessions(a *arena) {
	n, done := a.lost(command{Op: stubborn, N: 30})
	for i := range 20 {
		a.member(i, 1, "").leave()
		if i == 10 {
			a.middle()
		}
	}
	a.counted("SessionsEvicted", 17)
	n.heal()
	<-done
}

func resultsForNobody(a *arena) {
	n, done := a.lost(command{Op: block})
	p := a.member(1, 1, "")
	for slot := range 8 {
		p.extras(slot, wire.Extras{Credit: 1000}, command{Op: grow, N: 10_000})
	}
	p.leave()
	a.middle()
	if kept := a.server.Stats().KeptBytes; kept > 30_000 {
		a.miss("%d bytes are kept for one session", kept)
	}
	a.counted("SessionsExpired", 2)
	n.heal()
	<-done
}

// heavySessions leaves a result of 10,000 bytes behind in each session. The client's own is not
// the least of them: its command answers while it has no connection.
func heavySessions(a *arena) {
	n, done := a.lost(command{Op: tardy, N: 10_000})
	a.until(func() bool { return a.server.Stats().KeptBytes > 10_000 })
	for i := range 20 {
		p := a.member(i, 1, "")
		p.extras(0, wire.Extras{Credit: 10}, command{Op: grow, N: 10_000})
		a.until(func() bool { results, _ := p.heard(0); return results == 1 || p.over() })
		p.leave()
		if i == 10 {
			a.middle()
		}
		if kept := a.server.Stats().KeptBytes; kept > 120_000 {
			a.miss("%d bytes are kept for all sessions", kept)
		}
	}
	a.counted("SessionsEvicted", 1)
	n.heal()
	<-done
}

// vanishing opens sessions, and says nothing more.
func vanishing(a *arena) {
	for i := range 4 {
		p := a.member(i, 1, "")
		p.command(0, command{Op: block})
		if i == 1 {
			a.middle()
		}
	}
	a.counted("SessionsExpired", 4)
	if running := a.server.Stats().Running; running > 1 {
		a.miss("%d commands are running", running)
	}
}

func stolenSession(a *arena) {
	owner := a.member(1, 1, "owner")
	owner.command(0, command{Op: block})
	thief := a.member(1, 2, "thief")
	a.middle()
	thief.leave()
	a.until(func() bool { return a.stat("ForeignSessions") > 0 })
	a.expect(!owner.over(), "the owner has lost its connection")
}

func twoConnections(a *arena) {
	a.member(1, 1, "")
	second := a.member(1, 2, "")
	second.send(wire.KindResume, wire.FlagLast, 0, nil)
	epoch := 2
	if a.lifted() {
		epoch = 3
	}
	third := a.member(1, epoch, "")
	a.expect(third.status() == wire.StatusStaleEpoch, "the late hello is answered by %v", third.status())
	if a.mode == limited {
		second.command(0, command{Op: echo})
		on := a.until(func() bool { _, ends := second.heard(0); return ends == 1 })
		a.expect(on, "the newer connection does not go on")
	}
	third.leave()
	a.middle()
	a.until(func() bool { return a.stat("StaleEpochs") > 0 })
}

func oldBytes(a *arena) {
	for i := range 4 {
		old, number := a.member(i, 1, ""), i+1
		if a.lifted() {
			old.command(0, command{Op: echo, Number: number})
			a.until(func() bool { _, ends := old.heard(0); return ends == 1 })
		}
		resumed := a.member(i, 2, "")
		resumed.send(wire.KindResume, wire.FlagLast, 0, nil)
		a.until(func() bool { return resumed.status() == wire.StatusOK })
		old.command(0, command{Op: echo, Number: number})
		resumed.command(1, command{Op: echo})
		on := a.until(func() bool { _, ends := resumed.heard(1); return ends == 1 })
		a.expect(on, "the new connection does not go on")
		a.expect(old.over(), "the old connection is not ended")
		a.expect(a.world.times(number) == 0, "what the old connection brought was run")
		if i == 1 {
			a.middle()
		}
	}
}
