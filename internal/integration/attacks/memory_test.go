package attacks

import (
	"bytes"
	stdflate "compress/flate"
	"errors"
	"strings"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/compress/flate"
	"github.com/cmdstream/cmdstream/transport"
	"github.com/cmdstream/cmdstream/wire"
)

// memories are attacks on memory.
func memories() []row {
	compressed := func(l *limits) {
		l.server.Compressions = []transport.Compression{flate.New(0)}
		l.client.Compressions = l.server.Compressions
	}
	return []row{
		{
			name: "a large command", limit: "`MaxCmdSize`, 4 MiB",
			conf:     func(l *limits) { l.server.ServerSettings.MaxCmdSize = 10_000 },
			lift:     func(l *limits) { l.server.ServerSettings.MaxCmdSize = 1 << 20 },
			attack:   largeCommand,
			counters: []string{"BadBodies"},
			sees:     []sight{{atClient, base.ErrTooLargeCmd, base.Rejected}},
			also:     []string{"TestSettingsAreAnnouncedAndEnforced"},
		},
		{
			name: "many large commands", limit: "`MaxConnBytes`, 64 MiB a connection",
			conf:     func(l *limits) { l.server.MaxConnBytes = 100_000 },
			lift:     func(l *limits) { l.server.MaxConnBytes = 100 << 20 },
			attack:   func(a *arena) { manyLargeCommands(a, 1, 10, 100_000) },
			counters: []string{"NoMemory"},
			sees:     []sight{{atClient, base.ErrBusy, base.Rejected}},
			also:     []string{"TestMemoryIsBounded"},
		},
		{
			name: "many clients with large commands", limit: "`MaxBytes`, 512 MiB a server",
			conf:     func(l *limits) { l.server.MaxBytes = 100_000 },
			lift:     func(l *limits) { l.server.MaxBytes = 100 << 20 },
			attack:   func(a *arena) { manyLargeCommands(a, 10, 1, 100_000) },
			counters: []string{"NoMemory"},
			sees:     []sight{{atClient, base.ErrBusy, base.Rejected}},
			also:     []string{"TestMemoryIsBounded"},
		},
		{
			name: "metadata of commands that never come", limit: "`MaxConnBytes`, 64 MiB a connection",
			conf:     func(l *limits) { l.server.MaxConnBytes = 100_000 },
			lift:     func(l *limits) { l.server.MaxConnBytes = 100 << 20 },
			attack:   onlyMetadata,
			counters: []string{"NoMemory"},
			sees:     []sight{{atClient, base.ErrBusy, base.Rejected}},
			also:     []string{"TestMemoryIsBounded"},
		},
		{
			name: "inputs that no command takes", limit: "`MaxConnBytes`, 64 MiB a connection",
			conf:     func(l *limits) { l.server.MaxConnBytes = 100_000 },
			lift:     func(l *limits) { l.server.MaxConnBytes = 100 << 20 },
			attack:   smallInputs,
			counters: []string{"NoMemory"},
			sees:     []sight{{atClient, base.ErrBusy, base.Failed}},
			also:     []string{"TestMemoryIsBounded"},
		},
		{
			name: "a large result", limit: "`client.Conf.MaxResultSize`, 4 MiB",
			conf:     func(l *limits) { l.client.MaxResultSize = 10_000 },
			lift:     func(l *limits) { l.client.MaxResultSize = 1 << 20 },
			attack:   largeResult,
			counters: []string{"client.Stats.TooLargeResults"},
			sees:     []sight{{atClient, base.ErrTooLargeResult, base.Failed}},
			also:     []string{"TestAResultThatIsTooLarge"},
		},
		{
			name: "many large results", limit: "`client.Conf.MaxBytes`, 256 MiB",
			conf:     func(l *limits) { l.client.MaxBytes, l.client.MaxResultSize = 100_000, 50_000 },
			lift:     func(l *limits) { l.client.MaxBytes = 100 << 20 },
			attack:   manyLargeResults,
			counters: []string{"client.Stats.NoMemory"},
			sees:     []sight{{atClient, base.ErrBusy, base.Failed}},
			also:     []string{"TestMemoryOfResultsIsBounded"},
		},
		{
			name: "decompression bomb", limit: "`MaxCmdSize` and `client.Conf.MaxResultSize`, while it is made",
			conf: func(l *limits) {
				compressed(l)
				l.server.ServerSettings.MaxCmdSize, l.client.MaxResultSize = 50_000, 50_000
			},
			lift:     func(l *limits) { l.server.ServerSettings.MaxCmdSize, l.client.MaxResultSize = 8<<20, 8<<20 },
			attack:   bomb,
			counters: []string{"BadBodies", "client.Stats.TooLargeResults"},
			sees: []sight{
				{atClient, base.ErrTooLargeCmd, base.Rejected},
				{atClient, base.ErrTooLargeResult, base.Failed},
			},
			also: []string{"TestABomb", "TestCompression"},
		},
		{
			name: "a slow user of results", limit: "the credit: 64 results, up to 1024 of 64 KiB in all, or the channel's room",
			why:      "a user that takes the results is the other case: then the command ends",
			attack:   slowUser,
			counters: []string{"Running"},
			note:     "its own command waits; others on the connection go on",
			also:     []string{"TestASlowLoopStallsItsOwnCommandOnly"},
		},
	}
}

func largeCommand(a *arena) {
	c, err := a.connect(a.limits.client)
	if err != nil {
		a.t.Fatal(err)
	}
	for i := range 4 {
		a.do(c, command{Op: echo, Body: make([]byte, 20_000)})
		if i == 1 {
			a.middle()
		}
	}
	// One that is announced, by a client that does not ask.
	p := a.peer(wire.ClientHello{})
	p.send(wire.KindCommand, wire.FlagMore, 0, wire.AppendUvarint(nil, 1<<20))
	told := a.until(func() bool { return len(p.failed()) > 0 })
	a.expect(told && errors.Is(p.failed()[0], base.ErrTooLargeCmd), "a large announcement is answered by %v", p.failed())
}

// manyLargeCommands announces commands of 60,000 bytes, and sends all but the last
// byte.
func manyLargeCommands(a *arena, clients, each, limit int) {
	for i := range clients {
		p := a.peer(wire.ClientHello{})
		for slot := range each {
			p.send(wire.KindCommand, wire.FlagMore, slot, append(wire.AppendUvarint(nil, 60_000), make([]byte, 59_999)...))
			if i*each+slot == clients*each/2 {
				a.middle()
			}
		}
	}
	a.heldWithin(limit)
}

// onlyMetadata begins commands of one byte, and keeps that back, on one connection; on another
// they come, and do not end.
func onlyMetadata(a *arena) {
	metadata := wire.AppendPair(nil, "key", strings.Repeat("m", 8000))
	for _, whole := range []bool{false, true} {
		p, refused := a.peer(wire.ClientHello{}), a.stat("NoMemory")
		for slot := range 20 {
			if whole {
				p.extras(slot, wire.Extras{Metadata: metadata}, command{Op: block})
				continue
			}
			begins := wire.AppendUvarint(wire.AppendExtras(nil, wire.Extras{Metadata: metadata}), 1)
			p.send(wire.KindCommand, wire.FlagExtras|wire.FlagMore, slot, begins)
		}
		a.counted("NoMemory", refused+1)
		a.expect(a.stat("NoMemory") > refused, "all is held, whole: %v", whole)
		if !whole {
			a.middle()
		}
	}
	a.heldWithin(200_000)
}

// smallInputs sends commands that take none eight inputs each.
func smallInputs(a *arena) {
	p := a.peer(wire.ClientHello{})
	for slot := range 10 {
		p.command(slot, command{Op: block})
		for range 8 {
			p.send(wire.KindInput, 0, slot, make([]byte, 4000))
		}
		if slot == 5 {
			a.middle()
		}
	}
	a.heldWithin(100_000)
	// One that takes its inputs goes on, where all is held by others: it has room in any case.
	p = a.peer(wire.ClientHello{})
	p.send(wire.KindCommand, wire.FlagMore, 0, wire.AppendUvarint(nil, 99_999))
	p.command(20, command{Op: sum})
	for n := range 3 {
		p.send(wire.KindInput, map[bool]wire.Flags{true: wire.FlagLast}[n == 2], 20, make([]byte, 4000))
		synctest.Wait()
	}
	on := a.until(func() bool { results, ends := p.heard(20); return results == 1 && ends == 1 })
	a.expect(on, "a command with inputs does not go on")
}

// heldWithin waits until something was refused for want of memory: no more than limit bytes
// are held then.
func (a *arena) heldWithin(limit int) {
	a.counted("NoMemory", 1)
	held := a.server.Stats().Bytes
	a.expect(held > limit/2, "%d bytes are held", held)
	if held > limit {
		a.miss("%d bytes are held", held)
	}
}

func largeResult(a *arena) {
	c, err := a.connect(a.limits.client)
	if err != nil {
		a.t.Fatal(err)
	}
	for i := range 4 {
		a.do(c, command{Op: grow, N: 20_000})
		a.do(c, command{Op: grow, N: 200_000})
		if i == 1 {
			a.middle()
		}
	}
	// A server that does not hold to what the client has said.
	_, done := a.talk(command{Op: echo}, func(f *foe, slot int) {
		f.send(wire.KindResult, wire.FlagLast, slot, make([]byte, 20_000))
	})
	err = <-done
	a.expect(errors.Is(err, base.ErrTooLargeResult), "a server's large result is %v", err)
}

// manyLargeResults has a server send eight results of 40,000 bytes, and keep the last
// byte of each back until it has sent all the others.
func manyLargeResults(a *arena) {
	const commands = 8
	body := appendResult(nil, result{Last: true, Body: make([]byte, 40_000-2)})
	c, err := a.over(a.foe(func(f *foe) {
		f.hello(wire.ServerHello{})
		for slot := range commands {
			if _, _, ok := f.command(); !ok {
				return
			}
			f.send(wire.KindResult, wire.FlagLast|wire.FlagMore, slot, append(wire.AppendUvarint(nil, uint64(len(body))), body[:len(body)-1]...))
		}
		time.Sleep(settleTime)
		for slot := range commands {
			f.send(wire.KindResult, wire.FlagLast, slot, body[len(body)-1:])
		}
		f.rest()
	}), a.limits.client)
	if err != nil {
		a.t.Fatal(err)
	}
	var ends []<-chan error
	for range commands {
		ends = append(ends, a.start(c, command{Op: echo}))
	}
	a.middle()
	failed := 0
	for _, end := range ends {
		if <-end != nil {
			failed++
		}
	}
	a.expect(failed == commands-2, "%d of %d commands failed, where two have room", failed, commands)
}

// zeros is so many of them, compressed.
func zeros(n int) []byte {
	var b bytes.Buffer
	w, _ := stdflate.NewWriter(&b, stdflate.BestCompression)
	w.Write(make([]byte, n))
	w.Close()
	return b.Bytes()
}

func bomb(a *arena) {
	packed := zeros(4 << 20)
	if len(packed) > 30_000 {
		a.t.Fatalf("the bomb has %d bytes", len(packed))
	}
	p := a.peer(wire.ClientHello{Compressions: []uint64{1}})
	p.send(wire.KindCommand, wire.FlagCompressed, 0, packed)
	a.until(func() bool { _, ends := p.heard(0); return ends > 0 })
	a.middle()
	c, err := a.over(a.foe(func(f *foe) {
		f.hello(wire.ServerHello{Compression: 1})
		if slot, _, ok := f.command(); ok {
			f.send(wire.KindResult, wire.FlagLast|wire.FlagCompressed, slot, packed)
		}
		f.rest()
	}), a.limits.client)
	if err == nil {
		a.do(c, command{Op: echo})
	}
}

func slowUser(a *arena) {
	c, err := a.connect(a.limits.client)
	if err != nil {
		a.t.Fatal(err)
	}
	results := make(chan base.AsyncResult, 1)
	if _, err := c.Send(command{Op: count, N: 1000}, results); err != nil {
		a.t.Fatal(err)
	}
	stop := make(chan struct{})
	a.atEnd(func() { close(stop) })
	if a.lifted() {
		go func() {
			for {
				select {
				case <-results:
				case <-stop:
					return
				}
			}
		}()
	}
	time.Sleep(settleTime)
	others(a, c)
	a.middle()
	others(a, c)
}

// others checks that other commands of a client go on.
func others(a *arena, c *client.Client[*world]) {
	for range 100 {
		begin := time.Now()
		err := a.do(c, command{Op: echo})
		if took := time.Since(begin); a.mode != draining && (err != nil || took > slowest) {
			a.fail("another command of the client took %v: %v", took, err)
		}
	}
}
