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

// After a goaway the old connection finishes what it has, and new commands go to
// another one.
func TestGoaway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := memnet.Listen()
		accepted := acceptLater(t, l)
		c := redial(t, l.Dial, client.Conf{MaxInFlight: 2})
		old := <-accepted
		var states []<-chan outcome
		for n := range 4 { // two of them wait for a place
			states = append(states, start(t.Context(), c, command{N: n}))
			synctest.Wait()
		}
		old.expect(kindCommand)
		old.expect(kindCommand)
		old.goaway("maintenance")
		fresh := accept(t, l)
		for range 2 {
			f := fresh.expect(kindCommand)
			fresh.answer(f.Slot, int(f.Payload[0]))
		}
		for _, n := range []int{2, 3} {
			if o := <-states[n]; o.n != n || o.err != nil {
				t.Errorf("command %d: got %+v", n, o)
			}
		}
		time.Sleep(time.Hour)
		old.goaway("again") // changes nothing
		old.answer(0, 0)
		old.answer(1, 1)
		for n := range 2 {
			if o := <-states[n]; o.n != n || o.err != nil {
				t.Errorf("command %d: got %+v", n, o)
			}
		}
		old.ended() // the client closes it when it is idle
		done := start(t.Context(), c, command{})
		fresh.answer(fresh.expect(kindCommand).Slot, 5)
		if o := <-done; o.n != 5 {
			t.Errorf("got %+v", o)
		}
	})
}

// A command that is sent again keeps its deadline, on a slot whose last command had a later one.
func TestTheDeadlineOfACommandThatIsSentAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := memnet.Listen()
		accepted := acceptLater(t, l)
		begin := time.Now()
		c := redial(t, l.Dial, client.Conf{Timeout: 5 * time.Second})
		old := <-accepted
		again := start(t.Context(), c, command{N: 1})
		first := old.expect(kindCommand)
		old.goaway("maintenance")
		fresh := accept(t, l)
		time.Sleep(3 * time.Second)
		other := start(t.Context(), c, command{N: 2})
		fresh.answer(fresh.expect(kindCommand).Slot, 2)
		if o := <-other; o.err != nil {
			t.Fatal(o.err)
		}
		time.Sleep(time.Second)
		old.fail(first.Slot, wireFailure(base.Rejected, base.ErrDraining))
		if f := fresh.expect(kindCommand); f.Extras.Timeout > 1e6 {
			t.Errorf("the wire tells %d µs, want 1 s at most", f.Extras.Timeout)
		}
		want(t, (<-again).err, base.Unknown, base.ErrDeadline)
		took(t, begin, 5*time.Second)
	})
}

// A link that has ended leaves no timer behind: the wheel would hold on to all of its slots.
func TestALinkThatHasEndedLeavesNoTimer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := memnet.Listen()
		accepted := acceptLater(t, l)
		c := redial(t, l.Dial, client.Conf{Timeout: time.Hour})
		old := <-accepted
		var open []<-chan outcome
		for n := range 3 {
			open = append(open, start(t.Context(), c, command{N: n}))
			old.expect(kindCommand)
		}
		for slot := range uint64(2) { // these will be free
			old.answer(slot, 0)
		}
		ctx, cancel := context.WithCancel(t.Context())
		open = append(open, start(ctx, c, command{}))
		old.expect(kindCommand)
		armed := client.Armed(c)
		old.nc.Close()
		cancel()
		accept(t, l)
		for _, done := range open {
			<-done
		}
		synctest.Wait()
		if n := armed(); n > 0 {
			t.Errorf("%d timers run on", n)
		}
	})
}

// A command that crossed the goaway is refused by the server, and sent again.
func TestACommandThatCrossesTheGoaway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := memnet.Listen()
		accepted := acceptLater(t, l)
		c := redial(t, l.Dial, client.Conf{})
		old := <-accepted
		do := start(t.Context(), c, command{N: 1})
		synctest.Wait()
		loop := make(chan outcome, 10)
		go func() {
			for r, err := range c.Results(context.Background(), command{N: 2}) {
				o := outcome{err: err}
				if err == nil {
					o.n = r.(result).N
				}
				loop <- o
			}
		}()
		synctest.Wait()
		results := make(chan base.AsyncResult, 1)
		mustSend(t, c, command{N: 3}, results)
		old.goaway("maintenance")
		for range 3 {
			old.fail(old.expect(kindCommand).Slot, wireFailure(base.Rejected, base.ErrDraining))
		}
		fresh := accept(t, l)
		for range 3 {
			f := fresh.expect(kindCommand)
			fresh.answer(f.Slot, int(f.Payload[0]))
		}
		if o := <-do; o.n != 1 || o.err != nil {
			t.Errorf("got %+v", o)
		}
		if o := <-loop; o.n != 2 || o.err != nil {
			t.Errorf("got %+v", o)
		}
		if r := <-results; r.Seq != 3 || r.Err != nil || r.Result.(result).N != 3 {
			t.Errorf("got %+v", r) // its Seq is the one that Send has returned
		}
		old.ended()
	})
}

func TestGoawayWithoutReconnect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newPeer(t, client.Conf{})
		done := start(t.Context(), c, command{})
		f := p.expect(kindCommand)
		p.goaway("maintenance")
		synctest.Wait()
		_, err := c.Do(t.Context(), command{})
		want(t, err, base.Rejected, base.ErrDraining)
		_, err = c.Send(command{}, make(chan base.AsyncResult))
		want(t, err, base.Rejected, base.ErrDraining)
		if c.Err() != nil {
			t.Errorf("the client has ended: %v", c.Err())
		}
		p.answer(f.Slot, 1)
		if o := <-done; o.n != 1 {
			t.Errorf("got %+v", o)
		}
		p.ended()
		<-c.Done()
		want(t, c.Err(), base.Rejected, base.ErrDraining)
	})
}

// Those who wait for a place when the goaway comes are refused, too.
func TestGoawayWithoutReconnectWhileCommandsWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newPeer(t, client.Conf{MaxInFlight: 1})
		first := start(t.Context(), c, command{})
		synctest.Wait()
		second := start(t.Context(), c, command{})
		p.expect(kindCommand)
		synctest.Wait()
		p.goaway("maintenance")
		want(t, (<-second).err, base.Rejected, base.ErrDraining)
		p.answer(0, 1)
		<-first
		<-c.Done()
	})
}

// A real server drains; no command is lost, and none is refused that need not be.
func TestServersThatDrainInTurn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var mu sync.Mutex
		far := func() *memnet.Listener { // commands cross the goaway
			l := memnet.Listen()
			l.OnDial(func(near, _ *memnet.Conn) { near.SetPlan(memnet.Plan{Delay: 20 * time.Millisecond}) })
			return l
		}
		l, s := serveOn(t, far(), echo, serverConf{})
		dialer := func(ctx context.Context) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			return l.Dial(ctx)
		}
		c := redial(t, dialer, client.Conf{MaxInFlight: 4})
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for g := range 10 {
			wg.Go(func() {
				for n := g; ; n += 10 {
					select {
					case <-stop:
						return
					default:
					}
					if g%2 == 0 {
						mustDo(t, c, n)
					} else {
						mustOpen(t, c, n)
					}
					time.Sleep(50 * time.Millisecond)
				}
			})
		}
		for range 5 {
			time.Sleep(3 * time.Second)
			mu.Lock()
			old := s
			l, s = serveOn(t, far(), echo, serverConf{})
			mu.Unlock()
			if err := old.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		}
		close(stop)
		wg.Wait()
	})
}

// mustOpen is mustDo of a command that is sent inputs.
func mustOpen(t *testing.T, c *client.Client[receiver], n int) {
	t.Helper()
	call, err := c.Open(t.Context(), command{N: n})
	if err != nil {
		t.Errorf("command %d: %v", n, err)
		return
	}
	defer call.Close()
	for range 3 {
		call.Send([]byte("x")) // io.EOF once the answer has come
	}
	if r, err := call.Receive(); err != nil || r.(result).N != n {
		t.Errorf("command %d: %v, %v", n, r, err)
	}
}
