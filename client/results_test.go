package client_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
)

func TestResults(t *testing.T) {
	for name, wire := range wires {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := both(t, wire, count, client.Conf{})
				for _, n := range []int{1, 2, 63, 64, 65, 1000} {
					checkCount(t, c, n)
				}
			})
		})
	}
}

// Each loop over the same iterator sends the command anew, and none before it.
func TestResultsTwice(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ran := 0
		c := both(t, nil, func(ctx context.Context, cmd command, seq base.Seq, proxy base.Proxy) error {
			ran++
			return count(ctx, cmd, seq, proxy)
		}, client.Conf{})
		results := c.Results(t.Context(), command{N: 3})
		synctest.Wait()
		if ran != 0 {
			t.Error("the command was sent before the loop")
		}
		for loop := range 2 {
			got := 0
			for _, err := range results {
				if err != nil {
					t.Error(err)
				}
				got++
			}
			if got != 3 || ran != loop+1 {
				t.Errorf("loop %d: %d results, it ran %d times", loop, got, ran)
			}
		}
	})
}

func TestAnErrorIsTheLastOfTheResults(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := both(t, nil, func(_ context.Context, cmd command, seq base.Seq, proxy base.Proxy) error {
			for n := range cmd.N {
				proxy.Send(seq, result{N: n})
			}
			return errors.New("no more")
		}, client.Conf{})
		for _, n := range []int{0, 1, 5} {
			var got []string
			for r, err := range c.Results(t.Context(), command{N: n}) {
				if err != nil {
					want(t, err, base.Failed, base.ErrExec)
				}
				if (r == nil) != (err != nil) {
					t.Errorf("got %v, %v", r, err)
				}
				got = append(got, fmt.Sprint(err))
			}
			if len(got) != n+1 || got[n] != "no more" {
				t.Errorf("got %q", got)
			}
		}
		for range c.Results(t.Context(), command{}) {
			break // also at the error
		}
	})
}

// leaves are the ways out of a loop over results.
var leaves = map[string]func(c *client.Client[receiver], ctx context.Context, at int){
	"break": func(c *client.Client[receiver], ctx context.Context, at int) {
		for r := range c.Results(ctx, command{N: 100}) {
			if r.(result).N == at {
				break
			}
		}
	},
	"panic": func(c *client.Client[receiver], ctx context.Context, at int) {
		defer func() { recover() }()
		for r := range c.Results(ctx, command{N: 100}) {
			if r.(result).N == at {
				panic("loop body")
			}
		}
	},
}

// Leaving the loop cancels the command; what had come already goes to the callback.
func TestLeavingTheLoopCancels(t *testing.T) {
	for name, leave := range leaves {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				stopped := make(chan error, 1)
				var told unexpected
				c := both(t, nil, func(ctx context.Context, cmd command, seq base.Seq, proxy base.Proxy) error {
					if cmd.N < 100 {
						return echo(ctx, cmd, seq, proxy)
					}
					for n := range 10 {
						proxy.Send(seq, result{N: n + 1})
					}
					<-ctx.Done()
					stopped <- ctx.Err()
					return nil
				}, client.Conf{MaxInFlight: 1, UnexpectedResultCallback: told.callback})
				leave(c, t.Context(), 3)
				if err := <-stopped; err != context.Canceled {
					t.Errorf("the command's ctx: %v", err)
				}
				synctest.Wait()
				for i, n := range told.numbers() {
					if n != i+4 {
						t.Errorf("the callback heard of %v", told.numbers())
					}
				}
				mustDo(t, c, 7)
			})
		})
	}
}

// A command that was canceled gets no more credit: its server has ended it.
func TestACanceledCommandGetsNoCredit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newPeer(t, client.Conf{})
		left := make(chan struct{})
		go func() {
			defer close(left)
			for range c.Results(t.Context(), command{}) {
				break
			}
		}()
		f := p.expect(kindCommand)
		p.item(f.Slot, 1)
		<-left
		p.expect(kindCancel)
		for n := range 40 { // they crossed the cancel
			p.item(f.Slot, n+2)
		}
		p.fail(f.Slot, wireFailure(base.Unknown, base.ErrCanceled))
		synctest.Wait()
		done := start(t.Context(), c, command{})
		next, _ := p.read()
		if next.Kind != kindCommand {
			t.Errorf("the next frame is a %v", next.Kind)
			next = p.expect(kindCommand)
		}
		p.answer(next.Slot, 5)
		if err := (<-done).err; err != nil {
			t.Error(err)
		}
	})
}

// What a loop has left behind stands in the way of no later one.
func TestLeavingTheLoopManyTimes(t *testing.T) {
	for _, size := range []int{0, 1000, 5000} {
		t.Run(fmt.Sprint(size, " bytes"), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				body := make([]byte, size)
				l := serve(t, func(_ context.Context, cmd command, seq base.Seq, proxy base.Proxy) error {
					for n := range cmd.N {
						if err := proxy.Send(seq, result{N: n, Last: n+1 == cmd.N, Body: body}); err != nil {
							return err
						}
					}
					return nil
				}, serverConf{})
				l.OnDial(func(c, _ *memnet.Conn) { c.SetPlan(memnet.Plan{Delay: 5 * time.Millisecond}) })
				c := dial(t, l, client.Conf{})
				for loop := range 300 {
					for _, err := range c.Results(t.Context(), command{N: 1000}) {
						if err != nil {
							t.Fatalf("loop %d: %v", loop, err)
						}
						break
					}
				}
			})
		})
	}
}

// A slow loop lets the server send 64 results ahead, or 1024 small ones, and holds up
// nobody else.
func TestASlowLoopStallsItsOwnCommandOnly(t *testing.T) {
	for size, most := range map[int]int{0: 1024, 100: 512, 500: 128, 1000: 64, 10_000: 64} {
		t.Run(fmt.Sprint(size), func(t *testing.T) { aSlowLoop(t, size, most) })
	}
}

func aSlowLoop(t *testing.T, size, most int) {
	bubble(t, func(t *testing.T) {
		sent := 0
		c := both(t, nil, func(ctx context.Context, cmd command, seq base.Seq, proxy base.Proxy) error {
			if cmd.N < 1000 {
				return echo(ctx, cmd, seq, proxy)
			}
			for n := range cmd.N {
				if err := proxy.Send(seq, result{N: n, Last: n+1 == cmd.N, Body: make([]byte, size)}); err != nil {
					return err
				}
				sent++
			}
			return nil
		}, client.Conf{})
		const results = 5000
		taken, reached := 0, 0
		for _, err := range c.Results(t.Context(), command{N: results}) {
			if err != nil {
				t.Fatal(err)
			}
			if taken++; taken%100 == 1 {
				synctest.Wait()
				ahead := sent - taken
				if ahead < 31 && sent < results || ahead > most {
					t.Errorf("at result %d the server is %d ahead", taken, ahead)
				}
				reached = max(reached, ahead)
				mustDo(t, c, taken%100)
			}
		}
		if taken != results || reached < most/2 {
			t.Errorf("got %d results, the server was %d ahead", taken, reached)
		}
	})
}

// On the plain wire a loop may be slow too, and its results come all the same.
func TestASlowLoopOnThePlainWire(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := both(t, wires["plain"], count, client.Conf{})
		taken := 0
		for r, err := range c.Results(t.Context(), command{N: 500}) {
			if taken++; err != nil || r.(result).N != taken {
				t.Fatalf("got %v, %v, want %d", r, err, taken)
			}
			if taken%100 == 1 {
				synctest.Wait() // the reader stands still
			}
		}
		if taken != 500 {
			t.Errorf("got %d results", taken)
		}
	})
}

// While the reader stands still for a slow loop, nothing is read, and that does
// not mean that the server is silent.
func TestASlowLoopIsNoSilence(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := both(t, wires["plain"], count, client.Conf{KeepaliveTime: time.Second, KeepaliveIntvl: time.Second})
		taken := 0
		for _, err := range c.Results(t.Context(), command{N: 500}) {
			if taken++; err != nil {
				t.Fatal(err)
			}
			if taken%100 == 1 {
				time.Sleep(time.Minute)
			}
		}
		if taken != 500 {
			t.Errorf("got %d results", taken)
		}
	})
}

// A command that was left while the reader stood still for it lets it go on.
func TestLeavingASlowLoopOnThePlainWire(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := both(t, wires["plain"], count, client.Conf{})
		for range c.Results(t.Context(), command{N: 500}) {
			synctest.Wait()
			break
		}
		results := make(chan base.AsyncResult)
		seq := mustSend(t, c, command{N: 500}, results)
		synctest.Wait()
		c.Forget(seq)
		checkCount(t, c, 5)
	})
}

// A client whose reader stands still for a full channel can still be closed.
func TestCloseWhileThePlainReaderStandsStill(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := both(t, wires["plain"], count, client.Conf{})
		mustSend(t, c, command{N: 500}, make(chan base.AsyncResult))
		synctest.Wait()
		begin := time.Now()
		c.Close()
		if time.Since(begin) > time.Second {
			t.Errorf("Close took %v", time.Since(begin))
		}
	})
}

func TestTheCtxEndsDuringTheResults(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := both(t, nil, func(ctx context.Context, _ command, seq base.Seq, proxy base.Proxy) error {
			proxy.Send(seq, result{N: 1})
			<-ctx.Done()
			return nil
		}, client.Conf{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var errs []error
		for _, err := range c.Results(ctx, command{}) {
			if err != nil {
				errs = append(errs, err)
			}
			cancel()
		}
		if len(errs) != 1 {
			t.Fatalf("got %v", errs)
		}
		want(t, errs[0], base.Unknown, base.ErrCanceled, context.Canceled)
	})
}

func TestTimeoutOfResults(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := both(t, nil, func(ctx context.Context, _ command, seq base.Seq, proxy base.Proxy) error {
			for n := range 10 {
				if err := proxy.Send(seq, result{N: n}); err != nil {
					return err
				}
				time.Sleep(300 * time.Millisecond)
			}
			return nil
		}, client.Conf{Timeout: time.Second})
		begin, taken := time.Now(), 0
		for _, err := range c.Results(t.Context(), command{}) {
			if err == nil {
				taken++
				continue
			}
			want(t, err, base.Unknown, base.ErrDeadline, context.DeadlineExceeded)
			took(t, begin, time.Second)
		}
		if taken != 4 {
			t.Errorf("got %d results", taken)
		}
	})
}

// A stream that is slow is no client that is silent: with a keepalive, and, while it brings a
// result a second, without one too.
func TestASlowStreamIsNotIdle(t *testing.T) {
	keepalive := client.Conf{KeepaliveTime: 10 * time.Second, KeepaliveIntvl: 2 * time.Second}
	for _, test := range []struct {
		conf    client.Conf
		each    time.Duration
		results int
	}{
		{client.Conf{}, time.Second, 2000},
		{keepalive, time.Second, 2000},
		{keepalive, 7 * time.Second, 500},
		{keepalive, 3 * time.Minute, 20},
	} {
		bubble(t, func(t *testing.T) {
			l := serve(t, func(_ context.Context, cmd command, seq base.Seq, proxy base.Proxy) error {
				for n := range cmd.N {
					time.Sleep(test.each)
					if err := proxy.Send(seq, result{N: n, Last: n+1 == cmd.N}); err != nil {
						return err
					}
				}
				return nil
			}, serverConf{ReceiveTimeout: time.Minute})
			c := dial(t, l, test.conf)
			taken := 0
			for _, err := range c.Results(t.Context(), command{N: test.results}) {
				if err != nil {
					t.Fatalf("after %d results, one each %v: %v", taken, test.each, err)
				}
				taken++
			}
			if taken != test.results {
				t.Errorf("%d of %d results", taken, test.results)
			}
		})
	}
}

// The window goes down again where results become larger.
func TestTheWindowGoesDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sent := 0
		c := both(t, nil, func(_ context.Context, cmd command, seq base.Seq, proxy base.Proxy) error {
			for n := range cmd.N {
				size := 0
				if n >= 3000 {
					size = 10_000
				}
				if err := proxy.Send(seq, result{N: n, Last: n+1 == cmd.N, Body: make([]byte, size)}); err != nil {
					return err
				}
				sent++
			}
			return nil
		}, client.Conf{})
		taken, most := 0, 0
		for _, err := range c.Results(t.Context(), command{N: 7000}) {
			if err != nil {
				t.Fatal(err)
			}
			taken++
			switch synctest.Wait(); {
			case taken < 3000:
				most = max(most, sent-taken)
			case taken > 6000 && sent-taken > 64:
				t.Fatalf("at result %d the server is %d ahead", taken, sent-taken)
			}
		}
		if taken != 7000 || most < 512 {
			t.Errorf("got %d results, the server was %d ahead", taken, most)
		}
	})
}
