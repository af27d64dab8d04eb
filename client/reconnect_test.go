package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/wire"
)

func TestTheFirstDialFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := memnet.Listen()
		l.Close()
		_, err := client.NewReconnect(t.Context(), codec{}, l.Dial, client.Conf{})
		want(t, err, base.NotSent, base.ErrNotConnected, syscall.ECONNREFUSED)
		_, err = client.NewReconnect(t.Context(), codec{}, func(context.Context) (net.Conn, error) { return nil, nil }, client.Conf{})
		want(t, err, base.NotSent, base.ErrNotConnected)

		// A dialer that hangs is given as long as a hello.
		hangs := func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
		begin := time.Now()
		_, err = client.NewReconnect(t.Context(), codec{}, hangs, client.Conf{SysDataReceiveTimeout: 3 * time.Second})
		took(t, begin, 3*time.Second)
		want(t, err, base.NotSent, base.ErrNotConnected, context.DeadlineExceeded)

		other := serve(t, echo, serverConf{ServerInfo: []byte("another")})
		_, err = client.NewReconnect(t.Context(), codec{}, other.Dial, client.Conf{})
		want(t, err, base.NotSent, base.ErrServerInfo)
	})
}

// A server that is full is no error, as long as the ctx lasts.
func TestTheServerIsFullAtFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serve(t, echo, serverConf{WorkersCount: 1, FullRetryAfter: time.Second})
		first := dial(t, l, client.Conf{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begin := time.Now()
		_, err := client.NewReconnect(ctx, codec{}, l.Dial, client.Conf{})
		want(t, err, base.NotSent, base.ErrNotConnected, context.DeadlineExceeded)
		took(t, begin, time.Minute)

		time.AfterFunc(10*time.Second, func() { first.Close() })
		begin = time.Now()
		c := redial(t, l.Dial, client.Conf{})
		// The backoff has grown to 5 s at most by then.
		if d := time.Since(begin); d < 10*time.Second || d > 15*time.Second {
			t.Errorf("it connected after %v", d)
		}
		mustDo(t, c, 1)
	})
}

// states collects what a StateCallback hears.
type states struct {
	mu      sync.Mutex
	changes []client.StateChange
}

func (s *states) callback(change client.StateChange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes = append(s.changes, change)
}

// String lists the states; a number counts the attempt that failed.
func (s *states) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var words []string
	for _, change := range s.changes {
		word := change.State.String()
		if change.Attempt > 0 {
			word += fmt.Sprint(" ", change.Attempt)
		}
		if (change.Err == nil) != (change.State == client.Connected) {
			word += fmt.Sprintf(" (%v)", change.Err)
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

func TestStatesOfAReconnectingClient(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var states states
		l := memnet.Listen()
		var dials, failures int
		dialer := func(ctx context.Context) (net.Conn, error) {
			if dials++; dials > 1 && dials <= 4 {
				failures++
				return nil, syscall.ECONNREFUSED
			}
			return l.Dial(ctx)
		}
		accepted := acceptLater(t, l)
		c := redial(t, dialer, client.Conf{StateCallback: states.callback})
		p := <-accepted
		p.nc.Close()
		again := accept(t, l)
		synctest.Wait()
		again.nc.Close()
		accept(t, l)
		synctest.Wait()
		c.Close()
		const want = "connected, connecting, connecting 1, connecting 2, connecting 3, connected, connecting, connected, closed"
		if got := states.String(); got != want {
			t.Errorf("got\n%s, want\n%s", got, want)
		}
		if err := states.changes[1].Err; !errors.Is(err, base.ErrConnLost) {
			t.Errorf("the reason of Connecting is %v", err)
		}
		if e := states.changes[2]; !errors.Is(e.Err, syscall.ECONNREFUSED) || e.RetryIn <= 0 {
			t.Errorf("a failed attempt is told as %+v", e)
		}
		if err := states.changes[8].Err; !errors.Is(err, client.ErrClosed) {
			t.Errorf("the reason of Closed is %v", err)
		}
	})
}

func TestStatesOfAClientThatDoesNotReconnect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var states states
		c, p := newPeer(t, client.Conf{StateCallback: states.callback})
		p.nc.Close()
		<-c.Done()
		synctest.Wait()
		if got := states.String(); got != "connected, closed" {
			t.Errorf("got %s", got)
		}
		want(t, states.changes[1].Err, base.Unknown, base.ErrConnLost)
	})
}

// Whatever the callback does, the client goes on, and each change is told, one
// after another and the last one last.
func TestABadStateCallback(t *testing.T) {
	for name, do := range map[string]func(c *client.Client[receiver], change client.StateChange){
		"panics":             func(*client.Client[receiver], client.StateChange) { panic("callback") },
		"ends its goroutine": func(*client.Client[receiver], client.StateChange) { runtime.Goexit() },
		"takes its time":     func(*client.Client[receiver], client.StateChange) { time.Sleep(time.Minute) },
		"sends a command":    func(c *client.Client[receiver], _ client.StateChange) { c.Do(context.Background(), command{}) },
		"asks":               func(c *client.Client[receiver], _ client.StateChange) { c.Has(1); c.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := memnet.Listen()
				var conns []*memnet.Conn
				l.OnDial(func(c, _ *memnet.Conn) { conns = append(conns, c) })
				serveOn(t, l, echo, serverConf{})
				var states states
				var c *client.Client[receiver]
				made := make(chan struct{})
				var inside atomic.Int32
				c = redial(t, l.Dial, client.Conf{StateCallback: func(change client.StateChange) {
					<-made
					if inside.Add(1) > 1 {
						t.Error("two calls at once")
					}
					defer inside.Add(-1)
					states.callback(change)
					do(c, change)
				}})
				close(made)
				for n := range 3 {
					mustDo(t, c, n)
					conns[n].Cut(memnet.RST)
					mustDo(t, c, n)
				}
				c.Close()
				time.Sleep(time.Hour)
				const want = "connected, connecting, connected, connecting, connected, connecting, connected, closed"
				if got := states.String(); got != want {
					t.Errorf("got %s", got)
				}
			})
		})
	}
}

func TestCloseInTheStateCallback(t *testing.T) {
	for _, at := range []client.State{client.Connected, client.Connecting} {
		bubble(t, func(t *testing.T) {
			l := memnet.Listen()
			accepted := acceptLater(t, l)
			var states states
			var c *client.Client[receiver]
			made, duration := make(chan struct{}), make(chan time.Duration, 1)
			c = redial(t, l.Dial, client.Conf{StateCallback: func(change client.StateChange) {
				<-made
				states.callback(change)
				if change.State == at {
					begin := time.Now()
					c.Close()
					duration <- time.Since(begin)
				}
			}})
			close(made)
			(<-accepted).nc.Close()
			if d := <-duration; d > time.Second {
				t.Errorf("Close took %v", d)
			}
			synctest.Wait()
			if got := states.String(); !strings.HasSuffix(got, ", closed") || strings.Count(got, "closed") != 1 {
				t.Errorf("got %s", got)
			}
			want(t, c.Err(), base.NotSent, client.ErrClosed)
		})
	}
}

// Commands in flight end at once and are not sent again; those that were not sent
// yet go out on the new connection.
func TestCommandsAcrossALostConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := memnet.Listen()
		accepted := acceptLater(t, l)
		c := redial(t, l.Dial, client.Conf{MaxInFlight: 1})
		p := <-accepted
		flying := start(t.Context(), c, command{N: 1})
		synctest.Wait()
		var waiting []<-chan outcome
		for n := range 5 {
			waiting = append(waiting, start(t.Context(), c, command{N: n + 2}))
			synctest.Wait()
		}
		begin := time.Now()
		p.nc.Close()
		want(t, (<-flying).err, base.Unknown, base.ErrConnLost)
		took(t, begin, 0)
		results := make(chan base.AsyncResult, 1)
		sent := make(chan base.Seq)
		go func() { sent <- mustSend(t, c, command{N: 7}, results) }()

		p = accept(t, l)
		got := map[int]bool{}
		var last uint64
		for range 6 {
			f := p.expect(kindCommand)
			n := int(f.Payload[0])
			if got[n] || n == 1 {
				t.Errorf("command %d came again", n)
			}
			got[n] = true
			last += max(f.Extras.Seq, 1)
			p.answer(f.Slot, n)
		}
		for i, done := range waiting {
			if o := <-done; o.n != i+2 || o.err != nil {
				t.Errorf("command %d: got %+v", i+2, o)
			}
		}
		if seq := <-sent; seq < 2 || seq > 7 {
			t.Errorf("got the seq %d", seq)
		}
		if r := <-results; r.Err != nil || r.Result.(result).N != 7 {
			t.Errorf("got %+v", r)
		}
	})
}

// Whenever the connection is cut, no command runs twice, and each ends in what is
// true: those that did not run did not succeed, those that were not sent did not run.
func TestNoCommandRunsTwice(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var mu sync.Mutex
		ran := map[int]int{}
		l := memnet.Listen()
		var at int64
		l.OnDial(func(c, s *memnet.Conn) {
			at = (at*7 + 61) % 997
			c.SetPlan(memnet.Plan{Cut: memnet.RST, At: 150 + at, Delay: time.Millisecond})
		})
		serveOn(t, l, func(ctx context.Context, cmd command, seq base.Seq, proxy base.Proxy) error {
			mu.Lock()
			ran[cmd.N]++
			mu.Unlock()
			return echo(ctx, cmd, seq, proxy)
		}, serverConf{})
		c := redial(t, l.Dial, client.Conf{MaxInFlight: 5})
		var wg sync.WaitGroup
		ends := map[base.Outcome]int{}
		for g := range 20 {
			wg.Go(func() {
				for i := range 50 {
					n := 50*g + i
					r, err := c.Do(t.Context(), command{N: n})
					mu.Lock()
					outcome := base.OutcomeOf(err)
					ends[outcome]++
					switch {
					case ran[n] > 1:
						t.Errorf("command %d ran %d times", n, ran[n])
					case err == nil && (r.(result).N != n || ran[n] != 1):
						t.Errorf("command %d got %v and ran %d times", n, r, ran[n])
					case outcome == base.NotSent || outcome == base.Rejected || outcome == base.Failed:
						t.Errorf("command %d: %v", n, err)
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if ends[base.Succeeded] == 0 || ends[base.Unknown] == 0 {
			t.Errorf("not all that can happen did: %v", ends)
		}
	})
}

// A command that waits for a connection waits as long as it may.
func TestWaitingForAConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := memnet.Listen()
		go func() { accept(t, l).nc.Close(); l.Close() }()
		c := redial(t, l.Dial, client.Conf{Timeout: 2 * time.Second, SendTimeout: time.Second})
		time.Sleep(time.Minute)
		begin := time.Now()
		_, err := c.Do(t.Context(), command{})
		took(t, begin, 2*time.Second)
		want(t, err, base.NotSent, base.ErrDeadline)
		begin = time.Now()
		_, err = c.Send(command{}, make(chan base.AsyncResult))
		took(t, begin, time.Second)
		want(t, err, base.NotSent, base.ErrDeadline)
	})
}

// Attempts are spread out, ever wider, and close together again after a connection
// that was of use.
func TestBackoff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := memnet.Listen()
		var mu sync.Mutex
		var refused []time.Time
		refuse := false
		dialer := func(ctx context.Context) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			if refuse {
				refused = append(refused, time.Now())
				return nil, syscall.ECONNREFUSED
			}
			return l.Dial(ctx)
		}
		setRefuse := func(v bool) {
			mu.Lock()
			defer mu.Unlock()
			refuse, refused = v, nil
		}
		accepted := acceptLater(t, l)
		redial(t, dialer, client.Conf{})
		p := <-accepted
		for range 2 {
			time.Sleep(2 * time.Second) // the connection has lived
			setRefuse(true)
			begin := time.Now()
			p.nc.Close()
			time.Sleep(5 * time.Minute)
			mu.Lock()
			if n := len(refused); n < 60 || n > 400 || refused[0].Sub(begin) > 10*time.Millisecond {
				t.Errorf("%d attempts in five minutes, the first after %v", n, refused[0].Sub(begin))
			}
			for i, at := range refused[1:] {
				if at.Sub(refused[i]) > 5*time.Second {
					t.Errorf("%v between two attempts", at.Sub(refused[i]))
				}
			}
			mu.Unlock()
			setRefuse(false)
			p = accept(t, l)
		}
	})
}

// A server with another ServerInfo is not the one that was lost.
func TestAnotherServerAfterTheReconnect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := memnet.Listen()
		accepted := acceptLater(t, l)
		var states states
		c := redial(t, l.Dial, client.Conf{StateCallback: states.callback})
		p := <-accepted
		go func() {
			nc, _ := l.Accept()
			onConn(t, nc.(*memnet.Conn)).hello(wire.ServerHello{Info: []byte("another")})
		}()
		p.nc.Close()
		_, err := c.Do(t.Context(), command{})
		want(t, err, base.NotSent, base.ErrServerInfo)
		<-c.Done()
		want(t, c.Err(), base.NotSent, base.ErrServerInfo)
		synctest.Wait()
		if got := states.String(); got != "connected, connecting, closed" {
			t.Errorf("got %s", got)
		}
	})
}

// A command that was completed shows that the server is well again: the next
// attempts begin without delay.
func TestACompletedCommandResetsTheBackoff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := memnet.Listen()
		var refuse atomic.Bool
		var attempts []time.Time
		accepted := acceptLater(t, l)
		c := redial(t, func(ctx context.Context) (net.Conn, error) {
			if refuse.Load() {
				attempts = append(attempts, time.Now())
				return nil, syscall.ECONNREFUSED
			}
			return l.Dial(ctx)
		}, client.Conf{})
		p := <-accepted
		firstAttempt := func() time.Duration {
			attempts = nil
			refuse.Store(true)
			begin := time.Now()
			p.nc.Close()
			time.Sleep(time.Minute) // the backoff grows
			refuse.Store(false)
			p = accept(t, l)
			synctest.Wait()
			return attempts[0].Sub(begin)
		}
		firstAttempt()
		var longest time.Duration
		for range 10 { // chance may make some of them short
			longest = max(longest, firstAttempt())
		}
		if longest < 100*time.Millisecond {
			t.Errorf("without a completed command the first attempt came after %v at the most", longest)
		}
		done := start(t.Context(), c, command{})
		p.answer(p.expect(kindCommand).Slot, 1)
		<-done
		if d := firstAttempt(); d > 10*time.Millisecond {
			t.Errorf("after a completed command the first attempt came after %v", d)
		}
	})
}

// A Dialer that panics is an attempt that failed, and not the end of the process.
func TestADialerThatPanics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var states states
		l := memnet.Listen()
		dials := 0
		accepted := acceptLater(t, l)
		c := redial(t, func(ctx context.Context) (net.Conn, error) {
			if dials++; dials == 2 {
				panic("dialer")
			}
			return l.Dial(ctx)
		}, client.Conf{StateCallback: states.callback})
		p := <-accepted
		p.nc.Close()
		p = accept(t, l)
		done := start(t.Context(), c, command{N: 1})
		p.answer(p.expect(kindCommand).Slot, 1)
		if o := <-done; o.n != 1 || o.err != nil {
			t.Errorf("got %+v", o)
		}
		synctest.Wait()
		if got := states.String(); got != "connected, connecting, connecting 1, connected" {
			t.Errorf("got %s", got)
		}
		if err := states.changes[2].Err; !errors.Is(err, base.ErrPanic) {
			t.Errorf("the attempt failed with %v", err)
		}

		_, err := client.NewReconnect(t.Context(), codec{}, func(context.Context) (net.Conn, error) { panic("dialer") }, client.Conf{})
		want(t, err, base.NotSent, base.ErrPanic)
	})
}

// A CheckServerInfo that panics has not accepted the server.
func TestACheckServerInfoThatPanics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		panics := func([]byte) error { panic("check") }
		l := serve(t, echo, serverConf{})
		_, err := client.NewReconnect(t.Context(), codec{}, l.Dial, client.Conf{CheckServerInfo: panics})
		want(t, err, base.NotSent, base.ErrServerInfo)

		l = memnet.Listen()
		checks := 0
		accepted := acceptLater(t, l)
		c := redial(t, l.Dial, client.Conf{CheckServerInfo: func(info []byte) error {
			if checks++; checks == 2 {
				return panics(info)
			}
			return nil
		}})
		p := <-accepted
		accepted = acceptLater(t, l)
		p.nc.Close()
		<-accepted
		_, err = c.Do(t.Context(), command{})
		want(t, err, base.NotSent, base.ErrServerInfo)
		<-c.Done()
		want(t, c.Err(), base.NotSent, base.ErrServerInfo)
	})
}

// Keepalive finds the silent server, reconnect finds another connection.
func TestKeepaliveAndReconnectTogether(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := memnet.Listen()
		var conns []*memnet.Conn
		l.OnDial(func(c, s *memnet.Conn) { conns = append(conns, c, s) })
		serveOn(t, l, echo, serverConf{})
		c := redial(t, l.Dial, client.Conf{KeepaliveTime: time.Minute, KeepaliveIntvl: time.Second})
		for n := range 3 {
			mustDo(t, c, n)
			conns[2*n].Cut(memnet.Stall)
			conns[2*n+1].Cut(memnet.Stall)
			begin := time.Now()
			_, err := c.Do(t.Context(), command{N: n})
			want(t, err, base.Unknown, base.ErrConnLost, base.ErrKeepalive)
			if d := time.Since(begin); d > 62*time.Second {
				t.Errorf("it took %v to find out", d)
			}
		}
		mustDo(t, c, 3)
		time.Sleep(time.Hour) // idle
		mustDo(t, c, 4)
		if len(conns) != 8 {
			t.Errorf("there were %d connections, want 4", len(conns)/2)
		}
	})
}

// The write fails before the reader learns of the end: the command goes out on the
// next connection all the same.
func TestACommandThatFindsTheConnectionBroken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := memnet.Listen()
		var conns []*memnet.Conn
		l.OnDial(func(c, _ *memnet.Conn) { conns = append(conns, c) })
		serveOn(t, l, echo, serverConf{})
		c := redial(t, func(ctx context.Context) (net.Conn, error) {
			nc, err := l.Dial(ctx)
			return halfBroken{nc}, err
		}, client.Conf{})
		mustDo(t, c, 1)
		conns[0].Cut(memnet.FIN) // so that writes fail
		done := start(t.Context(), c, command{N: 2})
		synctest.Wait()
		mustDo(t, c, 3)
		if o := <-done; o.n != 2 || o.err != nil { // not one byte of it was written
			t.Errorf("got %+v", o)
		}
		c.Close()
		time.Sleep(time.Minute)
	})
}

// halfBroken is a connection whose reader is late to learn that it was closed.
type halfBroken struct{ net.Conn }

func (h halfBroken) Read(b []byte) (int, error) {
	n, err := h.Conn.Read(b)
	if err != nil {
		time.Sleep(time.Second)
	}
	return n, err
}

// A client that is to fail fast does not wait for its next connection, but with what has
// its Seq already.
func TestFailFast(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := memnet.Listen()
		_, s := serveOn(t, l, untilCanceled, serverConf{})
		c := redial(t, l.Dial, client.Conf{FailFast: true})
		if !c.Connected() || c.InFlight() != 0 {
			t.Errorf("connected: %v, with %d in flight", c.Connected(), c.InFlight())
		}
		ended := make(chan error, 2)
		go func() {
			_, err := c.Do(context.Background(), command{N: 1})
			ended <- err
		}()
		go func() {
			_, err := c.Do(context.Background(), harmless{command{N: 1}})
			ended <- err
		}()
		synctest.Wait()
		if n := c.InFlight(); n != 2 {
			t.Errorf("%d in flight, want 2", n)
		}
		s.Close()
		want(t, <-ended, base.Unknown, base.ErrConnLost)
		want(t, <-ended, base.Unknown, base.ErrConnLost) // it is its sender's to send it again
		synctest.Wait()
		if c.Connected() || c.InFlight() != 0 {
			t.Errorf("connected: %v, with %d in flight", c.Connected(), c.InFlight())
		}
		begin := time.Now()
		_, err := c.Do(context.Background(), command{N: 1})
		want(t, err, base.NotSent, base.ErrNotConnected)
		for _, err = range c.Results(context.Background(), command{N: 1}) {
		}
		want(t, err, base.NotSent, base.ErrNotConnected)
		_, err = c.Send(command{N: 1}, make(chan base.AsyncResult))
		want(t, err, base.NotSent, base.ErrNotConnected)
		_, err = c.Open(context.Background(), command{N: 1})
		want(t, err, base.NotSent, base.ErrNotConnected)
		took(t, begin, 0)
	})
}

// InFlight counts who waits for a place, too.
func TestInFlight(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serve(t, untilCanceled, serverConf{})
		c := dial(t, l, client.Conf{MaxInFlight: 2})
		ctx, cancel := context.WithCancel(t.Context())
		for range 5 {
			go c.Do(ctx, command{N: 1})
		}
		synctest.Wait()
		if n := c.InFlight(); n != 5 {
			t.Errorf("%d in flight, want 5", n)
		}
		cancel()
		time.Sleep(time.Second) // until the server has ended them
		if n := c.InFlight(); n != 0 {
			t.Errorf("%d in flight, want 0", n)
		}
		c.Close()
		if c.Connected() {
			t.Error("it is connected after Close")
		}
	})
}

// A client begins to count where it is told to, over any connection.
func TestFirstSeq(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serve(t, echo, serverConf{})
		const first = 3<<44 + 1
		c := redial(t, l.Dial, client.Conf{FirstSeq: first})
		results := make(chan base.AsyncResult, 1)
		for i := range base.Seq(3) {
			seq, err := c.Send(command{N: 1}, results)
			if r := <-results; seq != first+i || r.Seq != seq || err != nil || r.Err != nil {
				t.Errorf("got %d, %v and %+v, want %d", seq, err, r, first+i)
			}
		}
		_, err := client.NewReconnect(t.Context(), codec{}, l.Dial, client.Conf{FirstSeq: -1})
		want(t, err, base.NotSent, base.ErrConf)
	})
}

// untilCanceled waits until its command is given up.
func untilCanceled(ctx context.Context, _ command, _ base.Seq, _ base.Proxy) error {
	<-ctx.Done()
	return ctx.Err()
}

// How long a connection has lived counts from the end of its hello: a server that is slow with that, and
// then closes, is not dialed again at once.
func TestTheTimeOfAHelloIsNoLife(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := memnet.Listen()
		defer l.Close()
		var dials atomic.Int32
		go func() {
			for {
				nc, err := l.Accept()
				if err != nil {
					return
				}
				p := onConn(t, nc.(*memnet.Conn))
				time.Sleep(1200 * time.Millisecond)
				p.hello(wire.ServerHello{})
				p.nc.Close()
			}
		}()
		c := redial(t, func(ctx context.Context) (net.Conn, error) { dials.Add(1); return l.Dial(ctx) }, client.Conf{})
		time.Sleep(2 * time.Minute)
		if n := dials.Load(); n < 10 || n > 60 { // one after the other it would be 100
			t.Errorf("it dials %d times in two minutes", n)
		}
		c.Close()
		time.Sleep(2 * time.Second)
	})
}
