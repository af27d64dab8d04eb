package client_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
)

// closes checks that Close takes less than a second.
func closes(t testing.TB, c *client.Client[receiver]) {
	t.Helper()
	begin := time.Now()
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if d := time.Since(begin); d >= time.Second {
		t.Errorf("Close took %v", d)
	}
	select {
	case <-c.Done():
	default:
		t.Error("Done is not closed")
	}
}

func TestClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newPeer(t, client.Conf{})
		closes(t, c)
		want(t, c.Err(), base.NotSent, client.ErrClosed)
		if f := p.expect(kindGoaway); len(f.Payload) == 0 {
			t.Error("the server is not told why")
		}
		p.ended()
		begin := time.Now()
		closes(t, c) // twice
		took(t, begin, 0)

		_, err := c.Do(t.Context(), command{})
		want(t, err, base.NotSent, client.ErrClosed)
		_, err = c.Send(command{}, make(chan base.AsyncResult))
		want(t, err, base.NotSent, client.ErrClosed)
		for _, err := range c.Results(t.Context(), command{}) {
			want(t, err, base.NotSent, client.ErrClosed)
		}
		if c.Has(1) {
			t.Error("a closed client has commands")
		}
		c.Forget(1)
	})
}

// Open commands may have run; those that wait for a place have not.
func TestCloseWhileAThousandCommandsWait(t *testing.T) {
	for _, reconnects := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			l := memnet.Listen()
			accepted := acceptLater(t, l)
			var c *client.Client[receiver]
			if conf := (client.Conf{MaxInFlight: 10}); reconnects {
				c = redial(t, l.Dial, conf)
			} else {
				c = dial(t, l, conf)
			}
			<-accepted
			var mu sync.Mutex
			var wg sync.WaitGroup
			ends := map[base.Outcome]int{}
			count := func(err error) {
				want(t, err, base.OutcomeOf(err), client.ErrClosed)
				mu.Lock()
				defer mu.Unlock()
				ends[base.OutcomeOf(err)]++
			}
			for range 400 {
				wg.Go(func() {
					_, err := c.Do(context.Background(), command{})
					count(err)
				})
				wg.Go(func() {
					for _, err := range c.Results(context.Background(), command{}) {
						count(err)
					}
				})
				wg.Go(func() {
					results := make(chan base.AsyncResult)
					_, err := c.Send(command{}, results)
					if err == nil {
						err = (<-results).Err
					}
					count(err)
				})
			}
			synctest.Wait()
			closes(t, c)
			wg.Wait()
			if ends[base.Unknown] != 10 || ends[base.NotSent] != 1190 {
				t.Errorf("got %v", ends)
			}
		})
	}
}

// Close takes less than a second in every state.
func TestCloseInEveryState(t *testing.T) {
	for name, set := range map[string]func(t *testing.T) *client.Client[receiver]{
		"the server is silent": func(t *testing.T) *client.Client[receiver] {
			c, p := newPeer(t, client.Conf{})
			start(context.Background(), c, command{})
			synctest.Wait()
			p.nc.Cut(memnet.Stall)
			return c
		},
		"the buffers are full": func(t *testing.T) *client.Client[receiver] {
			c, _ := newPeer(t, client.Conf{WriteTimeout: time.Hour})
			fill(t, c)
			return c
		},
		"a large command is on its way": func(t *testing.T) *client.Client[receiver] {
			c, _ := slowly(t, client.Conf{})
			start(context.Background(), c, command{Body: body(1 << 20)})
			synctest.Wait()
			return c
		},
		"a delivery is blocked": func(t *testing.T) *client.Client[receiver] {
			c := both(t, nil, count, client.Conf{})
			for range 50 {
				mustSend(t, c, command{N: 10}, make(chan base.AsyncResult))
			}
			synctest.Wait()
			return c
		},
		"a callback is blocked": func(t *testing.T) *client.Client[receiver] {
			block := make(chan struct{})
			t.Cleanup(func() { close(block) })
			c := both(t, nil, count, client.Conf{
				UnexpectedResultCallback: func(base.Seq, base.Result) { <-block },
				StateCallback:            func(client.StateChange) { <-block },
			})
			c.Forget(mustSend(t, c, command{N: 10}, make(chan base.AsyncResult)))
			synctest.Wait()
			return c
		},
		"everything of the user's is blocked": func(t *testing.T) *client.Client[receiver] {
			block := make(chan struct{})
			t.Cleanup(func() { close(block) })
			l := serve(t, count, serverConf{})
			conn, _ := l.Dial(t.Context())
			c := over(t, conn, codec{decode: func(result) error { <-block; return nil }}, client.Conf{
				StateCallback: func(client.StateChange) { <-block },
			})
			mustSend(t, c, command{N: 1}, make(chan base.AsyncResult))
			conn.(*memnet.Conn).Cut(memnet.Stall)
			synctest.Wait()
			return c
		},
		"it waits to dial": func(t *testing.T) *client.Client[receiver] {
			l := memnet.Listen()
			go func() { accept(t, l).nc.Close(); l.Close() }()
			c := redial(t, l.Dial, client.Conf{Backoff: client.Backoff{First: time.Hour, Max: time.Hour}})
			time.Sleep(time.Minute)
			start(context.Background(), c, command{})
			synctest.Wait()
			return c
		},
		"it dials": func(t *testing.T) *client.Client[receiver] {
			l := memnet.Listen()
			dials := 0
			go func() { accept(t, l).nc.Close() }()
			return redial(t, func(ctx context.Context) (net.Conn, error) {
				if dials++; dials == 1 {
					return l.Dial(ctx)
				}
				<-ctx.Done()
				return nil, context.Cause(ctx)
			}, client.Conf{})
		},
		"it says hello": func(t *testing.T) *client.Client[receiver] {
			l := memnet.Listen()
			go func() { accept(t, l).nc.Close() }() // and accepts no more
			c := redial(t, l.Dial, client.Conf{})
			time.Sleep(time.Second)
			return c
		},
		"servers drain": func(t *testing.T) *client.Client[receiver] {
			l := memnet.Listen()
			accepted := acceptLater(t, l)
			c := redial(t, l.Dial, client.Conf{})
			for range 20 { // each connection keeps a command, and does not read on
				p := <-accepted
				start(context.Background(), c, command{Body: make([]byte, 300<<10)})
				synctest.Wait()
				accepted = acceptLater(t, l)
				p.goaway("maintenance")
				time.Sleep(time.Second)
			}
			<-accepted
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := set(t)
				synctest.Wait()
				closes(t, c)
				want(t, c.Err(), base.NotSent, client.ErrClosed)
			})
		})
	}
}

// The channel of a command gets the error that Close ended it with, if it takes it
// soon.
func TestCloseWaitsForChannels(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var told unexpected
		c := both(t, nil, count, client.Conf{UnexpectedResultCallback: told.callback})
		results := make(chan base.AsyncResult)
		seq := mustSend(t, c, command{N: 3}, results)
		synctest.Wait()
		go c.Close()
		time.Sleep(200 * time.Millisecond)
		gets(t, results, seq, 1)
		r := <-results
		want(t, r.Err, base.Unknown, client.ErrClosed)
	})
}

// Results that the channel had not taken by then are told to the callback.
func TestCloseTellsWhatWasNotDelivered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var told unexpected
		c := both(t, nil, count, client.Conf{UnexpectedResultCallback: told.callback})
		mustSend(t, c, command{N: 3}, make(chan base.AsyncResult))
		synctest.Wait()
		closes(t, c)
		synctest.Wait()
		if got := told.numbers(); len(got) != 1 || got[0] != 1 {
			t.Errorf("the callback heard of %v", got)
		}
	})
}

// Commands that are being sent while the client is closed end, one way or another.
func TestCloseWhileCommandsAreSent(t *testing.T) {
	for after := range 10 {
		bubble(t, func(t *testing.T) {
			c := both(t, nil, echo, client.Conf{MaxInFlight: 3})
			var wg sync.WaitGroup
			for n := range 10 {
				wg.Go(func() {
					for c.Err() == nil {
						r, err := c.Do(context.Background(), command{N: n})
						if err == nil && r.(result).N != n {
							t.Errorf("got %v", r)
						}
						if err != nil {
							want(t, err, base.OutcomeOf(err), client.ErrClosed)
						}
					}
				})
				wg.Go(func() {
					results := make(chan base.AsyncResult, 1)
					for c.Err() == nil {
						seq, err := c.Send(command{N: n}, results)
						if err != nil {
							want(t, err, base.NotSent, client.ErrClosed)
							continue
						}
						if r := <-results; r.Seq != seq {
							t.Errorf("got %+v, want a result of %d", r, seq)
						}
					}
				})
			}
			for range after {
				c.Do(context.Background(), command{})
			}
			closes(t, c)
			wg.Wait()
		})
	}
}

// Close by many at once, while the connection is lost and found again.
func TestCloseWhileReconnecting(t *testing.T) {
	for after := range 30 {
		bubble(t, func(t *testing.T) {
			l := memnet.Listen()
			l.OnDial(func(c, _ *memnet.Conn) {
				c.SetPlan(memnet.Plan{Delay: time.Millisecond})
				time.AfterFunc(7*time.Millisecond, func() { c.Cut(memnet.RST) })
			})
			serveOn(t, l, echo, serverConf{})
			var states states
			c := redial(t, l.Dial, client.Conf{StateCallback: states.callback})
			time.Sleep(time.Duration(after) * time.Millisecond)
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() { closes(t, c) })
			}
			wg.Wait()
			synctest.Wait()
			if n := len(states.changes); states.changes[n-1].State != client.Closed {
				t.Errorf("the last state is not Closed: %s", states.String())
			}
		})
	}
}
