package client_test

import (
	"context"
	"errors"
	"log/slog"
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

// two returns the peers of l's next two connections.
func two(t *testing.T, l *memnet.Listener) <-chan *peer {
	accepted := make(chan *peer, 2)
	go func() {
		for range 2 {
			p := acceptRaw(t, l)
			p.hello(wire.ServerHello{})
			accepted <- p
		}
	}()
	return accepted
}

// encodesOnce returns a client that reconnects to l, whose codec ends the goroutine but for the first
// time that it encodes.
func encodesOnce(t *testing.T, l *memnet.Listener) *client.Client[receiver] {
	encoded := 0
	c, err := client.NewReconnect(t.Context(), codec{encode: func(command) error {
		if encoded++; encoded > 1 {
			runtime.Goexit()
		}
		return nil
	}}, l.Dial, client.Conf{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
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
				accepted := two(t, l)
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
		accepted := two(t, l)
		c := encodesOnce(t, l)
		p := <-accepted
		results := make(chan base.AsyncResult, 1)
		seq := mustSend(t, c, command{N: 1}, results)
		slot := p.expect(kindCommand).Slot
		p.send(kindGoaway, 0, 0, wire.AppendGoaway(nil, wire.Goaway{Reason: "bye"}))
		p.fail(slot, wireFailure(base.Rejected, base.ErrDraining))
		<-accepted // the next connection, over which the command would go
		r := <-results
		want(t, r.Err, base.NotSent, base.ErrPanic)
		if e := new(base.Error); !errors.As(r.Err, &e) || r.Seq != seq || e.Seq != seq || e.Cmd != "client_test.command" {
			t.Errorf("got %+v, the command's Seq is %d", r, seq)
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

// disagrees is a codec whose Agree ends the goroutine in which it is called.
type disagrees struct{ codec }

func (disagrees) Agree([]byte) (func(base.Cmd[receiver]) error, base.Cmd[receiver], error) {
	runtime.Goexit()
	return nil, nil, nil
}

// What ends the goroutine that connects ends the connection.
func TestAHelloThatEndsTheGoroutine(t *testing.T) {
	for name, with := range map[string]struct {
		codec client.Codec[receiver]
		conf  client.Conf
	}{
		"Credentials":     {codec{}, client.Conf{Credentials: func(context.Context) ([]byte, error) { runtime.Goexit(); return nil, nil }}},
		"CheckServerInfo": {codec{}, client.Conf{CheckServerInfo: func([]byte) error { runtime.Goexit(); return nil }}},
		"Agree":           {disagrees{}, client.Conf{}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				conn, p := newPipe(t)
				go client.New(t.Context(), with.codec, conn, with.conf)
				if name != "Credentials" {
					p.hello(wire.ServerHello{})
				}
				p.ended()
			})
		})
	}
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

// So does one that ends the goroutine of a delivery that has waited for its channel.
func TestACodecThatEndsTheGoroutineOfASlowDelivery(t *testing.T) {
	bubble(t, func(t *testing.T) {
		conn, err := serve(t, count, serverConf{}).Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c := over(t, conn, codec{decode: func(r result) error { exitAt(r.N, 2); return nil }}, client.Conf{MaxInFlight: 1})
		results := make(chan base.AsyncResult, 2) // so two results may come at once
		for range 2 {
			results <- base.AsyncResult{}
			results <- base.AsyncResult{}
			mustSend(t, c, command{N: 5}, results)
			synctest.Wait() // both have come, the first one was decoded
			<-results
			<-results
			if r := <-results; r.Err != nil || r.Result.(result).N != 1 {
				t.Errorf("the first result is %+v", r)
			}
			want(t, (<-results).Err, base.Failed, base.ErrPanic)
		}
	})
}

// A Logger that ends the goroutine of the deliveries, for a channel is closed, keeps no place.
func TestALoggerThatEndsTheGoroutineOfTheDeliveries(t *testing.T) {
	for name, size := range map[string]int{"at once": 1, "after it has waited": 0} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				log := asking{slog.DiscardHandler, func(message string) {
					if message == "a result could not be delivered" {
						runtime.Goexit()
					}
				}}
				c, p := newPeer(t, client.Conf{MaxInFlight: 1, Logger: slog.New(enabled{log})})
				for range 3 {
					results := make(chan base.AsyncResult, size)
					mustSend(t, c, command{}, results)
					f, _ := p.read()
					for f.Kind == wire.KindCredit { // of the one before
						f, _ = p.read()
					}
					if size == 0 {
						p.item(f.Slot, 1)
						synctest.Wait()
					}
					close(results)
					synctest.Wait()
					p.answer(f.Slot, 2)
				}
				holds(t, c, 0)
			})
		})
	}
}

// enabled is a Handler for all levels.
type enabled struct{ slog.Handler }

func (enabled) Enabled(context.Context, slog.Level) bool { return true }

// A Do whose command ends the goroutine, as it is asked for its name, keeps no place.
func TestACommandThatEndsTheCallersGoroutine(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newPeer(t, client.Conf{MaxInFlight: 1})
		ends := map[string]func(slot uint64, cancel func()){
			"a failure": func(slot uint64, _ func()) { p.fail(slot, wireFailure(base.Failed, base.ErrExec)) },
			"several results": func(slot uint64, _ func()) {
				p.item(slot, 1)
				p.expect(kindCancel)
				p.fail(slot, wireFailure(base.Failed, base.ErrCanceled))
			},
			"the ctx": func(slot uint64, cancel func()) { cancel(); p.expect(kindCancel); p.answer(slot, 1) },
		}
		for _, end := range ends {
			ctx, cancel := context.WithCancel(t.Context())
			go c.Do(ctx, exitsNamed{})
			end(p.expect(kindCommand).Slot, cancel)
			synctest.Wait()
			cancel()
			done := start(t.Context(), c, command{N: 1})
			p.answer(p.expect(kindCommand).Slot, 1)
			if o := <-done; o.err != nil {
				t.Error(o.err)
			}
		}
	})
}

// A codec that ends the goroutine of a Do, whose command its session has sent again, keeps no place.
func TestACodecThatEndsTheCallersGoroutineAfterAResume(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := memnet.Listen()
		accepted := make(chan *peer, 1)
		var session wire.Session
		go func() {
			p := acceptRaw(t, l)
			session = *p.hello(wire.ServerHello{SessionTime: sessionTime}).Session
			accepted <- p
		}()
		c, err := client.NewReconnect(t.Context(), codec{decode: func(r result) error { exitAt(r.N, 7); return nil }}, l.Dial,
			client.Conf{Session: true, MaxInFlight: 1, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		p := <-accepted
		go c.Do(t.Context(), command{})
		p.expect(kindCommand)
		p.nc.Cut(memnet.RST)
		p, list := resumed(t, l, session, 2)
		p.stand(wire.ServerSlot{Slot: list[0].Slot}) // unseen
		p.answer(p.expect(kindCommand).Slot, 7)
		done := start(t.Context(), c, command{N: 1})
		p.answer(p.expect(kindCommand).Slot, 1)
		if o := <-done; o.err != nil {
			t.Error(o.err)
		}
	})
}

// A Call whose codec, or command, has ended the goroutine that uses it ends, and can be closed.
func TestACallWhoseUserEndsTheGoroutine(t *testing.T) {
	t.Run("Decode", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			conn, err := serve(t, echo, serverConf{}).Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			c := over(t, conn, codec{decode: func(result) error { runtime.Goexit(); return nil }}, client.Conf{})
			x, err := c.Open(t.Context(), command{})
			if err != nil {
				t.Fatal(err)
			}
			go x.Receive()
			synctest.Wait()
			for range 2 {
				_, err = x.Receive()
				want(t, err, base.Failed, base.ErrPanic)
			}
			x.Close()
			if n := c.InFlight(); n != 0 {
				t.Errorf("%d commands are in flight", n)
			}
		})
	})
	t.Run("CommandName, in Close", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			c, p := newPeer(t, client.Conf{})
			x, err := c.Open(t.Context(), exitsNamed{})
			if err != nil {
				t.Fatal(err)
			}
			slot := p.expect(kindCommand).Slot
			go x.Close()
			p.expect(kindCancel)
			p.answer(slot, 1)
			_, err = x.Receive()
			want(t, err, base.Unknown, base.ErrPanic)
		})
	})
	t.Run("Encode, as it is sent again", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			l := memnet.Listen()
			accepted := two(t, l)
			c := encodesOnce(t, l)
			p := <-accepted
			x, err := c.Open(t.Context(), command{})
			if err != nil {
				t.Fatal(err)
			}
			slot := p.expect(kindCommand).Slot
			p.goaway("bye")
			p.fail(slot, wireFailure(base.Rejected, base.ErrDraining))
			<-accepted
			synctest.Wait()
			closed := make(chan struct{})
			go func() {
				defer close(closed)
				defer x.Close()
				x.Send([]byte("input")) // sees to it that the command is sent again
			}()
			<-closed
			_, err = x.Receive()
			want(t, err, base.Rejected, base.ErrDraining)
		})
	})
}
