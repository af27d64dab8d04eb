package client_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/wire"
)

// small is a result of a thousand bytes: 65 of them a client may leave unacknowledged.
var small = func() []byte {
	body := result{Last: true}
	body.Body = make([]byte, 1000-len(encodeResult(body)))
	return encodeResult(body)
}()

// acks reads frames until none comes for a moment, and returns how many results of each slot
// they acknowledge. Other frames fail the test.
func (p *peer) acks(n int) map[uint64]uint64 {
	p.t.Helper()
	seen := make(map[uint64]uint64)
	for range n {
		f := p.expect(wire.KindAck)
		n, err := wire.ParseAck(f.Payload)
		if err != nil || seen[f.Slot] >= n {
			p.t.Fatalf("an ack of %d on slot %d, after one of %d, %v", n, f.Slot, seen[f.Slot], err)
		}
		seen[f.Slot] = n
	}
	return seen
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
		p.sendBody(slot, small)
		if o := <-done[i]; o.err != nil {
			p.t.Fatal(o.err)
		}
	}
}

// Q2: small results of all commands together are acknowledged before they are more than 64 KiB,
// also where the slots are free already, and each once.
func TestSmallResultsOfManyCommandsAreAcknowledged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p, _, _ := openSession(t, client.Conf{})
		for round := range 3 {
			slots, done := p.open(c, 66)
			p.exchange(slots, done)
			seen := p.acks(66)
			for _, slot := range slots {
				if seen[slot] != 1 {
					t.Errorf("round %d: slot %d has %d results acknowledged", round, slot, seen[slot])
				}
			}
		}
		for range 65 { // the next command on a slot is an ack, too
			p.exchange(p.open(c, 1))
		}
		p.exchange(p.open(c, 1))
		p.acks(1)
		p.open(c, 1)
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
		p.exchange(p.open(c, 26))       // 66, with the 40 before
		more, doneMore := p.open(c, 40) // and 66, with the 26 before
		p.exchange(more, doneMore)
		if seen := p.acks(40); len(seen) != 40 {
			t.Errorf("%d slots are acknowledged", len(seen))
		}
		p.open(c, 1)
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
