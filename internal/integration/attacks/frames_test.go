package attacks

import (
	"fmt"
	"io"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/wire"
)

// protocol is what a server's user sees of a client that breaks a rule.
var protocol = []sight{{atServer, base.ErrProtocol, base.Unknown}}

// frames are attacks by frames that break a rule, or bodies that are no good.
func frames() []row {
	return []row{
		{
			name: "oversized length", limit: "64 KiB a frame",
			why:      "the size is the wire's, F2: a frame of 64 KiB is taken",
			attack:   oversized,
			counters: []string{"Breaches"}, sees: protocol,
			also: []string{"TestFramedRules"},
		},
		{
			name: "bad varint", limit: "its shortest form, 64 bits",
			why:      "the form is the wire's, V1 and V2: the same number in its shortest form is taken",
			attack:   badVarint,
			counters: []string{"Breaches"}, sees: protocol,
			also: []string{"TestFramedRules"},
		},
		{
			name: "unknown version or kind", limit: "version 1, nine kinds",
			why:      "both are the wire's, H3 and F1: what it knows is taken",
			attack:   unknownVersionOrKind,
			counters: []string{"FailedHellos", "Breaches"},
			sees: []sight{
				{atServer, base.ErrVersion, base.Unknown},
				{atServer, base.ErrProtocol, base.Unknown},
				{atClient, base.ErrVersion, base.Rejected},
			},
			also: []string{"TestAnotherVersion", "TestFramedRules"},
		},
		{
			name: "duplicate or skipped slot", limit: "a free slot below `MaxInFlight`",
			conf:     func(l *limits) { l.server.ServerSettings.MaxInFlight = 16 },
			why:      "the rules are the wire's, S2 and F3: a free slot below the limit is taken",
			attack:   wrongSlots,
			counters: []string{"Breaches"}, sees: protocol,
			also: []string{"TestBrokenRules"},
		},
		{
			name: "late frame for a reused slot", limit: "the `Seq` of a slot rises",
			why:      "the rule is the wire's, S3: a command with a higher Seq is run",
			attack:   lateFrame,
			counters: []string{"Breaches"}, sees: protocol,
			note: "it is not run again",
			also: []string{"TestCreditOfAnEndedCommandIsNotTheNextOnes"},
		},
		{
			name: "inputs beyond the credit", limit: "8 inputs, then as the command takes them",
			why:      "the number is the wire's, I1: eight are taken",
			attack:   tooManyInputs,
			counters: []string{"Breaches"}, sees: protocol,
			also: []string{"TestBrokenInputs"},
		},
		{
			name: "result after last", limit: "1000 for no open command",
			why:      "the number is the client's own: that many are dropped",
			attack:   resultAfterLast,
			counters: []string{"client.Stats.Strays", "client.Stats.Breaches"},
			anyway:   []any{"client.Stats.Strays"},
			sees:     []sight{{atClient, base.ErrProtocol, base.Unknown}},
			also:     []string{"TestTooManyResultsForNoSlot"},
		},
		{
			name: "a server that ignores the credit", limit: "the credit that the client gave",
			why:      "the credit is the client's to give, K3: as many results as that are taken",
			attack:   creditIgnored,
			counters: []string{"client.Stats.Breaches"},
			sees:     []sight{{atClient, base.ErrProtocol, base.Unknown}},
			also:     []string{"TestAServerThatIgnoresTheCredit"},
		},
		{
			name: "deeply nested body", limit: "`json.Format.MaxDepth`, 100",
			conf:     func(l *limits) { l.format.MaxDepth = 50 },
			lift:     func(l *limits) { l.format.MaxDepth = 100_000 },
			attack:   nestedBody,
			counters: []string{"BadBodies"},
			sees:     []sight{{atClient, base.ErrDecode, base.Rejected}},
			also:     []string{"TestUnmarshalRefuses"},
		},
		{
			name: "a body that is no command", limit: "the codec, with `Strict` the connection too",
			conf:     func(l *limits) { l.server.Strict = true },
			lift:     func(l *limits) { l.anything = true },
			attack:   noCommand,
			counters: []string{"BadBodies"},
			sees: []sight{
				{atClient, base.ErrDecode, base.Rejected},
				{atServer, base.ErrDecode, base.Unknown},
			},
		},
	}
}

// breach has peers do something that breaks a rule, and waits until each was cut.
func (a *arena) breach(peers int, do func(*peer)) {
	for i := range peers {
		do(a.peer(wire.ClientHello{}))
		if i == peers/2 {
			a.middle()
		}
	}
	a.counted("Breaches", uint64(peers))
	a.expect(a.stat("Breaches") == uint64(peers), "%d of %d breaches counted", a.stat("Breaches"), peers)
}

func oversized(a *arena) {
	a.breach(4, func(p *peer) {
		body := appendCommand(nil, command{Op: echo, Body: make([]byte, 65000)})
		length := uint64(wire.MaxPayload + 1)
		if a.lifted() {
			length = uint64(len(body))
		}
		header := wire.AppendUvarint([]byte{byte(wire.KindCommand) << 4, 0}, length)
		p.write(append(header, body...))
	})
}

func badVarint(a *arena) {
	slots := [][]byte{
		{0x80, 0x00}, // 0, in two bytes
		{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02}, // 2⁶⁴: 0, if nobody looks
		{0x85, 0x80, 0x00}, // 5, in three
	}
	a.breach(len(slots), func(p *peer) {
		slot := slots[0]
		slots = slots[1:]
		if a.lifted() {
			slot = []byte{5}
		}
		body := appendCommand(nil, command{Op: echo})
		p.write(append(append([]byte{byte(wire.KindCommand) << 4}, slot...), append([]byte{byte(len(body))}, body...)...))
	})
}

func unknownVersionOrKind(a *arena) {
	hello, err := wire.AppendClientHello(nil, wire.ClientHello{})
	if err != nil {
		a.t.Error(err)
	}
	if !a.lifted() {
		hello[len(wire.Magic)] = 9
	}
	for _, nc := range a.silent(3) {
		nc.Write(hello)
		if !a.lifted() { // it reads why, and goes
			go func() {
				io.Copy(io.Discard, nc)
				nc.Close()
			}()
		}
	}
	answer := wire.ServerHello{}
	if !a.lifted() {
		answer.Status = wire.StatusVersion
	}
	a.over(a.foe(func(f *foe) {
		f.hello(answer)
		f.rest()
	}), a.limits.client)
	a.breach(4, func(p *peer) {
		if a.lifted() {
			p.command(0, command{Op: echo})
		} else {
			p.write([]byte{0xa0, 0, 0})
		}
	})
	a.counted("FailedHellos", 3)
}

func wrongSlots(a *arena) {
	slot := 0
	a.breach(4, func(p *peer) {
		if slot++; slot%2 == 0 { // beyond the limit
			if a.lifted() {
				p.command(15, command{Op: echo})
			} else {
				p.command(16, command{Op: echo})
			}
			return
		}
		p.command(0, command{Op: block})
		if a.lifted() {
			p.command(1, command{Op: block})
		} else {
			p.command(0, command{Op: block})
		}
	})
}

func lateFrame(a *arena) {
	number := 0
	a.breach(3, func(p *peer) {
		number++
		c := command{Op: echo, Number: number}
		p.extras(0, wire.Extras{Seq: 5}, c)
		a.until(func() bool { _, ends := p.heard(0); return ends == 1 })
		late := uint64(5)
		if a.lifted() {
			late, c.Number = 6, 100
		}
		p.extras(0, wire.Extras{Seq: late}, c)
	})
	for n := range number {
		if times := a.world.times(n + 1); times > 1 {
			a.fail("a command ran %d times", times)
		}
	}
}

func tooManyInputs(a *arena) {
	a.breach(3, func(p *peer) {
		p.command(0, command{Op: block}) // takes none
		inputs := 9
		if a.lifted() {
			inputs = 8
		}
		for range inputs {
			p.send(wire.KindInput, 0, 0, []byte{1})
		}
	})
}

// talk makes a client of a foe, and does a command with it.
func (a *arena) talk(c command, answer func(f *foe, slot int)) (*client.Client[*world], <-chan error) {
	conn, err := a.over(a.foe(func(f *foe) {
		f.hello(wire.ServerHello{})
		if slot, _, ok := f.command(); ok {
			answer(f, slot)
		}
		f.rest()
	}), a.limits.client)
	if err != nil {
		a.t.Fatal(err)
	}
	return conn, a.start(conn, c)
}

func resultAfterLast(a *arena) {
	results := 1001
	if a.lifted() {
		results = 1000
	}
	c, done := a.talk(command{Op: echo}, func(f *foe, slot int) {
		f.answer(slot)
		for range results {
			f.answer(slot)
		}
	})
	err := <-done
	a.expect(err == nil, "the command whose result came got %v", err)
	a.middle()
	select {
	case <-c.Done():
		a.saw(atClient, c.Err())
	case <-time.After(patience):
	}
}

func creditIgnored(a *arena) {
	results := 1000
	if a.lifted() {
		results = 1
	}
	c, done := a.talk(command{Op: count, N: 3}, func(f *foe, slot int) {
		for range results {
			f.send(wire.KindResult, 0, slot, appendResult(nil, result{}))
		}
	})
	a.middle()
	<-done // an error in any case: Do is not for several results
	select {
	case <-c.Done():
		a.saw(atClient, c.Err())
	case <-time.After(patience):
	}
}

func nestedBody(a *arena) {
	c, err := a.connect(a.limits.client)
	if err != nil {
		a.t.Fatal(err)
	}
	var body []byte
	for range 1000 {
		body = append(body, '[')
	}
	for range 1000 {
		body = append(body, ']')
	}
	err = a.do(c, command{Op: nested, Body: body})
	a.middle()
	again := a.do(c, command{Op: nested, Body: []byte("[[[1]]]")})
	a.expect(again == nil, "a flat one after %v: %v", err, again)
}

func noCommand(a *arena) {
	p := a.peer(wire.ClientHello{})
	p.send(wire.KindCommand, 0, 0, []byte(fmt.Sprintf("%c\x00\x00", 200)))
	a.middle()
	a.until(p.over)
}
