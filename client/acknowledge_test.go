package client_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/wire"
)

// small returns a result as large as a small one may be: 64 of them a client may leave
// unacknowledged.
func small(last bool) []byte {
	r := result{Last: last, Body: make([]byte, 1024)}
	r.Body = r.Body[len(encodeResult(r))-1024:]
	return encodeResult(r)
}

// accounts is a server's account of the small results that it keeps.
type accounts struct {
	t      *testing.T
	c      *client.Client[receiver]
	p      *peer
	frames chan frame // that are not acks

	mu    sync.Mutex       // protects what follows
	kept  map[uint64][]int // what each result counts, by slot; 0: it was acknowledged
	acked int
}

func keepAccounts(t *testing.T, c *client.Client[receiver], p *peer) *accounts {
	a := &accounts{t: t, c: c, p: p, kept: make(map[uint64][]int), frames: make(chan frame, 1000)}
	go a.hear()
	return a
}

// exchange has so many commands open at once, and answers each by a small result.
func (a *accounts) exchange(open int) {
	a.t.Helper()
	var slots []uint64
	var done []<-chan outcome
	for range open {
		done = append(done, start(a.t.Context(), a.c, command{N: 1}))
		slots = append(slots, (<-a.frames).Slot)
	}
	for i, slot := range slots {
		a.send(slot, true)
		if o := <-done[i]; o.err != nil {
			a.t.Fatal(o.err)
		}
		synctest.Wait()
		a.check()
	}
}

// hear keeps account of what the client acknowledges, and hands all else on.
func (a *accounts) hear() {
	defer close(a.frames)
	for {
		f, ok := a.p.read()
		switch {
		case !ok:
			return
		case f.Kind != wire.KindAck:
			if f.Kind == kindCommand {
				a.mu.Lock()
				a.kept[f.Slot] = nil
				a.mu.Unlock()
			}
			a.frames <- f
		default:
			n, err := wire.ParseAck(f.Payload)
			a.mu.Lock()
			if kept := a.kept[f.Slot]; err != nil || n == 0 || int(n) > len(kept) || kept[n-1] == 0 {
				a.t.Errorf("an ack of %d on slot %d, which has %v, %v", n, f.Slot, kept, err)
			} else {
				clear(kept[:n])
			}
			a.acked++
			a.mu.Unlock()
		}
	}
}

// send sends a small result.
func (a *accounts) send(slot uint64, last bool) {
	a.mu.Lock()
	cost := 1024
	if len(a.kept[slot]) > 0 {
		cost += 64
	}
	a.kept[slot] = append(a.kept[slot], cost)
	a.mu.Unlock()
	flags := wire.Flags(0)
	if last {
		flags = wire.FlagLast
	}
	a.p.send(wire.KindResult, flags, slot, small(last))
}

// check tells whether more is kept than a client may owe.
func (a *accounts) check() {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	sum := 0
	for _, kept := range a.kept {
		for _, n := range kept {
			sum += n
		}
	}
	if sum > 65_536 {
		a.t.Fatalf("%d bytes are not acknowledged", sum)
	}
}

// open begins n commands, and returns the slots. The client must have nothing else to say.
func (p *peer) open(c *client.Client[receiver], n int) (slots []uint64, done []<-chan outcome) {
	p.t.Helper()
	for range n {
		done = append(done, start(p.t.Context(), c, command{N: 1}))
		f, ok := p.read()
		if !ok || f.Kind != kindCommand {
			p.t.Fatalf("got a %v, %v, want a command", f.Kind, ok)
		}
		slots = append(slots, f.Slot)
	}
	return slots, done
}

// exchange answers commands by small results.
func (p *peer) exchange(slots []uint64, done []<-chan outcome) {
	p.t.Helper()
	for i, slot := range slots {
		p.sendBody(slot, small(true))
		if o := <-done[i]; o.err != nil {
			p.t.Fatal(o.err)
		}
	}
}

// Q2: small results of all commands together are acknowledged before they are more than 64 KiB,
// also where the slots are free already, and each at most once. Where the same few slots are used
// again and again there is nothing to acknowledge.
func TestSmallResultsOfManyCommandsAreAcknowledged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p, _, _ := openSession(t, client.Conf{})
		a := keepAccounts(t, c, p)
		for _, open := range []int{300, 200, 66, 100, 300} {
			a.exchange(open)
		}
		if most := 300 + 200 + 66 + 100 + 300; a.acked < 300 || a.acked > most {
			t.Errorf("%d acks", a.acked)
		}
		for range 10 {
			a.exchange(20)
		}
		before := a.acked
		for range 50 {
			a.exchange(20)
		}
		if a.acked > before {
			t.Errorf("%d acks of what is released anyway", a.acked-before)
		}
	})
}

// Q2: so are those of many streams, of which none has come to 64 yet.
func TestSmallResultsOfManyStreamsAreAcknowledged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p, _, _ := openSession(t, client.Conf{})
		a := keepAccounts(t, c, p)
		var slots []uint64
		for range 40 {
			go func() {
				for range c.Results(t.Context(), command{N: 1}) {
				}
			}()
			slots = append(slots, (<-a.frames).Slot)
		}
		for n := range 40 {
			for i, slot := range slots {
				if n%(i+1) == 0 { // some often, some seldom
					a.send(slot, false)
					synctest.Wait()
					a.check()
				}
			}
		}
	})
}

// Q2: what was seen before a resume is in the list, or its slot is not; there is nothing to
// acknowledge after it.
func TestNothingIsAcknowledgedAfterAList(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p, l, session := openSession(t, client.Conf{})
		slots, done := p.open(c, 41)
		p.exchange(slots[:40], done[:40])
		p.nc.Close()
		p, _ = resumed(t, l, session, 2)
		p.stand(wire.ServerSlot{Slot: slots[40], Seen: true})
		a := keepAccounts(t, c, p)
		for range 5 {
			a.exchange(26)
			a.exchange(10)
			a.exchange(66)
		}
		if a.acked == 0 {
			t.Error("nothing was acknowledged at all")
		}
	})
}

// A command that finds no room, and so is not sent at once, does not acknowledge what its slot had
// before: that is said.
func TestAnUnsentCommandAcknowledgesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p, _, _ := openSession(t, client.Conf{})
		slots, done := p.open(c, 30)
		// The peer does not read any more: these fill most of the send buffer.
		ctx, cancel := context.WithCancel(t.Context())
		var unsent []<-chan outcome
		fill := func(n int) {
			for range n {
				unsent = append(unsent, start(ctx, c, command{N: 1, Body: make([]byte, 8000)}))
			}
			synctest.Wait()
		}
		fill(55)
		p.exchange(slots, done)
		fill(30) // on the same slots; the last ones find no room
		cancel()
		for _, d := range unsent {
			<-d
		}
		sent, acked := make(map[uint64]bool), make(map[uint64]bool)
		go func() {
			synctest.Wait()
			p.nc.Close()
		}()
		for {
			f, ok := p.read()
			if !ok {
				break
			}
			switch f.Kind {
			case kindCommand:
				sent[f.Slot] = true
			case wire.KindAck:
				if sent[f.Slot] || acked[f.Slot] {
					t.Errorf("an ack on slot %d, after the next command or another ack", f.Slot)
				}
				acked[f.Slot] = true
			}
		}
		if len(acked) == 0 {
			t.Error("all commands were sent")
		}
		for _, slot := range slots {
			if sent[slot] == acked[slot] {
				t.Errorf("slot %d: a command was sent there: %v, its result was acknowledged: %v", slot, sent[slot], acked[slot])
			}
		}
	})
}

// A large command takes its time: what its slot had before is acknowledged first.
func TestALargeCommandComesAfterAnAck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p, _, _ := openSession(t, client.Conf{})
		p.exchange(p.open(c, 1))
		start(t.Context(), c, command{N: 1, Body: make([]byte, 200_000)})
		f, ok := p.read()
		if n, err := wire.ParseAck(f.Payload); !ok || f.Kind != wire.KindAck || n != 1 || err != nil {
			t.Errorf("got a %v of %d, %v, %v, want an ack", f.Kind, n, ok, err)
		}
		if slot, n := p.whole(); slot != f.Slot || n < 200_000 {
			t.Errorf("%d bytes came on slot %d", n, slot)
		}
	})
}
