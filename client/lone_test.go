package client_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/wire"
)

// newLone returns a client whose callers read their answers themselves, since one at a
// time has called.
func newLone(t *testing.T, conf client.Conf) (*client.Client[receiver], *peer) {
	t.Helper()
	c, p := newPeer(t, conf)
	alone(t, c, p)
	if !client.ReadByCallers(c) {
		t.Error("the link's goroutine still reads")
	}
	return c, p
}

func TestLoneCallersReadTheirAnswers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newLone(t, client.Conf{})
		for range 20 {
			alone(t, c, p)
		}
		if !client.ReadByCallers(c) {
			t.Error("they do no longer")
		}
		time.Sleep(11 * time.Millisecond)
		if client.ReadByCallers(c) {
			t.Error("nobody reads, though nobody has called for a while")
		}
	})
}

// Calls that are rare are not worth it; those before a pause do not count.
func TestRareCallersDoNotReadTheirAnswers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newPeer(t, client.Conf{})
		for n := range 20 {
			if n%3 == 0 {
				time.Sleep(6 * time.Millisecond)
			}
			call(t, c, p, n)
			if client.ReadByCallers(c) {
				t.Fatalf("call %d: they do", n)
			}
		}
	})
}

// Whatever comes beside the answer that a lone caller reads, or between two calls, is
// dealt with at once.
func TestNobodyWaitsForALoneCaller(t *testing.T) {
	for name, beside := range map[string]func(t *testing.T, c *client.Client[receiver], p *peer){
		"another call": func(t *testing.T, c *client.Client[receiver], p *peer) {
			second := start(t.Context(), c, command{})
			p.answer(p.expect(kindCommand).Slot, 2)
			if o := <-second; o.err != nil || o.n != 2 {
				t.Errorf("got %v", o)
			}
		},
		"a command of Send": func(t *testing.T, c *client.Client[receiver], p *peer) {
			results := make(chan base.AsyncResult, 1)
			mustSend(t, c, command{}, results)
			p.answer(p.expect(kindCommand).Slot, 2)
			if r := <-results; r.Err != nil || r.Result.(result).N != 2 {
				t.Errorf("got %v", r)
			}
		},
		"Results": func(t *testing.T, c *client.Client[receiver], p *peer) {
			next, stop := pull(c, t.Context())
			defer stop()
			go func() {
				slot := p.expect(kindCommand).Slot
				p.item(slot, 1)
				p.answer(slot, 2)
			}()
			for n := range 2 {
				if r, err, _ := next(); err != nil || r.(result).N != n+1 {
					t.Errorf("got %v, %v", r, err)
				}
			}
		},
		"a large result for another": func(t *testing.T, c *client.Client[receiver], p *peer) {
			second := start(t.Context(), c, command{})
			p.send(kindResult, wire.FlagLast, p.expect(kindCommand).Slot, encodeResult(result{N: 2, Last: true, Body: make([]byte, 50_000)}))
			if o := <-second; o.err != nil || o.n != 2 {
				t.Errorf("got %v", o)
			}
		},
		"a goaway": func(t *testing.T, c *client.Client[receiver], p *peer) {
			p.goaway("bye")
			synctest.Wait()
			_, err := c.Do(t.Context(), command{})
			want(t, err, base.Rejected, base.ErrDraining)
		},
	} {
		t.Run(name+" between calls", func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c, p := newLone(t, client.Conf{})
				begin := time.Now()
				if name != "a goaway" { // which the link's goroutine notices in its time
					beside(t, c, p)
				}
				if since := time.Since(begin); since != 0 {
					t.Errorf("it took %v", since)
				}
			})
		})
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c, p := newLone(t, client.Conf{})
				first := start(t.Context(), c, command{})
				slot := p.expect(kindCommand).Slot
				synctest.Wait()
				begin := time.Now()
				beside(t, c, p)
				p.answer(slot, 1)
				if o := <-first; o.err != nil || o.n != 1 {
					t.Errorf("the first got %v", o)
				}
				if since := time.Since(begin); since != 0 {
					t.Errorf("it took %v", since)
				}
			})
		})
	}
}

// What is left when a lone caller has its answer is dealt with at once too.
func TestALoneCallerLeavesNothingUnread(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newLone(t, client.Conf{})
		begin := time.Now()
		first, second := start(t.Context(), c, command{}), start(t.Context(), c, command{})
		slots := []uint64{p.expect(kindCommand).Slot, p.expect(kindCommand).Slot}
		synctest.Wait()
		for _, slot := range slots {
			p.answer(slot, 1)
			synctest.Wait()
		}
		<-first
		<-second
		if since := time.Since(begin); since != 0 {
			t.Errorf("two answers took %v", since)
		}
	})
	bubble(t, func(t *testing.T) {
		c, p := newLone(t, client.Conf{})
		done := start(t.Context(), c, command{})
		answer := appendFrame(nil, kindResult, wire.FlagLast, p.expect(kindCommand).Slot, encodeResult(result{Last: true}))
		p.write(appendFrame(answer, kindGoaway, 0, 0, wire.AppendGoaway(nil, wire.Goaway{Reason: "bye"})))
		<-done
		synctest.Wait()
		begin := time.Now()
		_, err := c.Do(t.Context(), command{})
		want(t, err, base.Rejected, base.ErrDraining)
		if since := time.Since(begin); since != 0 {
			t.Errorf("it took %v", since)
		}
	})
}

// A lone caller's wait ends by all that ends one.
func TestALoneCallersWaitEnds(t *testing.T) {
	for name, test := range map[string]struct {
		end     func(cancel func(), c *client.Client[receiver], p *peer)
		outcome base.Outcome
		code    error
	}{
		"by its ctx":       {func(cancel func(), _ *client.Client[receiver], _ *peer) { cancel() }, base.Unknown, base.ErrCanceled},
		"by Conf.Timeout":  {func(func(), *client.Client[receiver], *peer) { time.Sleep(time.Minute) }, base.Unknown, base.ErrDeadline},
		"by Close":         {func(_ func(), c *client.Client[receiver], _ *peer) { c.Close() }, base.Unknown, client.ErrClosed},
		"by a failure":     {func(_ func(), _ *client.Client[receiver], p *peer) { p.fail(0, wireFailure(base.Failed, base.ErrExec)) }, base.Failed, base.ErrExec},
		"by the peer":      {func(_ func(), _ *client.Client[receiver], p *peer) { p.nc.Close() }, base.Unknown, base.ErrConnLost},
		"by a broken rule": {func(_ func(), _ *client.Client[receiver], p *peer) { p.write([]byte{0xf0, 0, 0}) }, base.Unknown, base.ErrProtocol},
		"by half a frame": {func(cancel func(), _ *client.Client[receiver], p *peer) {
			p.write([]byte{0x21, 0})
			synctest.Wait()
			cancel()
		}, base.Unknown, base.ErrCanceled},
		"by half a long one": {func(cancel func(), _ *client.Client[receiver], p *peer) {
			p.write(appendFrame(nil, kindResult, wire.FlagLast, 0, make([]byte, 60_000))[:30_000])
			synctest.Wait()
			cancel()
		}, base.Unknown, base.ErrCanceled},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c, p := newLone(t, client.Conf{Timeout: time.Minute})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				done := start(ctx, c, command{})
				p.expect(kindCommand)
				synctest.Wait()
				test.end(cancel, c, p)
				begin := time.Now()
				o := <-done
				want(t, o.err, test.outcome, test.code)
				if since := time.Since(begin); since > 2*time.Millisecond {
					t.Errorf("it took %v", since)
				}
			})
		})
	}
}

// The link's goroutine lends the reading once an answer has come. Should its owner be so late that
// it only begins to wait then, the reading stays lent.
func TestALateOwnerLeavesTheReadingLent(t *testing.T) {
	if !client.LateOwner(true) {
		t.Error("nobody has to read for a command that has ended")
	}
	if client.LateOwner(false) {
		t.Error("nobody reads for an open command")
	}
}

// An owner that is so late finds what was said to it, and waits for nothing more.
func TestALateOwnerReadsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nc, far := memnet.Pipe()
		defer far.Close()
		if signaled, over := client.LateReader(nc); !signaled || !over {
			t.Errorf("signaled %v, over %v", signaled, over)
		}
	})
}

// The reading is lent only while no command may be open whose sender has seen that the link's
// goroutine reads.
func TestWhenTheReadingIsLent(t *testing.T) {
	const ended, released, another = true, true, true
	for _, test := range []struct {
		name                     string
		seq                      int64
		ended, released, another bool
		want                     bool
	}{
		{"the answer is not taken yet", 1, ended, false, false, true},
		{"the slot is free", 1, ended, released, false, true},
		{"the slot is taken again, for what is not sent yet", 0, false, false, false, true},
		{"the next command is open", 2, false, false, false, false},
		{"another is open beside", 1, ended, false, another, false},
		{"another was opened, and then the slot became free", 1, ended, released, another, false},
	} {
		if got := client.Lends(test.seq, test.ended, test.released, test.another); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

// A lone caller that reads the first of several results gives its command up.
func TestALoneCallerGetsSeveralResults(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newLone(t, client.Conf{})
		done := start(t.Context(), c, command{})
		slot := p.expect(kindCommand).Slot
		p.item(slot, 1)
		want(t, (<-done).err, base.Unknown, base.ErrSeveralResults)
		p.expect(kindCancel)
		p.fail(slot, wireFailure(base.Unknown, base.ErrCanceled))
		synctest.Wait()
		alone(t, c, p)
		if !client.ReadByCallers(c) {
			t.Error("the link's goroutine reads")
		}
	})
}

// Who opens a Call does not read, and so the link's goroutine does.
func TestOpenBesideLoneCallers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newLone(t, client.Conf{})
		begin := time.Now()
		call, err := c.Open(t.Context(), command{})
		if err != nil {
			t.Fatal(err)
		}
		defer call.Close()
		slot := p.expect(kindCommand).Slot
		go func() {
			for range 8 {
				p.expect(wire.KindInput)
			}
			p.send(kindCredit, 0, slot, wire.AppendUvarint(nil, 8))
			p.expect(wire.KindInput)
		}()
		for range 9 {
			if err := call.Send([]byte("x")); err != nil {
				t.Error(err)
			}
		}
		if since := time.Since(begin); since != 0 {
			t.Errorf("the ninth input waited %v for credit that had come", since)
		}
	})
}

// Nor does who sends a command of Send once more, over a connection that lone callers read.
func TestSentAnewBesideLoneCallers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := memnet.Listen()
		accepted := acceptLater(t, l)
		c := redial(t, l.Dial, client.Conf{})
		p := <-accepted
		results := make(chan base.AsyncResult, 1)
		mustSend(t, c, command{N: 7}, results)
		slot := p.expect(kindCommand).Slot
		accepted = acceptLater(t, l)
		p.goaway("bye")
		next := <-accepted
		synctest.Wait()
		alone(t, c, next)
		if !client.ReadByCallers(c) {
			t.Error("the link's goroutine reads: this test shows nothing")
		}
		begin := time.Now()
		p.fail(slot, wireFailure(base.Rejected, base.ErrDraining))
		next.answer(next.expect(kindCommand).Slot, 7)
		<-results
		if since := time.Since(begin); since != 0 {
			t.Errorf("its result was delivered after %v", since)
		}
	})
}

// What a lone caller has read beside its answer holds nothing back once it has left.
func TestALoneCallerHoldsNothingBack(t *testing.T) {
	for name, next := range map[string]func(t *testing.T, c *client.Client[receiver]){
		"Open": func(t *testing.T, c *client.Client[receiver]) {
			call, err := c.Open(t.Context(), command{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { call.Close() })
		},
		"a large Do": func(t *testing.T, c *client.Client[receiver]) {
			start(t.Context(), c, command{Body: make([]byte, 20_000)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c, p := newLone(t, client.Conf{})
				done := start(t.Context(), c, command{})
				slot := p.expect(kindCommand).Slot
				synctest.Wait()
				p.write(appendFrame([]byte{wire.Ping}, kindResult, wire.FlagLast, slot, encodeResult(result{Last: true})))
				if o := <-done; o.err != nil {
					t.Error(o.err)
				}
				synctest.Wait()
				if !client.ReadByCallers(c) {
					t.Error("the link's goroutine reads: this test shows nothing")
				}
				begin := time.Now()
				next(t, c)
				p.expect(kindCommand)
				if since := time.Since(begin); since != 0 {
					t.Errorf("the command left after %v", since)
				}
			})
		})
	}
}

// After a lone caller has given up, others go on, and one may be alone again.
func TestALoneCallerGivesUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newLone(t, client.Conf{Timeout: time.Minute})
		for round := range 4 {
			ctx, cancel := context.WithCancel(t.Context())
			done := start(ctx, c, command{})
			slot := p.expect(kindCommand).Slot
			synctest.Wait()
			if round%2 == 0 {
				cancel()
				want(t, (<-done).err, base.Unknown, base.ErrCanceled)
			} else {
				want(t, (<-done).err, base.Unknown, base.ErrDeadline)
				cancel()
			}
			begin := time.Now()
			p.expect(kindCancel)
			p.answer(slot, 0)
			synctest.Wait()
			if since := time.Since(begin); since != 0 || c.Has(1) {
				t.Errorf("it took %v", since)
			}
			if client.ReadByCallers(c) {
				t.Error("nobody reads the end of the command")
			}
			alone(t, c, p)
			if !client.ReadByCallers(c) {
				t.Error("the link's goroutine reads")
			}
		}
	})
}

// The end of an idle connection is noticed, though its callers had read.
func TestTheEndIsNoticedWithoutACall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newLone(t, client.Conf{})
		p.nc.Close()
		select {
		case <-c.Done():
		case <-time.After(11 * time.Millisecond):
			t.Fatal("it was not noticed")
		}
		if !errors.Is(c.Err(), base.ErrConnLost) {
			t.Errorf("got %v", c.Err())
		}
	})
}

// lateConn, once told to, hands out what it has read only when it was closed: the answer
// comes at the moment at which the connection is given up.
type lateConn struct {
	net.Conn
	hold   atomic.Bool
	once   sync.Once
	closed chan struct{}
}

func (c *lateConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && c.hold.Load() {
		<-c.closed
		time.Sleep(time.Millisecond)
	}
	return n, err
}

func (c *lateConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// alone makes the calls after which c's callers read their answers themselves.
func alone(t *testing.T, c *client.Client[receiver], p *peer) {
	t.Helper()
	for n := range 5 {
		call(t, c, p, n)
	}
}

// call makes one call, which is answered.
func call(t *testing.T, c *client.Client[receiver], p *peer, n int) {
	t.Helper()
	done := start(t.Context(), c, command{N: n})
	p.answer(p.expect(kindCommand).Slot, n)
	if o := <-done; o.err != nil || o.n != n {
		t.Errorf("got %v", o)
	}
	synctest.Wait()
}

// An answer that comes as the connection is given up ends its call, and the client goes on.
func TestALoneCallersAnswerIsTheLast(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pipes := make(chan net.Conn, 2)
		nc, p := newPipe(t)
		first := &lateConn{Conn: nc, closed: make(chan struct{})}
		pipes <- first
		go p.hello(wire.ServerHello{})
		c := redial(t, func(context.Context) (net.Conn, error) { return <-pipes, nil },
			client.Conf{KeepaliveTime: 50 * time.Millisecond, KeepaliveIntvl: 50 * time.Millisecond})
		alone(t, c, p)
		if !client.ReadByCallers(c) {
			t.Error("the link's goroutine still reads")
		}
		first.hold.Store(true)
		done := start(t.Context(), c, command{N: 7})
		p.answer(p.expect(kindCommand).Slot, 7)
		if o := <-done; o.err != nil || o.n != 7 {
			t.Errorf("the last answer: %v", o)
		}
		second, p2 := newPipe(t)
		pipes <- second
		go func() {
			p2.hello(wire.ServerHello{})
			p2.answer(p2.expect(kindCommand).Slot, 8)
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := c.Do(ctx, command{N: 8}); err != nil {
			t.Errorf("the client never connects again: %v", err)
		}
	})
}

// The end of a lone caller's ctx ends its wait and nothing else, also in the middle of a
// result that comes in small pieces.
func TestALoneCallerBetweenPieces(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newLone(t, client.Conf{})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		done := start(ctx, c, command{N: 7})
		slot := p.expect(kindCommand).Slot
		body := encodeResult(result{N: 7, Last: true, Body: make([]byte, 40)})
		p.send(kindResult, wire.FlagMore|wire.FlagLast, slot, append(wire.AppendUvarint(nil, uint64(len(body))), body[:10]...))
		want(t, (<-done).err, base.Unknown, base.ErrDeadline)
		synctest.Wait()
		if c.Err() != nil {
			t.Errorf("the end of one call's ctx has ended the connection: %v", c.Err())
		}
	})
}

// noDeadlines is a net.Conn as some tunnels are.
type noDeadlines struct{ net.Conn }

var errNoDeadlines = errors.New("deadlines are not supported")

func (noDeadlines) SetDeadline(time.Time) error      { return errNoDeadlines }
func (noDeadlines) SetReadDeadline(time.Time) error  { return errNoDeadlines }
func (noDeadlines) SetWriteDeadline(time.Time) error { return errNoDeadlines }

// Where no deadline ends a Read, callers do not read: their ctx could not end it.
func TestNobodyReadsWhatCantBeLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nc, far := memnet.Pipe()
		p := onConn(t, far)
		go p.hello(wire.ServerHello{})
		c := over(t, noDeadlines{nc}, codec{}, client.Conf{})
		alone(t, c, p)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		begin := time.Now()
		done := start(ctx, c, command{N: 7})
		p.expect(kindCommand)
		want(t, (<-done).err, base.Unknown, base.ErrDeadline)
		took(t, begin, 100*time.Millisecond)
	})
}

// panicky is a log that panics on what is out of the ordinary.
type panicky struct{ slog.Handler }

func (panicky) Enabled(context.Context, slog.Level) bool { return true }

func (panicky) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		panic("log: " + r.Message)
	}
	return nil
}

// A Logger that panics on what a caller has read ends neither the call nor the process.
func TestALoneCallersLoggerPanics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newLone(t, client.Conf{Logger: slog.New(panicky{slog.DiscardHandler})})
		before := c.Stats().Panics
		done := start(t.Context(), c, command{N: 1})
		slot := p.expect(kindCommand).Slot
		p.send(kindResult, wire.FlagLast, 5, encodeResult(result{N: 7, Last: true})) // for no open command
		synctest.Wait()
		if n := c.Stats().Panics - before; n != 1 {
			t.Errorf("it has panicked %d times", n)
		}
		p.answer(slot, 1)
		if o := <-done; o.err != nil || o.n != 1 {
			t.Errorf("the call: %v", o)
		}
	})
}

// panickyConn is a net.Conn whose next Read panics, if it is so set.
type panickyConn struct {
	net.Conn
	panics *atomic.Bool
}

func (c panickyConn) Read(b []byte) (int, error) {
	if c.panics.CompareAndSwap(true, false) {
		panic("Read")
	}
	return c.Conn.Read(b)
}

// A net.Conn that panics in a caller that reads does not leave the connection unread.
func TestALoneCallersConnPanics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nc, far := memnet.Pipe()
		p := onConn(t, far)
		go p.hello(wire.ServerHello{})
		var panics atomic.Bool
		c := over(t, panickyConn{nc, &panics}, codec{}, client.Conf{})
		alone(t, c, p)
		panics.Store(true)
		ended := make(chan any)
		go func() {
			defer func() { ended <- recover() }()
			c.Do(t.Context(), command{N: 1})
		}()
		p.expect(kindCommand)
		if <-ended == nil {
			t.Error("it has not panicked: this test shows nothing")
		}
		done := start(t.Context(), c, command{N: 2})
		p.answer(p.expect(kindCommand).Slot, 2)
		if o := <-done; o.err != nil || o.n != 2 {
			t.Errorf("the next call: %v", o)
		}
	})
}
