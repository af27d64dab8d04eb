package client_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/compress/flate"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/transport"
	"github.com/cmdstream/cmdstream/wire"
)

// body returns n bytes that tell a piece from another.
func body(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 31 >> 3)
	}
	return b
}

func TestLargeCommandsAndResults(t *testing.T) {
	for name, wire := range wires {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := both(t, wire, echo, client.Conf{})
				var wg sync.WaitGroup
				for _, size := range []int{8<<10 - 10, 8<<10 + 10, 64<<10 - 5, 64 << 10, 64<<10 + 5, 200 << 10, 1<<20 + 5} {
					wg.Go(func() {
						sent := body(size)
						r, err := c.Do(context.Background(), command{Body: sent})
						if err != nil || !bytes.Equal(r.(result).Body, sent) {
							t.Errorf("%d bytes: %v", size, err)
						}
						results := make(chan base.AsyncResult, 1)
						if _, err := c.Send(command{Body: sent}, results); err != nil {
							t.Error(err)
						} else if r := <-results; r.Err != nil || !bytes.Equal(r.Result.(result).Body, sent) {
							t.Errorf("%d bytes: %v", size, r.Err)
						}
					})
				}
				for n := range 200 {
					wg.Go(func() { mustDo(t, c, n) })
				}
				wg.Wait()
			})
		})
	}
}

// slowly returns a client whose large commands stop half-way: the peer reads only
// when the test does.
func slowly(t *testing.T, conf client.Conf) (*client.Client[receiver], *peer) {
	conn, nc := memnet.PipeSize(16 << 10)
	p := onConn(t, nc)
	go p.hello(wire.ServerHello{})
	conf.WriteTimeout = time.Hour
	return over(t, conn, codec{}, conf), p
}

// whole reads the pieces of a command, and returns how many bytes of the body came.
func (p *peer) whole() (slot uint64, n int) {
	p.t.Helper()
	f := p.expect(kindCommand)
	if f.Flags&wire.FlagMore == 0 {
		return f.Slot, len(f.Payload)
	}
	_, rest, err := wire.ParseTotal(f.Payload)
	if err != nil {
		p.t.Error(err)
	}
	n = len(rest)
	for f.Flags&wire.FlagMore != 0 {
		f = p.expect(kindCommand)
		n += len(f.Payload)
	}
	return f.Slot, n
}

// A large command that is given up half-way ends at once, as not sent: the server
// never has the whole of it. Its slot is free when the server has answered.
func TestALargeCommandIsGivenUpHalfWay(t *testing.T) {
	for name, give := range map[string]struct {
		conf client.Conf
		code base.Code
		send func(t *testing.T, c *client.Client[receiver], cmd command) error
	}{
		"by the ctx": {client.Conf{}, base.ErrDeadline, func(t *testing.T, c *client.Client[receiver], cmd command) error {
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errMine)
			defer cancel()
			_, err := c.Do(ctx, cmd)
			want(t, err, base.NotSent, errMine)
			return err
		}},
		"by Timeout": {client.Conf{Timeout: time.Second}, base.ErrDeadline, func(t *testing.T, c *client.Client[receiver], cmd command) error {
			_, err := c.Do(t.Context(), cmd)
			return err
		}},
		"by SendTimeout": {client.Conf{SendTimeout: time.Second}, base.ErrDeadline, func(t *testing.T, c *client.Client[receiver], cmd command) error {
			results := make(chan base.AsyncResult, 1)
			_, err := c.Send(cmd, results)
			if len(results) > 0 {
				t.Errorf("got a result too: %+v", <-results)
			}
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				give.conf.MaxInFlight = 1
				c, p := slowly(t, give.conf)
				begin := time.Now()
				err := give.send(t, c, command{Body: body(300 << 10)})
				took(t, begin, time.Second)
				want(t, err, base.NotSent, give.code)

				if _, n := p.whole(); n >= 300<<10 {
					t.Errorf("all of it came, %d bytes", n)
				}
				p.fail(0, wireFailure(base.Rejected, base.ErrCanceled))
				done := start(context.Background(), c, command{N: 3})
				if f := p.expect(kindCommand); f.Slot != 0 || f.Payload[0] != 3 {
					t.Errorf("got %+v", f)
				}
				p.answer(0, 3)
				if o := <-done; o.n != 3 || o.err != nil {
					t.Errorf("got %+v", o)
				}
			})
		})
	}
}

// Of two large commands the second may not have begun when its ctx ends: it
// leaves no trace on the wire.
func TestALargeCommandIsGivenUpBeforeItsFirstPiece(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := slowly(t, client.Conf{})
		first := start(context.Background(), c, command{Body: body(64 << 10)})
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		second := start(ctx, c, command{Body: body(100 << 10)})
		synctest.Wait()
		cancel()
		want(t, (<-second).err, base.NotSent, base.ErrCanceled)
		slot, _ := p.whole()
		p.answer(slot, 1)
		if o := <-first; o.n != 1 {
			t.Errorf("got %+v", o)
		}
		next := start(t.Context(), c, command{N: 2})
		if f := p.expect(kindCommand); f.Extras.Seq > 2 || f.Payload[0] != 2 {
			t.Errorf("got %+v", f)
		}
		p.answer(slot, 2)
		<-next
	})
}

// A server may refuse a large command while it comes; the client stops sending it.
func TestALargeCommandIsRefusedHalfWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := slowly(t, client.Conf{MaxInFlight: 1})
		done := start(t.Context(), c, command{Body: body(3 << 20)})
		f := p.expect(kindCommand)
		p.fail(f.Slot, wireFailure(base.Rejected, base.ErrBusy))
		synctest.Wait()
		n := 0
		for more := true; more; {
			f = p.expect(kindCommand)
			n += len(f.Payload)
			more = f.Flags&wire.FlagMore != 0
		}
		if n > 256<<10 {
			t.Errorf("%d more bytes came", n)
		}
		want(t, (<-done).err, base.Rejected, base.ErrBusy)
		next := start(t.Context(), c, command{N: 2})
		p.expect(kindCommand)
		p.answer(0, 2)
		if o := <-next; o.n != 2 {
			t.Errorf("got %+v", o)
		}
	})
}

// What the server had of a large command when the connection was lost is nothing
// that it could run.
func TestALargeCommandIsLostHalfWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := slowly(t, client.Conf{})
		done := start(t.Context(), c, command{Body: body(300 << 10)})
		p.expect(kindCommand)
		p.nc.Close()
		want(t, (<-done).err, base.NotSent, base.ErrConnLost)
	})
}

// Cancelling whole large commands, again and again, on few slots.
func TestLargeCommandsThatAreCancelledNowAndThen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := memnet.ListenSize(20 << 10)
		l.OnDial(func(c, _ *memnet.Conn) { c.SetPlan(memnet.Plan{Delay: time.Millisecond}) })
		serveOn(t, l, echo, serverConf{})
		c := dial(t, l, client.Conf{MaxInFlight: 3})
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				for n := range 20 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+(7*g+3*n)%23)*time.Millisecond)
					sent := body(30<<10 + 1000*g)
					r, err := c.Do(ctx, command{Body: sent})
					cancel()
					if err == nil && !bytes.Equal(r.(result).Body, sent) {
						t.Error("got another command's result")
					}
				}
			})
		}
		wg.Wait()
		for n := range 3 {
			mustDo(t, c, n)
		}
		if c.Err() != nil {
			t.Errorf("the client has ended: %v", c.Err())
		}
	})
}

// A slot that is free holds no large command, compressed or not.
func TestAFreeSlotHoldsNoLargeCommand(t *testing.T) {
	for _, size := range []int{10 << 10, 100 << 10, 1 << 20} {
		for _, compressions := range [][]transport.Compression{nil, {flate.New(1)}} {
			bubble(t, func(t *testing.T) {
				l := serve(t, echo, serverConf{Compressions: compressions})
				c := dial(t, l, client.Conf{Compressions: compressions})
				body := make([]byte, size)
				rand.Read(body[:size/2])
				if _, err := c.Do(t.Context(), command{N: 1, Body: body}); err != nil {
					t.Fatal(err)
				}
				if held := client.HeldByFreeSlots(c); held > 3*4<<10 {
					t.Errorf("%d bytes are held after a command of %d", held, size)
				}
			})
		}
	}
}
