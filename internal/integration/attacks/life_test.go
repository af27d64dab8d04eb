package attacks

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/wire"
)

// lives are faults of peers and of what is between them, and their ends.
func lives() []row {
	keepalive := func(l *limits) {
		l.client.KeepaliveTime, l.client.KeepaliveIntvl = 20*time.Millisecond, 20*time.Millisecond
		l.server.ReceiveTimeout = 50 * time.Millisecond
	}
	noKeepalive := func(l *limits) {
		l.client.KeepaliveTime, l.client.KeepaliveIntvl = time.Hour, time.Hour
		l.server.ReceiveTimeout = 0
	}
	return []row{
		{
			name: "half-open link", limit: "`KeepaliveTime`, `KeepaliveIntvl`; `ReceiveTimeout`; without a session off by default",
			conf: keepalive, lift: noKeepalive,
			attack:   halfOpen,
			counters: []string{"Idle", "client.Stats.Silent"},
			sees: []sight{
				{atServer, base.ErrIdle, base.Unknown},
				{atClient, base.ErrKeepalive, base.Unknown},
			},
			also: []string{"TestAHalfOpenConnection", "TestReceiveTimeout"},
		},
		{
			name: "one-way and two-way partition", limit: "`KeepaliveTime`, 15 s, and `KeepaliveIntvl`, 5 s, of a session",
			conf: keepalive, lift: noKeepalive,
			attack:   partitions,
			counters: []string{"SessionsResumed", "client.Stats.Silent"},
			sees:     []sight{{atState, base.ErrKeepalive, base.Unknown}},
			note:     "commands of a session succeed, later",
			also:     []string{"TestACutAtEveryByte"},
		},
		{
			name: "long pause of either side", limit: "`KeepaliveTime`, 15 s, and `KeepaliveIntvl`, 5 s, of a session; `Sessions.Time`, 1 min",
			conf: func(l *limits) {
				keepalive(l)
				l.server.Sessions.Time = 100 * time.Millisecond
			},
			lift: func(l *limits) {
				noKeepalive(l)
				l.server.Sessions.Time = time.Hour
			},
			attack:   longPause,
			counters: []string{"SessionsResumed", "SessionsExpired", "client.Stats.SessionsLost"},
			sees: []sight{
				{atState, base.ErrKeepalive, base.Unknown},
				{atClient, base.ErrSessionLost, base.Unknown},
			},
			note: "a shorter one costs a delay",
			also: []string{"TestTheSessionsTimeIsOver", "TestASessionExpires", "TestOneSideIsPaused"},
		},
		{
			name: "server killed before, during and after running a command", limit: "the server process: its sessions end with it",
			why:      "no Conf lets a session outlive its process: idempotent commands are sent again",
			attack:   serverKilled,
			counters: []string{"SessionsLost", "client.Stats.SessionsLost"},
			anyway:   []any{"SessionsLost", "client.Stats.SessionsLost"},
			sees:     []sight{{atClient, base.ErrSessionLost, base.Unknown}},
			note:     "idempotent ones are sent again",
			also:     []string{"TestTheSessionIsLost", "TestClientsAndServersAreKilledInTurn"},
		},
		{
			name: "panic in command, codec, callback", limit: "the goroutine of that command",
			why:      "panics can't be allowed or not: the same commands and callbacks without one are the other case",
			conf:     panickyCallbacks,
			attack:   panics,
			counters: []string{"Panics", "client.Stats.Panics"},
			sees: []sight{
				{atClient, base.ErrPanic, base.Failed},
				{atClient, base.ErrPanic, base.Rejected},
			},
			note: "that command only",
			also: []string{"TestPanics", "TestABadCallbackHurtsNobody"},
		},
		{
			name: "clock jump", limit: "the wire carries the time left, D1; only the monotonic clock is asked",
			why:      "the rule is the wire's: who writes a point in time gets what that number means as a time left",
			attack:   clockJump,
			counters: []string{"Deadlines"},
			sees:     []sight{{atClient, base.ErrDeadline, base.Unknown}},
			note:     "at its time, whatever the clocks show",
			also:     []string{"TestAClientOfAnotherCentury"},
		},
		{
			name: "drain during all of these", limit: "`Shutdown`'s ctx",
			why:      "a server that is not shut down is the other case",
			attack:   drain,
			counters: []string{"DrainingHellos"},
			sees:     []sight{{atClient, base.ErrDraining, base.Rejected}},
			note:     "nothing, with a session or `Do` of a client that reconnects",
			also:     []string{"TestDrainDuring", "TestShutdownWaitsForSessions", "TestServersThatDrainInTurn", "TestServersAreReplacedInTurn"},
		},
	}
}

// onLinks makes a client on a network of its own.
func (a *arena) onLinks(n *links, change func(*client.Conf)) *client.Client[*world] {
	conf := a.limits.client
	conf.Backoff = client.Backoff{First: time.Millisecond, Max: 5 * time.Millisecond}
	if change != nil {
		change(&conf)
	}
	c, err := a.reconnecting(n.dial, conf)
	if err != nil {
		return nil
	}
	return c
}

func withSession(conf *client.Conf) { conf.Session = true }

func halfOpen(a *arena) {
	for i := range 3 {
		n := a.links(a.server)
		done := a.start(a.onLinks(n, nil), command{Op: block})
		n.pause()
		if i == 1 {
			a.middle()
		}
		<-done
	}
	a.counted("Idle", 3)
}

func partitions(a *arena) {
	for i, ways := range [][]way{{up}, {down}, {up, down}} {
		n := a.links(a.server)
		c := a.onLinks(n, withSession)
		if c == nil {
			continue // the server is shut down
		}
		ends := n.last()
		for _, way := range ways {
			ends[way].Cut(memnet.Stall)
		}
		err := a.do(c, command{Op: echo, Number: i + 1})
		a.expect(err == nil, "%v: %v", ways, err)
		if times := a.world.times(i + 1); times > 1 {
			a.fail("%v: the command ran %d times", ways, times)
		}
		if i == 1 {
			a.middle()
		}
	}
}

func longPause(a *arena) {
	n := a.links(a.server)
	c := a.onLinks(n, withSession)
	done := a.start(c, command{Op: stubborn, N: 30, Number: 1})
	n.pause()
	time.Sleep(70 * time.Millisecond)
	n.heal()
	err := <-done
	a.expect(err == nil, "after a pause: %v", err)
	if times := a.world.times(1); times != 1 && a.mode != draining {
		a.fail("the command ran %d times", times)
	}
	a.middle()
	if a.mode == draining {
		return
	}
	done = a.start(c, command{Op: block})
	n.pause()
	time.Sleep(300 * time.Millisecond)
	n.heal()
	<-done
	if a.lifted() {
		return
	}
	err = a.do(c, command{Op: echo})
	a.expect(err == nil, "in a new session: %v", err)
}

// serverKilled closes a server before, while and after it runs a command, whose client
// then finds another one.
func serverKilled(a *arena) {
	conf := a.limits.server
	first, second := a.serve(memnet.Listen(), conf), a.serve(memnet.Listen(), conf)
	a.judged = second
	a.atEnd(func() {
		first.Close()
		second.Close()
	})
	pair := func() (*client.Client[*world], *links) {
		n, later := a.links(first), a.links(second)
		conf := a.limits.client
		conf.Session = true
		conf.KeepaliveTime, conf.KeepaliveIntvl = 20*time.Millisecond, 20*time.Millisecond
		var dials atomic.Int64
		c, err := a.reconnecting(func(ctx context.Context) (net.Conn, error) {
			if dials.Add(1) > 1 {
				return later.dial(ctx)
			}
			return n.dial(ctx)
		}, conf)
		if err != nil {
			a.t.Fatal(err)
		}
		return c, n
	}
	before, n := pair()
	n.last()[up].Cut(memnet.Stall)
	ends := []<-chan error{a.start(before, command{Op: echo, Number: 1, again: a.lifted()})}
	during, _ := pair()
	ends = append(ends, a.start(during, command{Op: stubborn, N: 20, Number: 2, again: a.lifted()}))
	after, n := pair()
	n.last()[down].Cut(memnet.Stall)
	ends = append(ends, a.start(after, command{Op: echo, Number: 3, again: a.lifted()}))
	first.Close()
	a.middle()
	for i, end := range ends {
		err := <-end
		a.expect((err == nil) == a.lifted(), "command %d: %v", i+1, err)
		if times := a.world.times(i + 1); times > 1 && !a.lifted() {
			a.fail("command %d ran %d times", i+1, times)
		}
	}
	for _, c := range []*client.Client[*world]{before, during, after} {
		err := a.do(c, command{Op: echo})
		a.expect(err == nil, "the client does not go on: %v", err)
	}
}

func panickyCallbacks(l *limits) {
	l.server.OnPanic = func(handler.Panic) { panic("OnPanic, on purpose") }
	l.server.LostConnCallback = func(net.Addr, error) { panic("LostConnCallback, on purpose") }
	l.client.UnexpectedResultCallback = func(base.Seq, base.Result) { panic("UnexpectedResultCallback, on purpose") }
	l.client.CheckServerInfo = nil
}

func panics(a *arena) {
	if a.lifted() {
		a.limits.client.UnexpectedResultCallback = func(base.Seq, base.Result) {}
	}
	c, err := a.connect(a.limits.client)
	if err != nil {
		a.t.Fatal(err)
	}
	for i := range 200 {
		for _, cmd := range []command{
			{Op: explode}, // in Exec
			{Op: poison},  // in the server's codec, decoding
			{Op: spoiled}, // in the server's codec, encoding
			{Op: echo, N: poisonous},
		} {
			if a.lifted() {
				cmd = command{Op: echo}
			}
			a.do(c, cmd)
		}
		if i == 100 {
			a.middle()
		}
	}
	// The result of a command that was forgotten goes to the callback.
	if seq, err := c.Send(command{Op: stubborn, N: 2}, make(chan base.AsyncResult, 1)); err == nil {
		c.Forget(seq)
	}
	a.peer(wire.ClientHello{}).leave() // to LostConnCallback
	time.Sleep(settleTime)
	err = a.do(c, command{Op: echo})
	a.expect(err == nil, "the client does not go on: %v", err)
}

// clockJump has a client whose clock is anywhere ask for 50 ms: what it sends is the
// time left.
func clockJump(a *arena) {
	timeout := uint64(50_000)
	if a.lifted() {
		timeout = uint64(time.Now().Add(50 * time.Millisecond).UnixMicro())
	}
	p := a.peer(wire.ClientHello{})
	begin := time.Now()
	for slot := range 4 {
		p.extras(slot, wire.Extras{Timeout: timeout}, command{Op: block})
	}
	a.middle()
	a.until(func() bool { return len(p.failed()) == 4 })
	if took := time.Since(begin); a.mode == limited && (took < 50*time.Millisecond || took > 60*time.Millisecond) {
		a.fail("a deadline of 50 ms ended its command after %v", took)
	}
}

// drain shuts a server down that has clients of all kinds.
func drain(a *arena) {
	s := a.serve(memnet.Listen(), a.limits.server)
	a.judged = s
	a.atEnd(func() { s.Close() })
	n := a.links(s)
	steady := a.onLinks(n, withSession)
	plain := a.onLinks(n, nil)
	single, err := a.over(must(n.dial(a.t.Context())), a.limits.client)
	if err != nil {
		a.t.Fatal(err)
	}
	running := []<-chan error{
		a.start(steady, command{Op: stubborn, N: 40, Number: 1}),
		a.start(plain, command{Op: stubborn, N: 40, Number: 2}),
		a.start(single, command{Op: stubborn, N: 40, Number: 3}),
	}
	deaf := a.peerOver(n.dial, wire.ClientHello{}) // to the goaway
	a.until(func() bool { return deaf.status() == wire.StatusOK })
	shutdown := make(chan error, 1)
	if !a.lifted() {
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			shutdown <- s.Shutdown(ctx)
		}()
	} else {
		shutdown <- nil
	}
	a.middle()
	if conn, err := n.dial(a.t.Context()); err == nil { // one that comes only now
		a.over(conn, a.limits.client)
	}
	a.do(single, command{Op: echo})
	deaf.command(0, command{Op: echo, Number: 4})
	told := a.until(func() bool { return len(deaf.failed()) > 0 })
	a.expect(told && errors.Is(deaf.failed()[0], base.ErrDraining) && a.world.times(4) == 0, "a command that comes after the goaway is answered by %v", deaf.failed())
	deaf.leave()
	for i, end := range running {
		err := <-end
		a.expect(err == nil, "the command %d that was running got %v", i+1, err)
	}
	err = <-shutdown
	a.expect(err == nil, "Shutdown returned %v", err)
}

func must(nc net.Conn, err error) net.Conn {
	if err != nil {
		panic(err)
	}
	return nc
}
