package client_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
)

// E2: a client that reads all the time gets the failures of all its commands, however
// many they are at once: those that are due, and those that were kept for it.
func TestFailuresAtOnce(t *testing.T) {
	for name, cut := range map[string]bool{"due": false, "kept": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := memnet.Listen()
				var far atomic.Pointer[memnet.Conn]
				l.OnDial(func(_, s *memnet.Conn) {
					s.SetPlan(memnet.Plan{Delay: 5 * time.Millisecond})
					far.Store(s)
				})
				gate := make(chan struct{})
				_, s := serveOn(t, l, func(context.Context, command, base.Seq, base.Proxy) error {
					<-gate
					return errors.New(strings.Repeat("x", 2000))
				}, serverConf{})
				var down atomic.Bool
				c := redial(t, func(ctx context.Context) (net.Conn, error) {
					if down.Load() {
						return nil, errors.New("down")
					}
					return l.Dial(ctx)
				}, client.Conf{Session: cut})
				var all sync.WaitGroup
				for n := range 1000 {
					all.Go(func() {
						_, err := c.Do(t.Context(), command{N: n})
						if base.OutcomeOf(err) != base.Failed || !errors.Is(err, base.ErrExec) {
							t.Errorf("command %d: %v", n, err)
						}
					})
				}
				synctest.Wait()
				if cut {
					down.Store(true)
					far.Load().Cut(memnet.RST)
					synctest.Wait()
				}
				close(gate)
				synctest.Wait()
				down.Store(false)
				all.Wait()
				if stats := s.Stats(); stats.SlowReaders != 0 {
					t.Errorf("%d clients count as slow readers", stats.SlowReaders)
				}
			})
		})
	}
}

// Inputs wait for room as commands do: a server that does not read for a while costs
// nothing.
func TestInputsWaitForRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newPeer(t, client.Conf{})
		const calls, inputs = 400, 8
		var opened, sent sync.WaitGroup
		opened.Add(calls)
		for n := range calls {
			sent.Go(func() {
				call, err := c.Open(t.Context(), command{N: n})
				opened.Done()
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(func() { call.Close() })
				opened.Wait()
				for range inputs {
					if err := call.Send(body(8000)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		time.Sleep(10 * time.Second)
		got := 0
		for got < calls*inputs {
			f, ok := p.read()
			if !ok {
				t.Fatalf("after %d inputs the client has ended: %v", got, c.Err())
			}
			if f.Kind == kindInput {
				got++
			}
		}
		sent.Wait()
	})
}

// Many callers at once make no more slots than they need, but for a few; nor does a link have more.
func TestSlotsThatManyMakeAtOnce(t *testing.T) {
	const callers, atOnce, few = 20_000, 100, 16
	has, made, _ := client.SlotsFor(callers, atOnce, 2*callers)
	if has < callers || has >= callers+few {
		t.Errorf("for %d callers there are %d slots", callers, has)
	}
	if made > callers+few*atOnce {
		t.Errorf("for %d callers %d slots were made", callers, made)
	}
	for limit := 300; limit < 400; limit++ { // near it some make slots that will never be of use
		if has, _, kept := client.SlotsFor(400, atOnce, limit); has != limit || kept != 0 {
			t.Errorf("of %d slots at most there are %d, and %d are kept for nothing", limit, has, kept)
		}
	}
}
