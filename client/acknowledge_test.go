package client_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/wire"
)

// small returns a result of a thousand bytes: 65 of them a client may leave unacknowledged.
func small(last bool) []byte {
	r := result{Last: last}
	r.Body = make([]byte, 1000-len(encodeResult(r)))
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
	cost := 1000
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
	if sum > 64<<10 {
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

// A command that was not sent does not acknowledge what its slot had before: that is still due,
// also if others were acknowledged while the command was waiting to be sent.
func TestAnUnsentCommandAcknowledgesNothing(t *testing.T) {
	for name, early := range map[string]bool{"": false, "while it waits": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c, p, _, _ := openSession(t, client.Conf{})
				go func() {
					for range c.Results(t.Context(), command{N: 1}) {
					}
				}()
				stream := p.expect(kindCommand).Slot
				many := func() {
					for range 70 {
						p.send(wire.KindResult, 0, stream, encodeResult(result{Body: make([]byte, 950)}))
						synctest.Wait()
					}
				}
				slots, done := p.open(c, 65)
				p.exchange(slots, done)
				// The peer does not read, so that the next commands fill the buffer, and the last ones
				// find no room.
				ctx, cancel := context.WithCancel(t.Context())
				var unsent []<-chan outcome
				for range 65 {
					unsent = append(unsent, start(ctx, c, command{N: 1, Body: make([]byte, 60_000)}))
				}
				synctest.Wait()
				if early {
					many()
				}
				cancel()
				notSent := 0
				for _, d := range unsent {
					if o := <-d; !errors.Is(o.err, context.Canceled) {
						t.Fatal(o.err)
					} else if base.OutcomeOf(o.err) == base.NotSent {
						notSent++
					}
				}
				if notSent == 0 || notSent == 65 {
					t.Fatalf("%d of 65 commands were not sent", notSent)
				}
				sent, acked := make(map[uint64]bool), make(map[uint64]bool)
				go func() {
					defer p.nc.Close()
					many()
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
						acked[f.Slot] = true
					}
				}
				for _, slot := range slots {
					if sent[slot] == acked[slot] {
						t.Errorf("slot %d: a command was sent there: %v, its result was acknowledged: %v", slot, sent[slot], acked[slot])
					}
				}
			})
		})
	}
}
