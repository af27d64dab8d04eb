package client_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/wire"
)

// mustSend sends a command, which must work.
func mustSend(t testing.TB, c *client.Client[receiver], cmd command, results chan<- base.AsyncResult) base.Seq {
	t.Helper()
	seq, err := c.Send(cmd, results)
	if err != nil {
		t.Errorf("Send: %v", err)
	}
	return seq
}

// gets checks the next result in a channel.
func gets(t testing.TB, results <-chan base.AsyncResult, seq base.Seq, n int) {
	t.Helper()
	r := <-results
	if r.Err != nil || r.Seq != seq || r.Result.(result).N != n {
		t.Errorf("got %+v, want the result %d of command %d", r, n, seq)
	}
}

func TestResultsOfACommandKeepTheirOrder(t *testing.T) {
	for name, wire := range wires {
		for _, capacity := range []int{0, 1, 2, 5, 16, 100} {
			t.Run(fmt.Sprint(name, ", capacity ", capacity), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					c := both(t, wire, count, client.Conf{})
					results := make(chan base.AsyncResult, capacity)
					seq := mustSend(t, c, command{N: 200}, results)
					for n := range 200 {
						if n%50 == 0 {
							synctest.Wait() // all that can come has come
						}
						gets(t, results, seq, n+1)
					}
					synctest.Wait()
					if c.Has(seq) || len(results) > 0 {
						t.Errorf("Has says %v, %d results are left", c.Has(seq), len(results))
					}
				})
			})
		}
	}
}

func TestOneChannelForManyCommands(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := both(t, nil, count, client.Conf{})
		results := make(chan base.AsyncResult, 7)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { mustSend(t, c, command{N: 20}, results) })
		}
		next := map[base.Seq]int{}
		for range 50 * 20 {
			r := <-results
			next[r.Seq]++
			if r.Err != nil || r.Result.(result).N != next[r.Seq] {
				t.Fatalf("got %+v, want the result %d", r, next[r.Seq])
			}
		}
		wg.Wait()
		if len(next) != 50 {
			t.Errorf("results of %d commands came", len(next))
		}
	})
}

// The server may send as many results ahead as the channel has room for, 1 to 16,
// and is told when some were taken.
func TestCreditIsTheChannelsCapacity(t *testing.T) {
	for capacity, want := range map[int]int{0: 1, 1: 1, 2: 2, 9: 9, 16: 16, 17: 16, 1000: 16} {
		t.Run(fmt.Sprint("capacity ", capacity), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c, p := newPeer(t, client.Conf{})
				results := make(chan base.AsyncResult, capacity)
				mustSend(t, c, command{}, results)
				f := p.expect(kindCommand)
				if got := max(int(f.Extras.Credit), 1); got != want {
					t.Errorf("the credit is %d, want %d", got, want)
				}
				for n := range want {
					p.item(f.Slot, n)
				}
				taken, returned := 0, 0
				for taken < want {
					<-results
					taken++
				}
				for returned < want {
					n, err := wire.ParseCredit(p.expect(kindCredit).Payload)
					if err != nil {
						t.Error(err)
					}
					returned += int(n)
				}
				if returned != want {
					t.Errorf("%d results were credited, want %d", returned, want)
				}
			})
		})
	}
}

// A channel that is full stops the server after as many results as it was given
// credit for, and no other command.
func TestAFullChannelHoldsUpItsOwnCommandOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sent := 0
		c := both(t, nil, func(ctx context.Context, cmd command, seq base.Seq, proxy base.Proxy) error {
			if cmd.N < 100 {
				return echo(ctx, cmd, seq, proxy)
			}
			for n := range cmd.N {
				if err := proxy.Send(seq, result{N: n, Last: n+1 == cmd.N}); err != nil {
					return err
				}
				sent++
			}
			return nil
		}, client.Conf{})
		full := make(chan base.AsyncResult, 4)
		seq := mustSend(t, c, command{N: 100}, full)
		synctest.Wait()
		if sent > 12 {
			t.Errorf("the server sent %d results to a channel of 4", sent)
		}
		for n := range 50 {
			mustDo(t, c, n)
			one := make(chan base.AsyncResult, 1)
			gets(t, one, mustSend(t, c, command{N: n}, one), n)
		}
		for n := range 100 {
			gets(t, full, seq, n)
		}
	})
}

func TestErrorsArriveInTheChannel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := both(t, nil, func(_ context.Context, _ command, seq base.Seq, proxy base.Proxy) error {
			proxy.Send(seq, result{N: 1})
			return errors.New("out of order")
		}, client.Conf{})
		for _, capacity := range []int{0, 1, 2} {
			results := make(chan base.AsyncResult, capacity)
			seq := mustSend(t, c, command{}, results)
			gets(t, results, seq, 1)
			r := <-results
			want(t, r.Err, base.Failed, base.ErrExec)
			if r.Seq != seq || r.Result != nil || r.Err.Error() != "out of order" {
				t.Errorf("got %+v", r)
			}
			if c.Has(seq) {
				t.Error("the command is open after its error")
			}
		}
	})
}

func TestForget(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var told unexpected
		c, p := newPeer(t, client.Conf{UnexpectedResultCallback: told.callback})
		results := make(chan base.AsyncResult, 10)
		seq := mustSend(t, c, command{}, results)
		f := p.expect(kindCommand)
		p.item(f.Slot, 1)
		gets(t, results, seq, 1)
		c.Forget(seq)
		c.Forget(seq)
		c.Forget(seq + 1)
		c.Forget(-1)
		if c.Has(seq) {
			t.Error("a forgotten command is open")
		}
		p.item(f.Slot, 2)
		p.answer(f.Slot, 3)
		synctest.Wait()
		if got := told.numbers(); fmt.Sprint(got) != "[2 3]" || told.seqs[0] != seq {
			t.Errorf("the callback heard of %v, of the commands %v", got, told.seqs)
		}
		if len(results) > 0 {
			t.Errorf("got %+v", <-results)
		}
		// Its slot is free again.
		done := start(t.Context(), c, command{})
		if f := p.expect(kindCommand); f.Slot != 0 {
			t.Errorf("the next command is on slot %d", f.Slot)
		}
		c.Forget(seq + 1) // has no effect on Do
		p.answer(0, 4)
		if o := <-done; o.n != 4 {
			t.Errorf("got %+v", o)
		}
	})
}

// What the full channel had not taken goes to the callback.
func TestForgetWhileTheChannelIsFull(t *testing.T) {
	for _, capacity := range []int{0, 1, 3} {
		bubble(t, func(t *testing.T) {
			var told unexpected
			c := both(t, nil, count, client.Conf{UnexpectedResultCallback: told.callback})
			results := make(chan base.AsyncResult, capacity)
			seq := mustSend(t, c, command{N: 100}, results)
			synctest.Wait()
			c.Forget(seq)
			synctest.Wait() // the server goes on, since a forgotten command has credit
			taken := len(results)
			for n := range taken {
				gets(t, results, seq, n+1)
			}
			got := told.numbers()
			if taken != capacity || len(got) != 100-taken {
				t.Fatalf("%d results were taken, %d told", taken, len(got))
			}
			for i, n := range got {
				if n != taken+i+1 {
					t.Fatalf("the callback heard of %v", got)
				}
			}
		})
	}
}

// A large command that is forgotten while it is sent once more stays forgotten.
func TestForgetWhileItIsSentAnew(t *testing.T) {
	for range 30 {
		bubble(t, func(t *testing.T) {
			l := memnet.Listen()
			accepted := acceptLater(t, l)
			var told unexpected
			c := redial(t, l.Dial, client.Conf{UnexpectedResultCallback: told.callback})
			p := <-accepted
			results := make(chan base.AsyncResult, 1)
			sent := make(chan base.Seq)
			go func() {
				seq, err := c.Send(harmless{command{Body: make([]byte, 1<<20)}}, results)
				if err != nil {
					t.Error(err)
				}
				sent <- seq
			}()
			go p.drain()
			seq := <-sent
			accepted = acceptLater(t, l)
			p.nc.Cut(memnet.RST)
			p = <-accepted
			time.Sleep(time.Millisecond) // all is sent that finds room
			if !c.Has(seq) {
				t.Error("it is not open")
			}
			c.Forget(seq)
			if c.Has(seq) {
				t.Error("it is open")
			}
			go p.drain()
			time.Sleep(time.Millisecond)
			p.answer(0, 7)
			synctest.Wait()
			if got := told.numbers(); len(results) > 0 || fmt.Sprint(got) != "[7]" {
				t.Errorf("%d results went into its channel, the callback heard of %v", len(results), got)
			}
			if n := c.InFlight(); n != 0 {
				t.Errorf("%d in flight", n)
			}
		})
	}
}

// drain reads all that comes.
func (p *peer) drain() {
	for {
		if _, ok := p.read(); !ok {
			return
		}
	}
}

// Once Forget has returned nothing more goes into the channel, at whatever moment it is called.
func TestNothingComesAfterForget(t *testing.T) {
	l := serve(t, count, serverConf{})
	c := dial(t, l, client.Conf{})
	for range 500 {
		results := make(chan base.AsyncResult, 10_000)
		seq := mustSend(t, c, command{N: 5000}, results)
		for len(results) < 5 {
			runtime.Gosched()
		}
		c.Forget(seq)
		n := len(results)
		for range 5 {
			time.Sleep(20 * time.Microsecond)
		}
		if now := len(results); now > n {
			t.Fatalf("%d results came after it", now-n)
		}
	}
}

// Without a callback a forgotten command still runs to its end.
func TestForgetWithoutACallback(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ended := make(chan error, 1)
		c := both(t, nil, func(ctx context.Context, cmd command, seq base.Seq, proxy base.Proxy) error {
			err := count(ctx, cmd, seq, proxy)
			ended <- err
			return err
		}, client.Conf{MaxInFlight: 1})
		c.Forget(mustSend(t, c, command{N: 1000}, make(chan base.AsyncResult)))
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if r, err := c.Do(t.Context(), command{N: 1}); err != nil {
			t.Errorf("got %v, %v", r, err)
		}
	})
}

func TestAClosedChannelCountsAsForgotten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var told unexpected
		c := both(t, nil, count, client.Conf{UnexpectedResultCallback: told.callback, MaxInFlight: 1})
		results := make(chan base.AsyncResult, 1)
		mustSend(t, c, command{N: 5}, results)
		synctest.Wait()
		close(results) // while a delivery waits
		synctest.Wait()
		if got := told.numbers(); fmt.Sprint(got) != "[2 3 4 5]" {
			t.Errorf("the callback heard of %v", got)
		}
		mustSend(t, c, command{N: 1}, results)
		synctest.Wait()
		if got := told.numbers(); fmt.Sprint(got) != "[2 3 4 5 1]" {
			t.Errorf("the callback heard of %v", got)
		}
		if _, err := c.Do(t.Context(), command{N: 1}); err != nil {
			t.Error(err)
		}
	})
}

// Timeout ends a command of Send by an error in its channel, and its slot is used
// again once the server has answered.
func TestTimeoutOfSend(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var told unexpected
		c, p := newPeer(t, client.Conf{Timeout: time.Second, MaxInFlight: 1, UnexpectedResultCallback: told.callback})
		begin := time.Now()
		results := make(chan base.AsyncResult)
		seq := mustSend(t, c, command{}, results)
		f := p.expect(kindCommand)
		p.item(f.Slot, 1)
		gets(t, results, seq, 1)
		r := <-results
		took(t, begin, time.Second)
		want(t, r.Err, base.Unknown, base.ErrDeadline, context.DeadlineExceeded)
		if r.Seq != seq || c.Has(seq) {
			t.Errorf("got %+v, Has says %v", r, c.Has(seq))
		}
		p.expect(kindCancel)
		p.item(f.Slot, 2)
		p.fail(f.Slot, wireFailure(base.Unknown, base.ErrCanceled))
		synctest.Wait()
		if got := told.numbers(); fmt.Sprint(got) != "[2]" {
			t.Errorf("the callback heard of %v", got)
		}
		done := start(t.Context(), c, command{})
		p.answer(p.expect(kindCommand).Slot, 3)
		if o := <-done; o.n != 3 {
			t.Errorf("got %+v", o)
		}
	})
}

// The deadline passes while the channel takes nothing: what has come goes first.
func TestTimeoutOfSendWhileTheChannelIsFull(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newPeer(t, client.Conf{Timeout: time.Second})
		results := make(chan base.AsyncResult)
		seq := mustSend(t, c, command{}, results)
		f := p.expect(kindCommand)
		p.item(f.Slot, 1)
		time.Sleep(time.Minute)
		gets(t, results, seq, 1)
		want(t, (<-results).Err, base.Unknown, base.ErrDeadline)
	})
}

// The deadline passes while there is no connection, and none has taken the command:
// it is not sent, and never will be, by Send as by Do. Whoever takes the error late has
// not lost his slot meanwhile.
func TestTimeoutOfSendBeforeItLeaves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p, l, session := openSession(t, client.Conf{Timeout: 2 * time.Second})
		stuck := make(chan base.AsyncResult, 16)
		for range 9 { // more than the connection takes
			mustSend(t, c, command{N: 1, Body: body(8000)}, stuck)
		}
		done := start(t.Context(), c, command{N: 2})
		results := make(chan base.AsyncResult)
		seq := mustSend(t, c, command{N: 3}, results)
		synctest.Wait()
		p.nc.Cut(memnet.RST)
		time.Sleep(3 * time.Second)
		want(t, (<-done).err, base.NotSent, base.ErrDeadline)

		p, slots := resumed(t, l, session, 2)
		var answer []wire.ServerSlot
		for _, s := range slots {
			if !s.Canceled {
				t.Errorf("%+v is listed", s)
			}
			answer = append(answer, wire.ServerSlot{Slot: s.Slot})
		}
		p.stand(answer...)
		synctest.Wait()
		for range 2 { // on all slots, but for that whose error nobody has taken; and then on that, too
			var all []<-chan outcome
			for range 11 {
				all = append(all, start(t.Context(), c, command{N: 4}))
			}
			for range all {
				f := p.expect(kindCommand)
				if f.Payload[0] != 4 {
					t.Errorf("command %d was sent", f.Payload[0])
				}
				p.answer(f.Slot, 5)
			}
			for _, done := range all {
				if o := <-done; o.n != 5 {
					t.Errorf("got %+v", o)
				}
			}
			if r, open := <-results; open {
				want(t, r.Err, base.NotSent, base.ErrDeadline)
				if r.Seq != seq {
					t.Errorf("got %+v", r)
				}
				close(results)
			}
			synctest.Wait()
		}
	})
}

// A result that can't be decoded ends its command, even if more would follow.
func TestAResultThatCantBeDecodedCancelsSend(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var told unexpected
		c, p := newPeer(t, client.Conf{MaxInFlight: 1, UnexpectedResultCallback: told.callback})
		results := make(chan base.AsyncResult, 5)
		seq := mustSend(t, c, command{}, results)
		f := p.expect(kindCommand)
		b := appendFrame(nil, kindResult, 0, f.Slot, []byte{0})
		p.write(appendFrame(b, kindResult, 0, f.Slot, encodeResult(result{N: 2})))
		r := <-results
		want(t, r.Err, base.Failed, base.ErrDecode)
		p.expect(kindCancel)
		p.item(f.Slot, 3)
		p.answer(f.Slot, 4)
		synctest.Wait()
		if got := told.numbers(); fmt.Sprint(got) != "[2 3 4]" || len(results) > 0 || c.Has(seq) {
			t.Errorf("the callback heard of %v; %d more came; Has says %v", got, len(results), c.Has(seq))
		}
		done := start(t.Context(), c, command{})
		p.answer(p.expect(kindCommand).Slot, 5)
		if o := <-done; o.n != 5 {
			t.Errorf("got %+v", o)
		}
	})
}

// SendTimeout bounds the waiting for a place among the commands in flight.
func TestSendTimeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newPeer(t, client.Conf{MaxInFlight: 1, SendTimeout: time.Second})
		results := make(chan base.AsyncResult, 1)
		first := mustSend(t, c, command{}, results)
		begin := time.Now()
		_, err := c.Send(command{}, results)
		took(t, begin, time.Second)
		want(t, err, base.NotSent, base.ErrDeadline)
		time.Sleep(time.Minute) // it is no deadline of the command
		p.answer(p.expect(kindCommand).Slot, 1)
		gets(t, results, first, 1)

		defaults, _ := newPeer(t, client.Conf{MaxInFlight: 1})
		mustSend(t, defaults, command{}, results)
		begin = time.Now()
		_, err = defaults.Send(command{}, results)
		took(t, begin, client.DefaultSendTimeout)
		want(t, err, base.NotSent, base.ErrDeadline)
	})
}

// The callback may take its time, or panic, without hurting the commands.
func TestABadCallbackHurtsNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		block := make(chan struct{})
		var got []int
		c := both(t, nil, count, client.Conf{UnexpectedResultCallback: func(_ base.Seq, r base.Result) {
			n := r.(result).N
			switch n {
			case 1:
				panic("callback")
			case 3:
				<-block
			}
			got = append(got, n)
		}})
		c.Forget(mustSend(t, c, command{N: 4}, make(chan base.AsyncResult)))
		synctest.Wait()
		for range 100 {
			if _, err := c.Do(t.Context(), command{N: 1}); err != nil {
				t.Fatal(err)
			}
		}
		close(block)
		synctest.Wait()
		if fmt.Sprint(got) != "[2 3 4]" {
			t.Errorf("the callback heard of %v", got)
		}
	})
}

// A callback that ends its goroutine hears of the next results all the same.
func TestACallbackThatEndsItsGoroutine(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var told unexpected
		c := both(t, nil, count, client.Conf{UnexpectedResultCallback: func(seq base.Seq, r base.Result) {
			told.callback(seq, r)
			runtime.Goexit()
		}})
		c.Forget(mustSend(t, c, command{N: 4}, make(chan base.AsyncResult)))
		synctest.Wait()
		if got := told.numbers(); fmt.Sprint(got) != "[1 2 3 4]" {
			t.Errorf("the callback heard of %v", got)
		}
	})
}

// A result that nobody waits for and nobody can decode is passed over.
func TestAnUnexpectedResultThatCantBeDecoded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var told unexpected
		c, p := newPeer(t, client.Conf{UnexpectedResultCallback: told.callback})
		c.Forget(mustSend(t, c, command{}, make(chan base.AsyncResult)))
		f := p.expect(kindCommand)
		p.send(kindResult, 0, f.Slot, []byte{0})
		p.expect(kindCredit)
		p.item(f.Slot, 2)
		synctest.Wait()
		if got := told.numbers(); fmt.Sprint(got) != "[2]" {
			t.Errorf("the callback heard of %v", got)
		}
	})
}
