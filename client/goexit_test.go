package client_test

import (
	"context"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/transport"
	"github.com/cmdstream/cmdstream/wire"
)

// User's code may end the goroutine in which it is called, by runtime.Goexit: what fails in a test
// does. One place among the commands in flight, so that the next command needs what the last one had.

// A codec that ends its caller's goroutine keeps no place.
func TestACodecThatEndsTheCallersGoroutine(t *testing.T) {
	in := map[string]codec{
		"Encode": {encode: func(cmd command) error { exitAt(cmd.N, 7); return nil }},
		"Decode": {decode: func(r result) error { exitAt(r.N, 7); return nil }},
	}
	calls := map[string]func(c *client.Client[receiver]){
		"Do":   func(c *client.Client[receiver]) { c.Do(context.Background(), command{N: 7}) },
		"Send": func(c *client.Client[receiver]) { c.Send(command{N: 7}, make(chan base.AsyncResult, 1)) },
		"Results": func(c *client.Client[receiver]) {
			for range c.Results(context.Background(), command{N: 7}) {
			}
		},
		"Receive": func(c *client.Client[receiver]) {
			if x, err := c.Open(context.Background(), command{N: 7}); err == nil {
				defer x.Close()
				x.Receive()
			}
		},
	}
	for where, codec := range in {
		for name, call := range calls {
			t.Run(name+", in "+where, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					conn, err := serve(t, echo, serverConf{}).Dial(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					c := over(t, conn, codec, client.Conf{MaxInFlight: 1, SendTimeout: time.Second})
					for range 3 {
						go call(c)
						synctest.Wait()
						mustDo(t, c, 1)
					}
				})
			})
		}
	}
}

func exitAt(n, at int) {
	if n == at {
		runtime.Goexit()
	}
}

// One that ends the goroutine of the deliveries fails its own command, and holds up no other.
func TestACodecThatEndsTheGoroutineOfTheDeliveries(t *testing.T) {
	bubble(t, func(t *testing.T) {
		conn, err := serve(t, echo, serverConf{}).Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c := over(t, conn, codec{decode: func(r result) error { exitAt(r.N%3, 1); return nil }}, client.Conf{})
		results := make(chan base.AsyncResult, 1)
		numbers := make(map[base.Seq]int)
		for n := range 9 {
			numbers[mustSend(t, c, command{N: n}, results)] = n
		}
		for range 9 {
			switch r := <-results; numbers[r.Seq] % 3 {
			case 1:
				want(t, r.Err, base.Failed, base.ErrPanic)
			default:
				if r.Err != nil {
					t.Error(r.Err)
				}
			}
		}
		mustDo(t, c, 3)
	})
}

// exitsNamed and exitsIdempotent are commands with a method that ends the goroutine in which it is
// called.
type (
	exitsNamed      struct{ command }
	exitsIdempotent struct{ command }
)

func (exitsNamed) CommandName() string   { runtime.Goexit(); return "" }
func (exitsIdempotent) Idempotent() bool { runtime.Goexit(); return true }

// So does a command that ends it when it is asked for its name, or whether it may run twice: nothing
// is known of it then. The next command is not held up.
func TestACommandThatEndsTheGoroutineOfTheDeliveries(t *testing.T) {
	for name, cmd := range map[string]base.Cmd[receiver]{"CommandName": exitsNamed{}, "Idempotent": exitsIdempotent{}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := memnet.Listen()
				accepted := make(chan *peer, 2)
				go func() {
					for range 2 {
						p := acceptRaw(t, l)
						p.hello(wire.ServerHello{})
						accepted <- p
					}
				}()
				c := redial(t, l.Dial, client.Conf{})
				p := <-accepted
				results := make(chan base.AsyncResult, 2)
				seq, err := c.Send(cmd, results)
				if err != nil {
					t.Fatal(err)
				}
				next := mustSend(t, c, command{N: 1}, results)
				p.expect(kindCommand)
				p.expect(kindCommand)
				p.nc.Close()
				<-accepted
				ends := make(map[base.Seq]error)
				for range 2 {
					r := <-results
					ends[r.Seq] = r.Err
				}
				want(t, ends[seq], base.Unknown, base.ErrPanic)
				want(t, ends[next], base.Unknown, base.ErrConnLost)
			})
		})
	}
}

// One that does so as a command of Send is sent once more ends it, with what is known of it.
func TestACodecThatEndsTheGoroutineThatSendsOnceMore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := memnet.Listen()
		encoded := 0
		accepted := make(chan *peer, 2)
		go func() {
			for range 2 {
				p := acceptRaw(t, l)
				p.hello(wire.ServerHello{})
				accepted <- p
			}
		}()
		c, err := client.NewReconnect(t.Context(), codec{encode: func(command) error {
			if encoded++; encoded > 1 {
				runtime.Goexit()
			}
			return nil
		}}, l.Dial, client.Conf{Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		p := <-accepted
		results := make(chan base.AsyncResult, 1)
		seq := mustSend(t, c, command{N: 1}, results)
		slot := p.expect(kindCommand).Slot
		p.send(kindGoaway, 0, 0, wire.AppendGoaway(nil, wire.Goaway{Reason: "bye"}))
		p.fail(slot, wireFailure(base.Rejected, base.ErrDraining))
		<-accepted // the next connection, over which the command would go
		r := <-results
		want(t, r.Err, base.NotSent, base.ErrPanic)
		if r.Seq != seq {
			t.Errorf("the error is of command %d, the command is %d", r.Seq, seq)
		}
	})
}

// A codec of the plain wire that ends the goroutine of its connection ends that.
func TestACodecThatEndsTheGoroutineThatReads(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serve(t, echo, serverConf{Transport: transport.Plain})
		c, err := client.NewReconnect(t.Context(), codec{decode: func(r result) error { exitAt(r.N, 7); return nil }}, l.Dial,
			client.Conf{Transport: transport.Plain, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for range 3 {
			mustDo(t, c, 1)
			_, err := c.Do(t.Context(), command{N: 7})
			want(t, err, base.Unknown, base.ErrConnLost)
		}
		mustDo(t, c, 1)
	})
}

// A Dialer that ends the goroutine in which it is called ends the client, where that has no session,
// and else the session.
func TestADialerThatEndsItsGoroutine(t *testing.T) {
	for name, session := range map[string]bool{"without a session": false, "with one": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := memnet.Listen()
				accepted := make(chan *peer, 1)
				go func() {
					p := acceptRaw(t, l)
					p.hello(wire.ServerHello{SessionTime: sessionTime})
					accepted <- p
				}()
				dials := 0
				c := redial(t, func(ctx context.Context) (net.Conn, error) {
					if dials++; dials > 1 {
						runtime.Goexit()
					}
					return l.Dial(ctx)
				}, client.Conf{Session: session})
				p := <-accepted
				done := start(t.Context(), c, command{})
				p.expect(kindCommand)
				p.nc.Close()
				want(t, (<-done).err, base.Unknown, base.ErrConnLost)
				_, err := c.Do(t.Context(), command{})
				want(t, err, base.NotSent, base.ErrPanic)
			})
		})
	}
}
