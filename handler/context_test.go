package handler_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/transport"
	"github.com/cmdstream/cmdstream/wire"
)

// waiter runs until its ctx ends.
func waiter(c call) error {
	<-c.ctx.Done()
	return c.ctx.Err()
}

func TestTheClientCancels(t *testing.T) {
	var err, sent error
	test(t, commands{"wait": func(c call) error {
		<-c.ctx.Done()
		err, sent = c.ctx.Err(), c.last("late")
		return nil
	}}, nil, func(t *testing.T, s *setup) {
		s.command(0, "wait")
		s.expect()
		s.cancel(0)
		s.expect("0: unknown, canceled: the command was canceled while the server was running it")
		if err != context.Canceled {
			t.Errorf("the ctx ended by %v", err)
		}
		if !errors.Is(sent, base.ErrCommandEnded) || !errors.Is(sent, context.Canceled) {
			t.Errorf("Send returned %v", sent)
		}
	})
}

func TestTheDeadlinePasses(t *testing.T) {
	var err error
	var until time.Time
	test(t, commands{"echo": echo, "wait": func(c call) error {
		until, _ = c.ctx.Deadline()
		<-c.ctx.Done()
		err = c.ctx.Err()
		return err
	}}, nil, func(t *testing.T, s *setup) {
		start := time.Now()
		s.extras(0, wire.Extras{Timeout: 3_000_000}, "wait")
		s.extras(1, wire.Extras{Timeout: 1_000_000}, "echo")
		s.expect("1: echo.")
		time.Sleep(3*time.Second - 10*time.Millisecond)
		s.expect()
		time.Sleep(10 * time.Millisecond)
		s.expect("0: unknown, deadline_exceeded: the command's deadline passed while the server was running it")
		if err != context.DeadlineExceeded || !until.Equal(start.Add(3*time.Second)) {
			t.Errorf("the ctx ended by %v; its deadline was after %v", err, until.Sub(start))
		}
	})
}

// queue is a wire on which each message waits for a second after it has come.
type queue struct{ transport.Transport }

func (q queue) Read(r *bufio.Reader, m *transport.Message) error {
	err := q.Transport.Read(r, m)
	time.Sleep(time.Second)
	return err
}

func TestACommandThatIsLateBeforeItStartsIsNotRun(t *testing.T) {
	test(t, commands{"late": func(c call) error { t.Error("it was run"); return nil }, "echo": echo}, func(s *setup) {
		s.transport = func(o transport.Options) transport.Transport { return queue{transport.Framed(o)} }
	}, func(t *testing.T, s *setup) {
		s.extras(0, wire.Extras{Timeout: 1_000_000}, "late")
		s.extras(1, wire.Extras{Timeout: 4_000_000}, "echo")
		time.Sleep(3 * time.Second)
		s.expect("0: rejected, deadline_exceeded: the command's deadline passed before the server ran it", "1: echo.")
	})
}

func TestTheConnectionIsLost(t *testing.T) {
	var err, sent error
	test(t, commands{"wait": func(c call) error {
		<-c.ctx.Done()
		err, sent = c.ctx.Err(), c.last("late")
		return nil
	}}, nil, func(t *testing.T, s *setup) {
		s.command(0, "wait")
		s.expect()
		s.peer.conn.Cut(memnet.RST)
		if ends := s.ends(); len(ends) != 1 || !errors.Is(ends[0], base.ErrConnLost) {
			t.Errorf("the connection ended by %v", ends)
		}
		if err != context.Canceled || !errors.Is(sent, base.ErrCommandEnded) || !errors.Is(sent, base.ErrConnLost) {
			t.Errorf("the ctx ended by %v, Send returned %v", err, sent)
		}
	})
}

// A command may work on after its last result. It must learn of the end then too,
// although its slot is another command's by then.
func TestTheCtxEndsAlsoAfterTheLastResult(t *testing.T) {
	for name, end := range map[string]func(s *setup){
		"lost":     func(s *setup) { s.peer.conn.Cut(memnet.RST) },
		"deadline": func(s *setup) { time.Sleep(2 * time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			var ended atomic.Int32
			test(t, commands{"wait": func(c call) error {
				c.last("done")
				<-c.ctx.Done()
				ended.Add(1)
				return nil
			}}, nil, func(t *testing.T, s *setup) {
				for range 2 { // the second one takes the slot of the first
					s.extras(0, wire.Extras{Timeout: 1_000_000}, "wait")
					s.expect("0: done.")
				}
				end(s)
				settle()
				if ended.Load() != 2 || s.conn.Running() != 0 {
					t.Errorf("%d ctxs have ended, %d commands are running", ended.Load(), s.conn.Running())
				}
			})
		})
	}
}

func TestTheCtxEndsWithTheCommand(t *testing.T) {
	var during, after context.Context
	started := make(chan context.Context, 2)
	test(t, commands{
		"ask":   func(c call) error { during = c.ctx; during.Done(); return c.last("") },
		"leave": func(c call) error { after = c.ctx; return c.last("") },
		// The goroutine asks for Done only when the command has returned.
		"go": func(c call) error {
			go func() {
				time.Sleep(time.Second)
				<-c.ctx.Done()
				started <- c.ctx
			}()
			return c.last("")
		},
	}, func(s *setup) { started = make(chan context.Context, 2) }, func(t *testing.T, s *setup) {
		s.command(0, "ask")
		s.command(1, "leave")
		s.command(2, "go")
		s.expect("0: .", "1: .", "2: .")
		for _, ctx := range []context.Context{during, after} {
			<-ctx.Done()
			if ctx.Err() != context.Canceled {
				t.Errorf("after the command the ctx's error is %v", ctx.Err())
			}
		}
		time.Sleep(time.Second)
		<-started
	})
}

func TestAKeptCtxIsNeverAnotherCommands(t *testing.T) {
	var kept []context.Context
	touch := []func(ctx context.Context){
		func(ctx context.Context) { ctx.Done() },
		func(ctx context.Context) { ctx.Err() },
		func(ctx context.Context) { ctx.Value("") },
		func(ctx context.Context) { ctx.Deadline() },
		func(ctx context.Context) { context.AfterFunc(ctx, func() {}) },
	}
	test(t, commands{"keep": func(c call) error {
		if int(c.seq) <= len(touch) {
			touch[c.seq-1](c.ctx)
			kept = append(kept, c.ctx)
			return c.last("kept")
		}
		return waiter(c)
	}}, nil, func(t *testing.T, s *setup) {
		for range touch {
			s.command(0, "keep")
			s.expect("0: kept.")
		}
		s.extras(0, wire.Extras{Timeout: 1_000_000}, "keep")
		s.expect()
		for i, ctx := range kept {
			_, has := ctx.Deadline()
			select {
			case <-ctx.Done():
			default:
				t.Errorf("the ctx of command %d goes on", i)
			}
			if has || ctx.Err() != context.Canceled {
				t.Errorf("the ctx of command %d is another's: %v, %v", i, has, ctx.Err())
			}
		}
	})
}

func TestValuesOfTheConnection(t *testing.T) {
	type key struct{}
	var got any
	test(t, commands{"get": func(c call) error { got = c.ctx.Value(key{}); return c.last("") }},
		func(s *setup) { s.ctx = context.WithValue(context.Background(), key{}, 7) },
		func(t *testing.T, s *setup) {
			s.command(0, "get")
			s.expect("0: .")
			if got != 7 {
				t.Errorf("got %v", got)
			}
		})
}

func TestDerivedContextsCostNoGoroutine(t *testing.T) {
	var ended []string
	var before, within int
	test(t, commands{"derive": func(c call) error {
		before = runtime.NumGoroutine()
		for range 100 {
			_, cancel := context.WithCancel(c.ctx)
			defer cancel()
		}
		within = runtime.NumGoroutine()
		child, cancel := context.WithTimeout(c.ctx, time.Hour)
		defer cancel()
		gone, cancel := context.WithCancel(c.ctx)
		cancel()
		if c.ctx.Err() != nil || gone.Err() == nil {
			t.Error("the child's end ended the parent, or not itself")
		}
		stop := context.AfterFunc(c.ctx, func() { t.Error("a stopped function was called") })
		if !stop() || stop() {
			t.Error("a function can't be stopped, or twice")
		}
		called := make(chan struct{})
		stop = context.AfterFunc(c.ctx, func() { close(called) })
		<-child.Done()
		ended = append(ended, child.Err().Error())
		<-called
		if stop() {
			t.Error("a function that was called could be stopped")
		}
		late := make(chan struct{})
		if context.AfterFunc(c.ctx, func() { close(late) })() {
			t.Error("a function of a ctx that has ended could be stopped")
		}
		<-late
		return nil
	}}, nil, func(t *testing.T, s *setup) {
		s.command(0, "derive")
		s.expect()
		s.cancel(0)
		s.expect("0: unknown, canceled: the command was canceled while the server was running it")
		if len(ended) != 1 || ended[0] != "context canceled" {
			t.Errorf("the child ended by %v", ended)
		}
		if within > before {
			t.Errorf("%d goroutines for 100 derived contexts", within-before)
		}
	})
}

func TestASendThatWaitsEndsWithTheCtx(t *testing.T) {
	var sent error
	test(t, commands{"flood": func(c call) error {
		for sent == nil {
			sent = c.send("more")
		}
		return io.EOF
	}}, nil, func(t *testing.T, s *setup) {
		s.extras(0, wire.Extras{Timeout: 1_000_000}, "flood")
		s.expect("0: more")
		time.Sleep(time.Second + 2*time.Millisecond)
		s.expect("0: unknown, deadline_exceeded: the command's deadline passed while the server was running it")
		if !errors.Is(sent, base.ErrCommandEnded) || !errors.Is(sent, context.DeadlineExceeded) {
			t.Errorf("Send returned %v", sent)
		}
	})
}
