package attacks

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
)

// streams are faults of the stream of bytes.
func streams() []row {
	return []row{
		{
			name: "cut at every byte", limit: "`client.Conf.Session`",
			conf: func(l *limits) {
				l.client.Session = true
				l.client.KeepaliveTime, l.client.KeepaliveIntvl = 10*time.Millisecond, 10*time.Millisecond
				l.client.SysDataReceiveTimeout = 30 * time.Millisecond
				l.server.Sessions.Time = shortSession
			},
			lift:     func(l *limits) { l.client.Session = false },
			attack:   cutAtEveryByte,
			counters: []string{"SessionsResumed"},
			sees:     []sight{{atState, base.ErrConnLost, base.Unknown}},
			anyway:   []any{base.ErrConnLost},
			note:     "commands of a session succeed, and run once",
			also:     []string{"TestACutAtEveryByte"},
		},
		{
			name: "flipped bits", limit: "the rules of the wire; `client.Conf.Timeout`, off by default; nothing finds a flip inside a body",
			conf: func(l *limits) {
				l.client.Timeout = flipTimeout
				l.client.SysDataReceiveTimeout, l.server.SysDataSendTimeout = 30*time.Millisecond, 30*time.Millisecond
			},
			lift:     func(l *limits) { l.client.Timeout = 0 },
			anyway:   []any{"Breaches", "FailedHellos", base.ErrProtocol, base.ErrDeadline},
			attack:   flippedBits,
			counters: []string{"Breaches", "FailedHellos"},
			sees: []sight{
				{atServer, base.ErrProtocol, base.Unknown},
				{atClient, base.ErrProtocol, base.Unknown},
				{atClient, base.ErrDeadline, base.Unknown},
			},
			note: "each command ends",
		},
		{
			name: "flipped bits under TLS", limit: "`TLSConfig`",
			conf: func(l *limits) {
				l.server.TLSConfig = serverTLS()
				l.client.KeepaliveTime, l.client.KeepaliveIntvl = 10*time.Millisecond, 10*time.Millisecond
			},
			lift:     func(l *limits) { l.server.TLSConfig = nil },
			attack:   flippedUnderTLS,
			counters: []string{"client.Stats.LostConnections"},
			sees:     []sight{{atClient, base.ErrConnLost, base.Unknown}},
			note:     "each flip is found",
		},
		{
			name: "partial writes", limit: "what the network has taken of a frame",
			why:      "the network decides: of a frame that it has taken whole nothing is known",
			attack:   partialWrites,
			counters: []string{"client.Stats.LostConnections"},
			anyway:   []any{"client.Stats.LostConnections"},
			sees:     []sight{{atClient, base.ErrConnLost, base.NotSent}},
			note:     "short reads and deliveries: nothing",
			also:     []string{"TestChaos"},
		},
	}
}

// dialogue has a new client do three commands over a network, and returns how many
// bytes went each way. The client is gone afterwards.
func (a *arena) dialogue(n *links, number int, what string) [2]int64 {
	conf := a.limits.client
	conf.Backoff = client.Backoff{First: time.Millisecond, Max: time.Millisecond}
	c, err := a.quick(n, conf)
	if err != nil { // a cut in the first hello is the user's to see to
		a.expect(base.OutcomeOf(err) == base.NotSent, "%s: %v", what, err)
		if c, err = a.quick(n, conf); err != nil {
			a.expect(false, "%s, and again: %v", what, err)
			return [2]int64{}
		}
	}
	ends := n.last()
	for i := range 3 {
		err := a.do(c, command{Op: echo, Number: number + i, Body: []byte("hello")})
		a.expect(err == nil, "%s: %v", what, err)
		times := a.world.times(number + i)
		if times > 1 {
			a.fail("%s: command %d ran %d times", what, i, times)
		}
		a.expect(times == 1, "%s: command %d ran %d times", what, i, times)
	}
	begin := time.Now()
	c.Close()
	if took := time.Since(begin); took > time.Second {
		a.fail("%s: Close took %v", what, took)
	}
	return [2]int64{ends[up].Written(), ends[down].Written()}
}

// quick makes a client that does not stay until the end.
func (a *arena) quick(n *links, conf client.Conf) (*client.Client[*world], error) {
	conf.Logger = quiet
	conf.StateCallback = func(change client.StateChange) { a.saw(atState, change.Err) }
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := client.NewReconnect(ctx, clientCodec{}, n.dial, conf)
	a.made(c, err)
	return c, err
}

func cutAtEveryByte(a *arena) {
	n := a.links(a.server)
	number := 1
	lengths := a.dialogue(n, number, "without a cut")
	cuts := 0
	for _, way := range []way{up, down} {
		for _, kind := range []memnet.Kind{memnet.FIN, memnet.RST, memnet.Stall} {
			for at := int64(0); at <= lengths[way]; at += every(a) {
				var plans [2]memnet.Plan
				plans[way] = memnet.Plan{Cut: kind, At: at}
				n.plan(plans[up], plans[down])
				number += 3
				a.dialogue(n, number, fmt.Sprintf("%v, %v at byte %d", way, kind, at))
				n.forget()
				if cuts++; a.mode == lifted && cuts > 50 {
					a.middle()
					return
				}
			}
		}
		if way == up {
			a.middle()
		}
	}
	a.atEnd(func() { time.Sleep(2 * shortSession) }) // those whose hello was cut end
}

// shortSession is longer than it takes to come back.
const shortSession = 200 * time.Millisecond

// every is how far it is from one cut to the next.
func every(a *arena) int64 {
	if a.mode == draining {
		return 10
	}
	return 1
}

// flips are places of bits, from a seed.
func flips(seed uint64, n, bytes int) (at []int64, bits []byte) {
	random := rand.New(rand.NewPCG(seed, 1))
	for range n {
		at = append(at, random.Int64N(int64(bytes)))
		bits = append(bits, 1<<random.IntN(8))
	}
	return at, bits
}

const (
	flipSeed    = 4
	flipTimeout = 50 * time.Millisecond
)

func flippedBits(a *arena) {
	n := a.links(a.server)
	const each = 150
	for _, way := range []way{up, down} {
		at, bits := flips(flipSeed+uint64(way), each, 120)
		for i := range each {
			var plans [2]memnet.Plan
			plans[way].Corrupt = map[int64]byte{at[i]: bits[i]}
			n.plan(plans[up], plans[down])
			c, err := a.quick(n, a.limits.client)
			if err != nil {
				continue
			}
			for range 3 {
				begin := time.Now()
				a.do(c, command{Op: echo, Body: []byte("hello")})
				took := time.Since(begin)
				a.expect(took < 2*flipTimeout, "%v, bit %#x of byte %d: a command took %v", way, bits[i], at[i], took)
			}
			c.Close()
			n.forget()
		}
		if way == up {
			a.middle()
		}
	}
	if held := a.server.Stats().Bytes; held > 0 {
		a.fail("%d bytes are held", held)
	}
}

func flippedUnderTLS(a *arena) {
	n := a.links(a.server)
	const each = 30
	body := []byte("a body of forty bytes, which is not long")
	for _, way := range []way{up, down} {
		at, bits := flips(flipSeed, each, 40)
		for i := range each {
			nc, err := n.dial(context.Background())
			if err != nil {
				continue
			}
			c, err := a.over(nc, a.limits.client)
			if err != nil {
				continue
			}
			end := n.last()[way] // the handshake is over: what follows are records
			end.SetPlan(memnet.Plan{Corrupt: map[int64]byte{end.Written() + at[i]: bits[i]}})
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			r, err := c.Do(ctx, command{Op: echo, Body: body})
			cancel()
			a.saw(atClient, err)
			found := err != nil
			a.expect(found, "%v, bit %#x of byte %d is not found", way, bits[i], at[i])
			if !found && a.limits.server.TLSConfig != nil && !bytes.Equal(r.(result).Body, body) {
				a.fail("a wrong result")
			}
			c.Close()
			n.forget()
		}
		if way == up {
			a.middle()
		}
	}
}

func partialWrites(a *arena) {
	n := a.links(a.server)
	for i := range 20 {
		nc, err := n.dial(context.Background())
		if err != nil {
			continue // the server is shut down
		}
		c, err := a.over(nc, a.limits.client)
		if err != nil {
			continue
		}
		end := n.last()[up]
		taken := int64(i) * 50 // of a frame of a thousand bytes, and more
		if a.lifted() {
			taken = 1100
		}
		end.SetPlan(memnet.Plan{Cut: memnet.RST, At: end.Written() + taken})
		done := a.start(c, command{Op: block, Number: i + 1, Body: make([]byte, 1000)})
		if a.lifted() {
			end.Cut(memnet.RST)
		}
		err = <-done
		a.expect(base.OutcomeOf(err) == base.NotSent, "%d bytes of a frame were taken: %v", taken, err)
		if times := a.world.times(i + 1); times > 0 && !a.lifted() {
			a.fail("a command ran of which %d bytes were taken", taken)
		}
		if i == 10 {
			a.middle()
		}
	}
	short := memnet.Plan{ShortReads: 1, ShortDeliveries: 3}
	n.plan(short, short)
	if c := a.onLinks(n, nil); c != nil {
		for range 10 {
			err := a.do(c, command{Op: echo, Body: make([]byte, 1000)})
			a.expect(err == nil, "a byte at a time: %v", err)
		}
	}
}
