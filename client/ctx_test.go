package client_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"iter"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
)

var errMine = errors.New("my own cause")

// canceled returns a ctx that has ended, for a cause.
func canceled(t *testing.T, cause error) context.Context {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	return ctx
}

func TestACtxThatHasEndedSendsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newPeer(t, client.Conf{})
		ctx := canceled(t, errMine)
		_, err := c.Do(ctx, command{})
		want(t, err, base.NotSent, base.ErrCanceled, context.Canceled, errMine)
		for _, err := range c.Results(ctx, command{}) {
			want(t, err, base.NotSent, base.ErrCanceled, errMine)
		}
		late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		defer cancel()
		_, err = c.Do(late, command{})
		want(t, err, base.NotSent, base.ErrDeadline, context.DeadlineExceeded)

		done := start(t.Context(), c, command{N: 5})
		if f := p.expect(kindCommand); f.Payload[0] != 5 || f.Extras.Seq > 1 {
			t.Errorf("got %+v, want the first command that was to be sent", f)
		}
		p.answer(0, 5)
		<-done
	})
}

// A command whose ctx ends while it is open returns at once, although the server
// is silent, and its slot is free when the server has answered.
func TestTheCtxEndsWhileTheCommandIsOpen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var told unexpected
		c, p := newPeer(t, client.Conf{MaxInFlight: 1, UnexpectedResultCallback: told.callback})
		ctx, cancel := context.WithCancelCause(t.Context())
		done := start(ctx, c, command{})
		p.expect(kindCommand)
		begin := time.Now()
		cancel(errMine)
		want(t, (<-done).err, base.Unknown, base.ErrCanceled, context.Canceled, errMine)
		took(t, begin, 0)
		if f := p.expect(kindCancel); f.Slot != 0 {
			t.Errorf("slot %d was canceled", f.Slot)
		}

		waiting := start(t.Context(), c, command{N: 2})
		time.Sleep(time.Hour)
		if p.r.Buffered() > 0 || len(waiting) > 0 {
			t.Error("the slot was used again before the server had answered")
		}
		p.answer(0, 1) // it had crossed the cancel
		if f := p.expect(kindCommand); f.Slot != 0 {
			t.Errorf("the next command is on slot %d", f.Slot)
		}
		p.answer(0, 2)
		if o := <-waiting; o.n != 2 {
			t.Errorf("got %+v", o)
		}
		synctest.Wait()
		if got := told.numbers(); fmt.Sprint(got) != "[1]" {
			t.Errorf("the callback heard of %v", got)
		}
	})
}

func TestADeadlineOfTheCtx(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newPeer(t, client.Conf{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		done := start(ctx, c, command{})
		if f := p.expect(kindCommand); f.Extras.Timeout != 1e6 {
			t.Errorf("the wire tells %d µs, want 1 s", f.Extras.Timeout)
		}
		want(t, (<-done).err, base.Unknown, base.ErrDeadline, context.DeadlineExceeded)
		took(t, begin, time.Second)
	})
}

// A result that has come is not thrown away for a ctx that has ended.
func TestAReadyResultBeatsAnEndedCtx(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newPeer(t, client.Conf{Timeout: time.Minute})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		taken := 0
		next, stop := pull(c, ctx)
		defer stop()
		go func() {
			f := p.expect(kindCommand)
			for n := range 3 {
				p.item(f.Slot, n)
			}
			p.answer(f.Slot, 3)
		}()
		for {
			r, err, ok := next()
			if !ok {
				break
			}
			if err != nil || r.(result).N != taken {
				t.Errorf("got %v, %v", r, err)
			}
			taken++
			synctest.Wait() // all have come
			cancel()
			time.Sleep(2 * time.Minute) // and Timeout is over too
		}
		if taken != 4 {
			t.Errorf("got %d results, want 4", taken)
		}
	})
}

// A result that comes at the very moment when the ctx is found to have ended is
// not thrown away either.
func TestAResultThatComesAsTheCtxEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newPeer(t, client.Conf{MaxInFlight: 1})
		ctx := &endingLate{Context: context.Background(), ending: func() {
			p.answer(p.expect(kindCommand).Slot, 7)
			synctest.Wait()
		}}
		r, err := c.Do(ctx, command{})
		if err != nil || r.(result).N != 7 {
			t.Errorf("got %v, %v", r, err)
		}
		if ctx.asked.Load() < 2 {
			t.Error("the ctx was not asked after the command was sent")
		}
	})
}

// endingLate is a ctx that has ended once the command is sent; ending is called
// when that is first found out.
type endingLate struct {
	context.Context
	asked  atomic.Int32
	ending func()
}

// Done says that there is a reason to ask.
func (e *endingLate) Done() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}

func (e *endingLate) Err() error {
	switch e.asked.Add(1) {
	case 1:
		return nil
	case 2:
		e.ending()
	}
	return context.Canceled
}

func pull(c *client.Client[receiver], ctx context.Context) (func() (base.Result, error, bool), func()) {
	return iter.Pull2(c.Results(ctx, command{}))
}

// Whatever a ctx waits for, its end is found, and the command was not sent.
func TestTheCtxEndsWhileTheCommandWaits(t *testing.T) {
	for name, block := range map[string]func(t *testing.T) *client.Client[receiver]{
		"for a slot": func(t *testing.T) *client.Client[receiver] {
			c, p := newPeer(t, client.Conf{MaxInFlight: 1})
			mustSend(t, c, command{}, make(chan base.AsyncResult))
			p.expect(kindCommand)
			return c
		},
		"for room in the send buffer": func(t *testing.T) *client.Client[receiver] {
			c, _ := newPeer(t, client.Conf{WriteTimeout: time.Hour})
			fill(t, c)
			return c
		},
		"for a connection": func(t *testing.T) *client.Client[receiver] {
			l := memnet.Listen()
			go func() { accept(t, l).nc.Close(); l.Close() }()
			c := redial(t, l.Dial, client.Conf{})
			time.Sleep(time.Minute)
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := block(t)
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errMine)
				defer cancel()
				begin := time.Now()
				_, err := c.Do(ctx, command{Body: make([]byte, 1000)})
				took(t, begin, time.Second)
				want(t, err, base.NotSent, base.ErrDeadline, context.DeadlineExceeded, errMine)

				// A cause may be an error of another command: then it is no less ours.
				other := &base.Error{Outcome: base.Unknown, Code: base.ErrConnLost, Message: "another command's"}
				causal, fail := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { fail(other) })
				_, err = c.Do(causal, command{Body: make([]byte, 1000)})
				want(t, err, base.NotSent, base.ErrCanceled, other)
				var e *base.Error
				if errors.As(err, &e) && e.Code != base.ErrCanceled {
					t.Errorf("got %+v, want its own error", e)
				}
			})
		})
	}
}

// fill fills the send buffer of a client whose server does not read.
func fill(t testing.TB, c *client.Client[receiver]) {
	t.Helper()
	for {
		done := make(chan bool)
		go func() {
			_, err := c.Send(command{Body: make([]byte, 8000)}, make(chan base.AsyncResult, 1))
			done <- err == nil
		}()
		select {
		case ok := <-done:
			if !ok {
				t.Error("Send failed before the buffer was full")
				return
			}
		case <-time.After(time.Second):
			t.Cleanup(func() { <-done })
			return
		}
	}
}

// The answer that came in time is not held up by what can't be written any more:
// the client's own end of a TLS connection says goodbye when it is closed.
func TestTheLastAnswerOfAServerThatDoesNotRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cert, _ := certificate(t)
		l, s := serveOn(t, memnet.Listen(), func(ctx context.Context, cmd command, seq base.Seq, proxy base.Proxy) error {
			time.Sleep(90 * time.Millisecond)
			return echo(ctx, cmd, seq, proxy)
		}, serverConf{TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}})
		conn, err := l.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		stuck := &stuckWriter{Conn: conn, closed: make(chan struct{})}
		defer stuck.Close()
		c := over(t, tls.Client(stuck, &tls.Config{InsecureSkipVerify: true}), codec{}, client.Conf{})
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		done := start(ctx, c, command{N: 1})
		time.Sleep(10 * time.Millisecond)
		stuck.on.Store(true)
		go s.Shutdown(context.Background())
		if o := <-done; o.n != 1 || o.err != nil {
			t.Errorf("got %+v", o)
		}
		took(t, begin, 90*time.Millisecond)
	})
}

// stuckWriter's writes hang once on is set, until Close.
type stuckWriter struct {
	net.Conn
	on     atomic.Bool
	once   sync.Once
	closed chan struct{}
}

func (s *stuckWriter) Write(b []byte) (int, error) {
	if s.on.Load() {
		<-s.closed
		return 0, net.ErrClosed
	}
	return s.Conn.Write(b)
}

func (s *stuckWriter) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.Conn.Close()
}

func TestTimeoutOfDo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newPeer(t, client.Conf{Timeout: time.Second, MaxInFlight: 2})
		begin := time.Now()
		done := start(t.Context(), c, command{})
		if f := p.expect(kindCommand); f.Extras.Timeout != 1e6 {
			t.Errorf("the wire tells %d µs, want 1 s", f.Extras.Timeout)
		}
		want(t, (<-done).err, base.Unknown, base.ErrDeadline, context.DeadlineExceeded)
		took(t, begin, time.Second)
		p.expect(kindCancel)

		// The earlier of the two deadlines counts, on the wire too.
		for _, limit := range []time.Duration{100 * time.Millisecond, time.Minute} {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			begin = time.Now()
			done = start(ctx, c, command{})
			least := min(limit, time.Second)
			f := p.expect(kindCommand)
			if f.Extras.Timeout != uint64(least.Microseconds()) {
				t.Errorf("the wire tells %d µs, want %v", f.Extras.Timeout, least)
			}
			want(t, (<-done).err, base.Unknown, base.ErrDeadline)
			took(t, begin, least)
			cancel()
			p.expect(kindCancel)
			p.fail(f.Slot, wireFailure(base.Unknown, base.ErrCanceled))
			synctest.Wait()
		}
	})
}

// Timeout bounds the waiting too; nothing is sent then. What is left of it is on
// the wire when a place has come free.
func TestTimeoutWhileTheCommandWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newPeer(t, client.Conf{Timeout: time.Second, MaxInFlight: 1})
		ctx, cancel := context.WithCancel(t.Context())
		first := start(ctx, c, command{})
		p.expect(kindCommand)
		time.Sleep(600 * time.Millisecond)
		second := start(t.Context(), c, command{})
		synctest.Wait()
		time.Sleep(300 * time.Millisecond)
		p.answer(0, 1)
		<-first
		if f := p.expect(kindCommand); f.Extras.Timeout != 7e5 {
			t.Errorf("the wire tells %d µs, want 0.7 s", f.Extras.Timeout)
		}
		begin := time.Now()
		_, err := c.Do(t.Context(), command{})
		took(t, begin, time.Second)
		want(t, err, base.NotSent, base.ErrDeadline, context.DeadlineExceeded)
		want(t, (<-second).err, base.Unknown, base.ErrDeadline)
		cancel()
	})
}

// What is left of Timeout is on the wire also after waiting for room in the send
// buffer.
func TestTheTimeLeftAfterWaitingForRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		conn, nc := memnet.PipeSize(16 << 10)
		p := onConn(t, nc)
		go p.hello(wireHello(0))
		c := over(t, conn, codec{}, client.Conf{Timeout: 10 * time.Second})
		const sent = 60 // not all of them fit
		results := make(chan base.AsyncResult, sent)
		for range sent {
			go c.Send(command{Body: make([]byte, 7<<10)}, results)
			synctest.Wait()
		}
		time.Sleep(4 * time.Second)
		var left []uint64
		for range sent {
			left = append(left, p.expect(kindCommand).Extras.Timeout)
			synctest.Wait()
		}
		if left[0] != 10e6 {
			t.Errorf("the wire tells %d µs for the first command, want 10 s", left[0])
		}
		if last := left[sent-1]; last > 6e6 {
			t.Errorf("the wire tells %d µs for the last command, want 6 s", last)
		}
	})
}

// To encode a large command takes of its time, too.
func TestTheTimeLeftAfterEncoding(t *testing.T) {
	bubble(t, func(t *testing.T) {
		conn, nc := memnet.Pipe()
		p := onConn(t, nc)
		go p.hello(wireHello(0))
		slow := codec{encode: func(command) error { time.Sleep(time.Second); return nil }}
		c := over(t, conn, slow, client.Conf{Timeout: 10 * time.Second})
		start(t.Context(), c, command{Body: make([]byte, 8<<10)})
		if f := p.expect(kindCommand); f.Extras.Timeout != 9e6 {
			t.Errorf("the wire tells %d µs, want 9 s", f.Extras.Timeout)
		}
	})
}

// A slot's deadline is its command's, and not one of a command before.
func TestSlotsAreUsedAgainWithoutTheOldDeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newPeer(t, client.Conf{Timeout: time.Second, MaxInFlight: 1})
		for range 20 {
			done := start(t.Context(), c, command{})
			p.expect(kindCommand)
			time.Sleep(900 * time.Millisecond)
			p.answer(0, 1)
			if o := <-done; o.err != nil {
				t.Fatal(o.err)
			}
		}
		begin := time.Now()
		want(t, (<-start(t.Context(), c, command{})).err, base.Unknown, base.ErrDeadline)
		took(t, begin, time.Second)
	})
}

// What the server would not take waits for no place among the commands in flight.
func TestACommandThatIsTooLargeDoesNotWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		conn, p := newPipe(t)
		go p.hello(wireHello(100))
		c := over(t, conn, codec{size: func(cmd command) int {
			if cmd.N == 102 {
				panic("size")
			}
			return cmd.N
		}}, client.Conf{MaxInFlight: 1})
		open := start(t.Context(), c, command{N: 1})
		slot := p.expect(kindCommand).Slot
		for n, code := range map[int]base.Code{101: client.ErrTooLargeCmd, 102: base.ErrPanic} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			begin := time.Now()
			_, err := c.Do(ctx, command{N: n})
			cancel()
			took(t, begin, 0)
			outcome := base.NotSent
			if code == client.ErrTooLargeCmd {
				outcome = base.Rejected
			}
			want(t, err, outcome, code)
		}
		p.answer(slot, 1)
		if o := <-open; o.err != nil {
			t.Error(o.err)
		}
	})
}

// There are never more slots than the server allows, though many are made at once.
func TestManySlots(t *testing.T) {
	const most, calls = 300, 310
	bubble(t, func(t *testing.T) {
		conn, p := newPipe(t)
		hello := wireHello(0)
		hello.MaxInFlight = most
		go p.hello(hello)
		c := over(t, conn, codec{}, client.Conf{})
		for n := range calls {
			start(t.Context(), c, command{N: n})
		}
		taken := map[uint64]bool{}
		for range most {
			slot := p.expect(kindCommand).Slot
			if slot >= most || taken[slot] {
				t.Errorf("a command came on slot %d, beyond the limit, or twice", slot)
			}
			taken[slot] = true
		}
		synctest.Wait()
		if n := c.InFlight(); n != calls {
			t.Errorf("%d are in flight, or wait", n)
		}
		for range calls - most { // these take the places of others
			p.answer(7, 0)
			if slot := p.expect(kindCommand).Slot; slot != 7 {
				t.Errorf("the next command came on slot %d", slot)
			}
		}
	})
}

func TestMaxInFlight(t *testing.T) {
	for name, conf := range map[string]struct{ client, server uint64 }{
		"the client's": {3, 5}, "the server's": {5, 3}, "the server's alone": {0, 3},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				conn, p := newPipe(t)
				hello := wireHello(0)
				hello.MaxInFlight = conf.server
				go p.hello(hello)
				c := over(t, conn, codec{}, client.Conf{MaxInFlight: int(conf.client)})
				var waiting []<-chan outcome
				for n := range 10 {
					waiting = append(waiting, start(t.Context(), c, command{N: n}))
					synctest.Wait() // they wait in this order
				}
				open := map[uint64]int{}
				next := 0
				for range 3 {
					f := p.expect(kindCommand)
					open[f.Slot] = int(f.Payload[0])
				}
				synctest.Wait()
				if p.r.Buffered() > 0 {
					t.Error("more than three commands came")
				}
				for next < 10 {
					for slot, n := range open {
						if n != next {
							continue
						}
						p.answer(slot, n)
						if o := <-waiting[n]; o.n != n || o.err != nil {
							t.Errorf("command %d got %+v", n, o)
						}
						delete(open, slot)
						if next++; next <= 7 {
							f := p.expect(kindCommand)
							if f.Slot != slot || int(f.Payload[0]) != next+2 {
								t.Errorf("command %d came on slot %d, want the next on slot %d", f.Payload[0], f.Slot, slot)
							}
							open[f.Slot] = int(f.Payload[0])
						}
						break
					}
				}
			})
		})
	}
}

// Callers that give up just when a slot is handed to them lose none.
func TestNoSlotIsLostWhenItIsHandedOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newPeer(t, client.Conf{MaxInFlight: 2})
		go func() {
			for {
				f, ok := p.read()
				if !ok {
					return
				}
				switch f.Kind {
				case kindCommand:
					time.AfterFunc(time.Millisecond, func() { p.answer(f.Slot, 1) })
				case kindCancel: // crossed the answer, or not
				}
			}
		}()
		var wg sync.WaitGroup
		var mu sync.Mutex
		ends := map[base.Outcome]int{}
		for g := range 50 {
			wg.Go(func() {
				for n := range 50 {
					// Whole milliseconds, so that ends and answers fall together.
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration((g+n)%7)*time.Millisecond)
					_, err := c.Do(ctx, command{})
					cancel()
					mu.Lock()
					ends[base.OutcomeOf(err)]++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Second)
		if ends[base.NotSent] == 0 || ends[base.Unknown] == 0 || ends[base.Succeeded] == 0 {
			t.Errorf("not all that can happen did: %v", ends)
		}
		var open []<-chan outcome
		for range 2 {
			open = append(open, start(t.Context(), c, command{}))
		}
		synctest.Wait()
		begin := time.Now()
		for _, done := range open {
			if o := <-done; o.err != nil {
				t.Error(o.err)
			}
		}
		took(t, begin, time.Millisecond) // both at once
	})
}

// Those who wait for a place behind one who gives up keep their turn.
func TestGivingUpKeepsTheQueue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newPeer(t, client.Conf{MaxInFlight: 1})
		first := start(t.Context(), c, command{N: 1})
		synctest.Wait()
		var waiting []<-chan outcome
		var cancels []context.CancelFunc
		for n := range 5 {
			ctx, cancel := context.WithCancel(t.Context())
			cancels = append(cancels, cancel)
			waiting = append(waiting, start(ctx, c, command{N: n + 2}))
			synctest.Wait()
		}
		for _, i := range []int{0, 2, 4} {
			cancels[i]()
			want(t, (<-waiting[i]).err, base.NotSent, base.ErrCanceled)
		}
		var got []int
		for range 3 {
			got = append(got, int(p.expect(kindCommand).Payload[0]))
			p.answer(0, 1)
		}
		if !slices.Equal(got, []int{1, 3, 5}) {
			t.Errorf("the commands came in the order %v", got)
		}
		<-first
		cancels[1]()
		cancels[3]()
	})
}
