package attacks

import (
	"bytes"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/wire"
)

// floods are attacks by too many of what is allowed.
func floods() []row {
	return []row{
		{
			name: "ping flood", limit: "1000, and 100 more a second",
			why:      "the number is the server's own: a client within it is answered",
			attack:   pingFlood,
			counters: []string{"Floods"}, sees: protocol,
			also: []string{"TestAFloodOfPings"},
		},
		{
			name: "cancel flood", limit: "1000, and 64 more a command",
			why:      "the number is the server's own: a client within it goes on",
			attack:   cancelFlood,
			counters: []string{"Floods"}, sees: protocol,
			also: []string{"TestBrokenRules"},
		},
		{
			name: "ack flood", limit: "1000 that say nothing new, and 64 more a command",
			why:      "the number is the server's own: a client within it goes on",
			attack:   ackFlood,
			counters: []string{"Floods"}, sees: protocol,
		},
		{
			name: "reset flood", limit: "twice `MaxInFlight` running, those given up counted",
			conf:     func(l *limits) { l.server.ServerSettings.MaxInFlight = 16 },
			lift:     func(l *limits) { l.server.ServerSettings.MaxInFlight = 1000 },
			attack:   resetFlood,
			counters: []string{"Shed"},
			sees:     []sight{{atClient, base.ErrBusy, base.Rejected}},
			also:     []string{"TestTooManyCommandsThatRunOn"},
		},
		{
			name: "credit flood or overflow", limit: "1000 frames more than results; 2³¹−1 in a frame",
			why:      "the numbers are the wire's, S6: a client within them goes on",
			attack:   creditFlood,
			counters: []string{"Floods", "Breaches"}, sees: protocol,
			also: []string{"TestAFloodOfCredits", "TestFramedRules"},
		},
		{
			name: "in-flight exhaustion", limit: "`MaxInFlight`, 16384 a connection",
			conf:     func(l *limits) { l.server.ServerSettings.MaxInFlight = 16 },
			lift:     func(l *limits) { l.server.ServerSettings.MaxInFlight = 1000 },
			attack:   inFlight,
			counters: []string{"Breaches"},
			sees: []sight{
				{atServer, base.ErrProtocol, base.Unknown},
				{atClient, base.ErrDeadline, base.NotSent},
			},
			note: "more commands wait at the client",
			also: []string{"TestMaxInFlight"},
		},
		{
			name: "too many commands running", limit: "`MaxRunning`, `MaxQueued`, `MaxQueueTime`",
			conf:     func(l *limits) { l.server.MaxRunning, l.server.MaxQueued = 4, 8 },
			lift:     func(l *limits) { l.server.MaxRunning, l.server.MaxQueued = 1000, 1000 },
			attack:   tooManyRunning,
			counters: []string{"Shed"},
			sees:     []sight{{atClient, base.ErrBusy, base.Rejected}},
			note:     "with a retry-after",
			retries:  true,
			also:     []string{"TestCommandsAreShed"},
		},
		{
			name: "slow reader", limit: "`WriteTimeout`, 30 s a write; behind 512 KiB of answers the server reads no further",
			conf:     func(l *limits) { l.server.WriteTimeout = 50 * time.Millisecond },
			lift:     func(l *limits) { l.server.WriteTimeout = time.Hour },
			attack:   slowReader,
			counters: []string{"SlowReaders"},
			sees:     []sight{{atServer, base.ErrSlowReader, base.Unknown}},
			also:     []string{"TestAPeerThatReadsNothing", "TestAClientThatStopsReading"},
		},
		{
			name: "tiny credits", limit: "one result for each credit; `ReceiveTimeout`, off by default, where the client falls silent",
			conf:     func(l *limits) { l.server.ReceiveTimeout = 50 * time.Millisecond },
			lift:     func(l *limits) { l.server.ReceiveTimeout = 0 },
			attack:   tinyCredits,
			counters: []string{"Idle"},
			sees:     []sight{{atServer, base.ErrIdle, base.Unknown}},
			note:     "its own commands wait",
		},
	}
}

func pingFlood(a *arena) {
	pings := 1001
	if a.lifted() {
		pings = 1000
	}
	for i := range 4 {
		p := a.peer(wire.ClientHello{})
		p.write(bytes.Repeat([]byte{wire.Ping}, pings))
		if i == 1 {
			a.middle()
		}
	}
	a.counted("Floods", 4)
}

func cancelFlood(a *arena) {
	cancels := 1001
	if a.lifted() {
		cancels = 1000
	}
	for i := range 4 {
		p := a.peer(wire.ClientHello{})
		p.write(bytes.Repeat(frame(wire.KindCancel, 0, 3, nil), cancels))
		if i == 1 {
			a.middle()
		}
	}
	a.counted("Floods", 4)
}

func ackFlood(a *arena) {
	acks := 1100
	if a.lifted() {
		acks = 1000
	}
	for i := range 4 {
		p := a.member(i, 1, "")
		p.command(0, command{Op: echo})
		a.until(func() bool { _, ends := p.heard(0); return ends == 1 || p.over() })
		p.write(bytes.Repeat(frame(wire.KindAck, 0, 0, []byte{1}), acks))
		if i == 1 {
			a.middle()
		}
	}
	a.counted("Floods", 4)
}

// resetFlood gives up each command at once. Those do not listen.
func resetFlood(a *arena) {
	p := a.peer(wire.ClientHello{})
	for i := range 200 {
		p.command(0, command{Op: stubborn, N: 10_000, Number: 1000 + i})
		a.until(func() bool { // it runs, or is refused: one that is given up before would never run
			_, ends := p.heard(0)
			return a.world.times(1000+i) > 0 || ends > i || p.over()
		})
		p.send(wire.KindCancel, 0, 0, nil)
		a.until(func() bool { _, ends := p.heard(0); return ends > i || p.over() })
		if i == 100 {
			a.middle()
		}
	}
	if running := a.server.Stats().Running; running > 40 {
		a.miss("%d commands are running", running)
	}
}

func creditFlood(a *arena) {
	flood, most := 1001, uint64(1<<31)
	if a.lifted() {
		flood, most = 1000, 1<<31-1
	}
	for i := range 4 {
		p := a.peer(wire.ClientHello{})
		p.command(0, command{Op: block})
		if i%2 == 0 {
			p.write(bytes.Repeat(frame(wire.KindCredit, 0, 0, []byte{1}), flood))
		} else {
			p.send(wire.KindCredit, 0, 0, wire.AppendUvarint(nil, most))
		}
		if i == 1 {
			a.middle()
		}
	}
	a.counted("Floods", 2)
	a.counted("Breaches", 2)
}

func inFlight(a *arena) {
	c, err := a.connect(a.limits.client)
	if err != nil {
		a.t.Fatal(err)
	}
	var ends []<-chan error
	for range 16 {
		ends = append(ends, a.start(c, command{Op: block}))
	}
	a.middle()
	a.doWithin(patience/4, c, command{Op: block})
	p := a.peer(wire.ClientHello{})
	for slot := range 17 {
		p.command(slot, command{Op: block})
	}
	a.counted("Breaches", 1)
	for _, end := range ends {
		<-end
	}
}

func tooManyRunning(a *arena) {
	for i := range 4 {
		p := a.peer(wire.ClientHello{})
		for slot := range 50 {
			p.command(slot, command{Op: stubborn, N: 1})
		}
		if i == 1 {
			a.middle()
		}
	}
}

func slowReader(a *arena) {
	for i := range 3 {
		p := a.mute(a.dial, wire.ClientHello{})
		for slot := range 10 {
			p.command(slot, command{Op: grow, N: 30_000})
		}
		if i == 1 {
			a.middle()
		}
	}
	a.counted("SlowReaders", 3)
}

func tinyCredits(a *arena) {
	p := a.peer(wire.ClientHello{})
	const streams = 16
	for slot := range streams {
		p.command(slot, command{Op: count, N: 1000})
	}
	for round := range 10 {
		a.until(func() bool { n, _ := p.heard(0); return n > round })
		if round == 5 {
			a.middle()
		}
		for slot := range streams {
			n, _ := p.heard(uint64(slot))
			a.expect(n <= round+1, "%d results came for %d credits", n, round+1)
			p.send(wire.KindCredit, 0, slot, []byte{1})
		}
	}
	a.counted("Idle", 1) // from now on it says nothing
}
