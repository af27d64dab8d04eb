package faults

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/server"
)

// gated holds up one of its writes.
type gated struct {
	net.Conn
	gate   chan struct{}
	held   int  // which write
	before bool // it is made only then

	mu     sync.Mutex // protects what follows
	writes int
}

func (g *gated) Write(b []byte) (int, error) {
	g.mu.Lock()
	g.writes++
	held := g.writes == g.held
	g.mu.Unlock()
	if held && g.before {
		<-g.gate
	}
	n, err := g.Conn.Write(b)
	if held && !g.before {
		<-g.gate
	}
	return n, err
}

// resend has a client with a session send a large command that does not come, and send it
// again over a second connection, one of whose writes is held up until the gate is open.
func resend(t *testing.T, held int, before bool, run func(c *client.Client[*effects], e *effects, cut, open func())) {
	synctest.Test(t, func(t *testing.T) {
		e := newEffects()
		s, err := server.New(serverCodec{}, e, server.Conf[*effects]{Invoker: invoker{e}, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		l := memnet.ListenSize(4 << 20)
		go s.Serve(l)
		gate := make(chan struct{})
		var conns []*memnet.Conn
		dial := func(ctx context.Context) (net.Conn, error) {
			nc, err := l.Dial(ctx)
			if err != nil {
				return nil, err
			}
			conns = append(conns, nc.(*memnet.Conn))
			if len(conns) == 2 {
				return &gated{Conn: nc, held: held, before: before, gate: gate}, nil
			}
			return nc, nil
		}
		c, err := client.NewReconnect(context.Background(), clientCodec{}, dial, client.Conf{Session: true, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		conns[0].Cut(memnet.Stall)
		run(c, e, func() {
			synctest.Wait()
			conns[0].Cut(memnet.RST)
			time.Sleep(time.Second)
		}, func() {
			synctest.Wait()
			close(gate)
		})
		time.Sleep(time.Second)
		e.mu.Lock()
		defer e.mu.Unlock()
		// A cancel that comes together with its command may be there before that has begun.
		if stats := s.Stats(); stats.Running != 0 || stats.Breaches != 0 || e.starts[1] > 1 {
			t.Errorf("the command ran %d times; %+v", e.starts[1], stats)
		}
		c.Close()
		s.Close()
	})
}

// An input that is made while a large command is being sent again comes after it.
func TestAnInputDoesNotOvertakeItsCommand(t *testing.T) {
	for _, way := range []struct {
		size, held int
		before     bool
	}{{20_000, 2, false}, {200_000, 3, true}} {
		resend(t, way.held, way.before, func(c *client.Client[*effects], e *effects, cut, open func()) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			call, err := c.Open(ctx, command{Op: sum, Number: 1, Body: make([]byte, way.size)})
			if err != nil {
				t.Fatal(err)
			}
			defer call.Close()
			cut()
			go func() {
				call.Send(5)
				call.CloseSend()
			}()
			open()
			for {
				r, err := call.Receive()
				if err != nil {
					t.Fatal(err)
				}
				if r.LastOne() {
					break
				}
			}
			e.mu.Lock()
			defer e.mu.Unlock()
			if !slices.Equal(e.inputs[1], []int{5}) {
				t.Errorf("the inputs are %v", e.inputs[1])
			}
		})
	}
}

// Nor does a cancel.
func TestACancelDoesNotOvertakeItsCommand(t *testing.T) {
	for _, way := range []struct {
		size, held int
		before     bool
	}{{20_000, 2, false}, {200_000, 3, true}} {
		resend(t, way.held, way.before, func(c *client.Client[*effects], e *effects, cut, open func()) {
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() {
				_, err := c.Do(ctx, command{Op: block, Number: 1, Body: make([]byte, way.size)})
				ended <- err
			}()
			cut()
			cancel()
			if err := <-ended; err == nil {
				t.Error("it succeeded")
			}
			open()
		})
	}
}
