package server_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/server"
)

// S8: no more commands run at once than MaxRunning, whoever sent them; the others
// wait for their turn.
func TestCommandsWaitForTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		most, running := 0, 0
		h := start(t, server.Conf[World]{MaxRunning: 2, MaxQueueTime: time.Minute}, commands{
			"work": func(_ context.Context, send func(string, bool) error) error {
				mu.Lock()
				running++
				most = max(most, running)
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				running--
				mu.Unlock()
				return send("done", true)
			},
		})
		begin := time.Now()
		var done []<-chan error
		for range 3 {
			c := h.client()
			done = append(done, h.run(c, "work"), h.run(c, "work"))
		}
		if s := h.Stats(); s.Running != 2 || s.Queued != 4 {
			t.Errorf("got %+v", s)
		}
		for _, d := range done {
			if err := <-d; err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(begin); took.Round(10*time.Millisecond) != 3*time.Second || most != 2 {
			t.Errorf("it took %v, %d at once", took, most)
		}
		settle()
		if s := h.Stats(); s.Running != 0 || s.Queued != 0 || s.Shed != 0 {
			t.Errorf("got %+v", s)
		}
	})
}

// What would wait too long is refused at once.
func TestCommandsAreShed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{MaxRunning: 1, MaxQueued: 2, MaxQueueTime: time.Minute}, commands{"slow": later})
		c := h.client()
		var done []<-chan error
		for range 3 {
			done = append(done, h.run(c, "slow"))
		}
		var e *base.Error
		_, err := c.Do(t.Context(), cmd("slow"))
		if !errors.As(err, &e) || e.Outcome != base.Rejected || e.Code != base.ErrBusy || e.RetryAfter <= 0 {
			t.Errorf("the queue is full: %#v", err)
		}
		for _, d := range done {
			if err := <-d; err != nil {
				t.Error(err)
			}
		}
		// By now the server knows that a command takes about a second: one that has
		// less time is not even queued.
		for range 30 {
			h.run(c, "slow")
			time.Sleep(time.Second)
		}
		h.run(c, "slow")
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		begin := time.Now()
		_, err = c.Do(ctx, cmd("slow"))
		if !errors.Is(err, base.ErrBusy) || time.Since(begin) != 0 {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		if s := h.Stats(); s.Shed != 2 {
			t.Errorf("got %+v", s)
		}
	})
}

// A command that is given up while it waits is gone at once, and was not run.
func TestTheQueueIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ran := 0
		h := start(t, server.Conf[World]{MaxRunning: 1}, commands{"slow": later, "count": func(_ context.Context, send func(string, bool) error) error {
			ran++
			return send("counted", true)
		}})
		c := h.client()
		h.run(c, "slow")
		ctx, cancel := context.WithCancel(t.Context())
		canceled := make(chan error, 1)
		go func() {
			_, err := c.Do(ctx, cmd("count"))
			canceled <- err
		}()
		late, stop := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer stop()
		expired := make(chan error, 1)
		go func() {
			_, err := c.Do(late, cmd("count"))
			expired <- err
		}()
		settle()
		if s := h.Stats(); s.Queued != 2 {
			t.Errorf("got %+v", s)
		}
		cancel()
		<-canceled
		settle()
		if s := h.Stats(); s.Queued != 1 {
			t.Errorf("after the cancel: %+v", s)
		}
		<-expired
		settle()
		if s := h.Stats(); s.Queued != 0 || s.Running != 1 {
			t.Errorf("after the deadline: %+v", s)
		}
		h.echoes(c)
		if ran != 0 {
			t.Errorf("%d ran", ran)
		}
	})
}

// The next command begins however the one before has ended.
func TestTheNextBeginsAfterAnyEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{MaxRunning: 1, OnPanic: nil}, commands{
			"panic": func(context.Context, func(string, bool) error) error {
				time.Sleep(time.Second / 2)
				panic("on purpose")
			},
			"exit": func(context.Context, func(string, bool) error) error {
				time.Sleep(time.Second / 2)
				runtime.Goexit()
				return nil
			},
		})
		c := h.client()
		for _, name := range []string{"panic", "exit"} {
			done := h.run(c, name)
			next := h.run(c, "echo")
			if err := <-done; !errors.Is(err, base.ErrPanic) {
				t.Errorf("%s: %v", name, err)
			}
			if err := <-next; err != nil {
				t.Errorf("after %s: %v", name, err)
			}
		}
		if s := h.Stats(); s.Panics != 2 || s.Running != 0 {
			t.Errorf("got %+v", s)
		}
	})
}

// C13: without memory for a body that command alone is refused.
func TestMemoryIsBounded(t *testing.T) {
	for name, conf := range map[string]server.Conf[World]{
		"of a connection": {MaxConnBytes: 200_000},
		"of the server":   {MaxBytes: 200_000},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				long := strings.Repeat("x", 150_000)
				h := start(t, conf, commands{long: later, long[:20_000]: later})
				c := h.client()
				done := h.run(c, long)
				if s := h.Stats(); s.Bytes < 150_000 {
					t.Errorf("got %+v", s)
				}
				for _, big := range []string{long, strings.Repeat("y", 60_000)} {
					_, err := c.Do(t.Context(), cmd(big))
					if !errors.Is(err, base.ErrBusy) || base.OutcomeOf(err) != base.Rejected {
						t.Errorf("%d bytes: %v", len(big), err)
					}
				}
				h.echoes(c)
				if err := <-h.run(c, long[:20_000]); err != nil {
					t.Error(err)
				}
				if err := <-done; err != nil {
					t.Error(err)
				}
				settle()
				if s := h.Stats(); s.Bytes != 0 || s.NoMemory != 2 {
					t.Errorf("got %+v", s)
				}
			})
		})
	}
}

// A draining server gives back the memory of what it refuses, and of inputs for nobody.
func TestMemoryOfWhatIsRefusedIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{}, nil)
		nc := h.dial()
		sayHello(t, nc)
		go h.Shutdown(t.Context())
		settle()
		long := make([]byte, 60_000)
		first := append([]byte{0x11, 0, 0xe3, 0xd4, 3, 0xc0, 0xa9, 7}, long...) // of 120,000 bytes
		nc.Write(append(append(first, 0x10, 0, 0xe0, 0xd4, 3), long...))
		nc.Write(append(append([]byte{0x61, 9, 0xe3, 0xd4, 3, 0xc0, 0xa9, 7}, long...), append([]byte{0x60, 9, 0xe0, 0xd4, 3}, long...)...))
		settle()
		if s := h.Stats(); s.Bytes != 0 || s.Connections != 1 {
			t.Errorf("got %+v\n%s", s, h.log)
		}
	})
}

// What was on its way when the connection ended is given back.
func TestMemoryOfHalfACommandIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{}, nil)
		nc := h.dial()
		sayHello(t, nc)
		nc.Write([]byte{0x11, 0, 4, 0xa0, 0x8d, 6, 'x'}) // 100,000 bytes are announced
		settle()
		if s := h.Stats(); s.Bytes != 100_000 {
			t.Errorf("got %+v", s)
		}
		nc.Close()
		settle()
		if s := h.Stats(); s.Bytes != 0 {
			t.Errorf("got %+v", s)
		}
	})
}

// A4: pings have a budget, which honest clients do not reach.
func TestAFloodOfPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{}, nil)
		honest, err := h.connect(client.Conf{KeepaliveTime: 20 * time.Millisecond, KeepaliveIntvl: 20 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		nc := h.dial()
		sayHello(t, nc)
		go func() {
			pongs := make([]byte, 1<<10)
			for {
				if _, err := nc.Read(pongs); err != nil {
					return
				}
			}
		}()
		nc.Write(make([]byte, 1000))
		settle()
		if s := h.Stats(); s.Floods != 0 {
			t.Errorf("a thousand: %+v", s)
		}
		nc.Write(make([]byte, 10))
		settle()
		if s := h.Stats(); s.Floods != 1 || s.Connections != 1 {
			t.Errorf("more: %+v", s)
		}
		time.Sleep(10 * time.Minute)
		h.echoes(honest)
	})
}
