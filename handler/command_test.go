package handler_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/wire"
)

func echo(c call) error { return c.last("echo") }

func TestACommandIsRunAgainstTheReceiver(t *testing.T) {
	var got call
	test(t, commands{"look": func(c call) error { got = c; return c.last("seen") }}, nil,
		func(t *testing.T, s *setup) {
			time.Sleep(time.Hour)
			at := time.Now()
			s.command(3, "look")
			s.expect("3: seen.")
			if got.seq != 1 || got.world.Name != "earth" || !got.at.Equal(at) {
				t.Errorf("seq %d, receiver %v, at %v; it came at %v", got.seq, got.world, got.at, at)
			}
			if got.LocalAddr() != s.server.LocalAddr() || got.RemoteAddr() != s.server.RemoteAddr() {
				t.Errorf("addresses %v, %v", got.LocalAddr(), got.RemoteAddr())
			}
		})
}

func TestEachCommandHasAGoroutineOfItsOwn(t *testing.T) {
	open := make(chan struct{})
	release := func(c call) error { close(open); return c.last("released") }
	test(t, commands{"echo": echo, "release": release, "block": func(c call) error {
		<-open
		return c.last("unblocked")
	}}, func(s *setup) { s.conf.MaxInFlight = 200; open = make(chan struct{}) }, func(t *testing.T, s *setup) {
		for i := range 100 {
			s.command(i, "block")
		}
		s.expect()
		if n := s.conn.Running(); n != 100 {
			t.Errorf("%d commands are running", n)
		}
		s.command(100, "echo")
		s.expect("100: echo.")
		s.command(101, "release")
		want := []string{"101: released."}
		for i := range 100 {
			want = append(want, fmt.Sprintf("%d: unblocked.", i))
		}
		s.expect(want...)
		if n := s.conn.Running(); n != 0 {
			t.Errorf("%d commands are running", n)
		}
	})
}

func TestResultsComeInTheOrderOfTheirCommandsWork(t *testing.T) {
	slow := func(d time.Duration) func(c call) error {
		return func(c call) error { time.Sleep(d); return c.last(d.String()) }
	}
	test(t, commands{"slow": slow(2 * time.Second), "fast": slow(time.Second)}, nil, func(t *testing.T, s *setup) {
		s.command(0, "slow")
		s.command(1, "fast")
		time.Sleep(time.Second)
		s.expect("1: 1s.")
		s.command(1, "fast")
		time.Sleep(time.Second)
		s.expect("0: 2s.", "1: 1s.")
	})
}

func TestASlotServesManyCommands(t *testing.T) {
	test(t, commands{"echo": echo}, nil, func(t *testing.T, s *setup) {
		for range 100 {
			s.command(7, "echo")
			s.expect("7: echo.")
		}
	})
}

func TestPingsAreAnswered(t *testing.T) {
	test(t, nil, nil, func(t *testing.T, s *setup) {
		s.write([]byte{wire.Ping, wire.Ping})
		s.expect("pong", "pong")
	})
}

type twice struct{ handler.Invoker[World] }

func (i twice) Invoke(ctx context.Context, at time.Time, seq base.Seq, cmd base.Cmd[World], proxy base.Proxy) error {
	if err := i.Invoker.Invoke(ctx, at, seq, cmd, proxy); err != nil {
		return fmt.Errorf("the invoker says: %w", err)
	}
	return i.Invoker.Invoke(ctx, at, seq, cmd, proxy)
}

func TestTheInvokerRunsTheCommands(t *testing.T) {
	n := 0
	count := func(c call) error {
		if n++; n == 2 {
			return c.last("second")
		}
		return c.send("first")
	}
	test(t, commands{"count": count, "fail": func(call) error { return net.ErrClosed }}, func(s *setup) {
		s.conf.Invoker = twice{s.conf.Invoker}
	}, func(t *testing.T, s *setup) {
		s.extras(0, wire.Extras{Credit: 2}, "count")
		s.expect("0: first", "0: second.")
		s.command(0, "fail")
		s.expect("0: failed, exec: the invoker says: use of closed network connection")
	})
}

// once is an Invoker of the user's, which refuses one command.
type once struct {
	handler.Invoker[World]
	refusal error
}

func (o once) Invoke(ctx context.Context, at time.Time, seq base.Seq, c base.Cmd[World], proxy base.Proxy) error {
	if c.(cmd).name == "never" {
		return o.refusal
	}
	return o.Invoker.Invoke(ctx, at, seq, c, proxy)
}

// A policy in an Invoker may refuse a command before it runs it. Exec can't say
// so of another command, which it has sent to another server: it has run itself.
func TestWhoMayReject(t *testing.T) {
	refusal := &base.Error{Outcome: base.Rejected, Code: base.ErrBusy, Message: "not now"}
	test(t, commands{"refused": func(call) error { return refusal }}, nil, func(t *testing.T, s *setup) {
		s.command(0, "refused")
		s.expect("0: failed, busy: not now") // it ran to say so
	})
	test(t, commands{
		"never":   func(call) error { t.Error("it was run"); return nil },
		"refused": func(call) error { return refusal },
		"wrapped": func(call) error { return fmt.Errorf("because: %w", refusal) },
		"half-way": func(c call) error {
			if err := c.send("one"); err != nil {
				return err
			}
			return refusal
		},
		"downstream": func(call) error { return &base.Error{Outcome: base.Rejected, Code: base.ErrBusy, Cmd: "Other", Seq: 3} },
		"remote": func(call) error {
			return &base.Error{Outcome: base.Rejected, Code: base.ErrDraining, Remote: true, Message: "draining"}
		},
	}, func(s *setup) {
		s.conf.Invoker = once{s.conf.Invoker, refusal}
	}, func(t *testing.T, s *setup) {
		s.command(0, "never")
		s.expect("0: rejected, busy: not now")
		s.command(0, "refused")
		s.expect("0: failed, busy: not now")
		s.command(0, "wrapped")
		s.expect("0: failed, busy: because: cmdstream: not now")
		s.command(0, "half-way")
		s.expect("0: one", "0: failed, busy: not now")
		s.command(0, "downstream")
		s.expect("0: failed, busy: cmdstream: command Other (seq 3): busy (outcome: rejected)")
		s.command(0, "remote")
		s.expect("0: failed, draining: draining")
	})
}

func TestTooManyCommandsThatRunOn(t *testing.T) {
	open := make(chan struct{})
	test(t, commands{"echo": echo, "deaf": func(c call) error {
		<-open // and not ctx.Done
		return nil
	}}, func(s *setup) { s.conf.MaxInFlight = 2; open = make(chan struct{}) }, func(t *testing.T, s *setup) {
		given := "%d: unknown, canceled: the command was canceled while the server was running it"
		for range 2 {
			s.command(0, "deaf")
			s.command(1, "deaf")
			settle()
			s.cancel(0)
			s.cancel(1)
			s.expect(fmt.Sprintf(given, 0), fmt.Sprintf(given, 1))
		}
		s.command(0, "echo")
		s.expect("0: rejected, busy: more than 4 commands of this connection are running, given up by the client or not")
		close(open)
		settle()
		s.command(0, "echo")
		s.expect("0: echo.")
	})
}

func TestDrain(t *testing.T) {
	test(t, commands{"echo": echo, "slow": func(c call) error {
		time.Sleep(time.Second)
		return c.last("slow")
	}}, nil, func(t *testing.T, s *setup) {
		s.command(0, "slow")
		settle()
		s.conn.Drain(0)
		s.expect("goaway")
		s.command(1, "echo")
		s.expect("1: rejected, draining: the server is shutting down and takes no more commands")
		s.command(1, "echo")
		s.expect("1: rejected, draining: the server is shutting down and takes no more commands")
		time.Sleep(time.Second)
		s.expect("0: slow.")
		if len(s.ends()) != 0 {
			t.Error("the connection has ended")
		}
	})
}
