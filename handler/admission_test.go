package handler_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/wire"
)

func oneAtATime(conf *handler.Conf[World]) { conf.MaxRunning = 1 }

// sleeper runs for a second, and no less.
func sleeper(c call) error {
	time.Sleep(time.Second)
	return c.last("slept")
}

// S8: what can't run waits, and begins in the order in which it came, whoever sent it.
func TestTheQueueHasAnOrder(t *testing.T) {
	var order []string
	note := func(name string) func(c call) error {
		return func(c call) error {
			order = append(order, name)
			return sleeper(c)
		}
	}
	withHost(t, commands{"a": note("a"), "b": note("b"), "c": note("c"), "d": note("d")}, oneAtATime, func(t *testing.T, h *host) {
		v, w := h.guest(), h.guest()
		for _, next := range []struct {
			v    *visitor
			slot int
			name string
		}{{v, 0, "a"}, {w, 0, "b"}, {v, 1, "c"}, {w, 1, "d"}} {
			next.v.command(next.slot, next.name)
			settle()
		}
		if h.Running() != 1 || h.Queued() != 3 {
			t.Errorf("%d run, %d wait", h.Running(), h.Queued())
		}
		time.Sleep(4 * time.Second)
		v.expect("0: slept.", "1: slept.")
		w.expect("0: slept.", "1: slept.")
		if !slices.Equal(order, []string{"a", "b", "c", "d"}) {
			t.Errorf("they began in the order %q", order)
		}
	})
}

// As many run at once as may.
func TestNoMoreRunAtOnceThanMay(t *testing.T) {
	withHost(t, commands{"sleep": sleeper}, func(conf *handler.Conf[World]) { conf.MaxRunning = 3 }, func(t *testing.T, h *host) {
		v := h.guest()
		for slot := range 8 {
			v.command(slot, "sleep")
		}
		for _, want := range []struct{ running, queued, came int }{{3, 5, 0}, {3, 2, 3}, {2, 0, 3}, {0, 0, 2}} {
			settle()
			if h.Running() != want.running || h.Queued() != want.queued {
				t.Errorf("%d run, %d wait, want %d, %d", h.Running(), h.Queued(), want.running, want.queued)
			}
			if got := v.take(); len(got) != want.came {
				t.Errorf("heard %q", got)
			}
			time.Sleep(time.Second)
		}
	})
}

func TestAFullQueueRefuses(t *testing.T) {
	withHost(t, commands{"sleep": sleeper}, func(conf *handler.Conf[World]) {
		conf.MaxRunning, conf.MaxQueued = 1, 2
	}, func(t *testing.T, h *host) {
		v := h.guest()
		for slot := range 4 {
			v.command(slot, "sleep")
		}
		settle()
		v.expect("3: rejected, busy: the server runs 1 commands, and 2 wait: this one would begin after 3ms")
		v.command(3, "sleep") // its slot is free
		v.expect("3: rejected, busy: the server runs 1 commands, and 2 wait: this one would begin after 12ms")
		time.Sleep(3 * time.Second)
		v.expect("0: slept.", "1: slept.", "2: slept.")
		if n := h.Counters.Shed.Load(); n != 2 {
			t.Errorf("%d are counted", n)
		}
	})
}

// Commands that their client gave up, and that run on all the same, count.
func TestCommandsThatRunOnAreShed(t *testing.T) {
	var open chan struct{}
	withHost(t, commands{"deaf": func(call) error {
		<-open // and not ctx.Done
		return nil
	}}, func(conf *handler.Conf[World]) {
		conf.MaxInFlight = 1
		open = make(chan struct{}) // of the bubble
	}, func(t *testing.T, h *host) {
		v := h.guest()
		for range 3 {
			v.command(0, "deaf")
			settle()
			v.cancel(0)
			settle()
		}
		if n := h.Counters.Shed.Load(); n != 1 {
			t.Errorf("%d are counted, want the third one", n)
		}
		close(open)
	})
}

// What would begin after its deadline, or after MaxQueueTime, is refused at once, with
// the time that it would have to wait.
func TestWhatWouldBeginTooLateIsRefused(t *testing.T) {
	withHost(t, commands{"sleep": sleeper}, func(conf *handler.Conf[World]) {
		conf.MaxRunning, conf.MaxQueueTime = 1, 2500*time.Millisecond
	}, func(t *testing.T, h *host) {
		v := h.guest()
		for range 100 { // by then the server knows that a command takes a second
			v.command(0, "sleep")
			time.Sleep(time.Second)
			v.expect("0: slept.")
		}
		v.command(0, "sleep")
		settle()
		v.extras(1, wire.Extras{Timeout: 900_000}, "sleep")
		v.expect("1: rejected, busy: the server runs 1 commands, and 0 wait: this one would begin after 1s")
		v.extras(1, wire.Extras{Timeout: 1_100_000}, "sleep")
		v.command(2, "sleep")
		v.expect()
		v.command(3, "sleep")
		v.expect("3: rejected, busy: the server runs 1 commands, and 2 wait: this one would begin after 3s")
		time.Sleep(3 * time.Second)
		if got := v.take(); len(got) != 3 {
			t.Errorf("heard %q", got)
		}
	})
}

// A refusal says when trying again may be of use.
func TestARefusalSaysWhenToTryAgain(t *testing.T) {
	withHost(t, commands{"sleep": sleeper}, func(conf *handler.Conf[World]) {
		conf.MaxRunning, conf.MaxQueued = 1, 0
	}, func(t *testing.T, h *host) {
		v := h.guest()
		retryAfter := func(slot int) uint64 {
			v.command(slot, "sleep")
			settle()
			v.mu.Lock()
			defer v.mu.Unlock()
			return v.failure.RetryAfter
		}
		v.command(0, "sleep")
		settle()
		if got := retryAfter(1); got != 10 { // nothing is known yet
			t.Errorf("%d ms", got)
		}
		for range 100 {
			time.Sleep(time.Second)
			settle()
			v.command(0, "sleep")
			settle()
		}
		if got := retryAfter(1); got < 990 || got > 1000 {
			t.Errorf("%d ms", got)
		}
		time.Sleep(time.Second)
	})
}

// A command that is given up in the queue leaves it at once, wherever it stands there,
// and was not run.
func TestTheQueueIsLeftByWhatIsGivenUp(t *testing.T) {
	for given := 1; given <= 3; given++ {
		for name, end := range map[string]string{
			"cancel":   "%d: rejected, canceled: the command was canceled while the server was running it",
			"deadline": "%d: rejected, deadline_exceeded: the command's deadline passed while the server was running it",
		} {
			t.Run(fmt.Sprint(name, " of ", given), func(t *testing.T) {
				ran := 0
				withHost(t, commands{"sleep": func(c call) error { ran++; return sleeper(c) }}, oneAtATime, func(t *testing.T, h *host) {
					v := h.guest()
					for slot := range 4 {
						var e wire.Extras
						if slot == given {
							e.Timeout = 500_000
						}
						v.extras(slot, wire.Extras{Credit: 2, Timeout: e.Timeout}, "sleep")
					}
					settle()
					if name == "cancel" {
						v.cancel(given)
					} else {
						time.Sleep(510 * time.Millisecond)
					}
					v.expect(fmt.Sprintf(end, given))
					if h.Queued() != 2 || v.conn.Running() != 3 {
						t.Errorf("%d wait, of %d", h.Queued(), v.conn.Running())
					}
					time.Sleep(5 * time.Second)
					if got := v.take(); len(got) != 3 || ran != 3 {
						t.Errorf("heard %q, %d ran", got, ran)
					}
				})
			})
		}
	}
}

// What waits for a client that is gone does not run.
func TestTheQueueIsLeftWithTheConnection(t *testing.T) {
	ran := 0
	withHost(t, commands{"sleep": func(c call) error { ran++; return sleeper(c) }}, oneAtATime, func(t *testing.T, h *host) {
		v, w := h.guest(), h.guest()
		v.command(0, "sleep")
		settle()
		for slot := range 5 {
			w.command(slot, "sleep")
		}
		settle()
		w.cut()
		if h.Queued() != 0 {
			t.Errorf("%d wait", h.Queued())
		}
		time.Sleep(time.Second)
		v.expect("0: slept.")
		if ran != 1 {
			t.Errorf("%d ran", ran)
		}
	})
}

// A session's commands wait on without a connection.
func TestTheQueueKeepsASessionsCommands(t *testing.T) {
	withHost(t, commands{"sleep": sleeper}, oneAtATime, func(t *testing.T, h *host) {
		v := h.open(1)
		v.send(0, 1, 1, "sleep")
		v.send(1, 2, 1, "sleep")
		settle()
		v.cut()
		time.Sleep(2 * time.Second)
		v.resume(stands(0, 1, 0, 1), stands(1, 2, 0, 1))
		v.inOrder("list 0:seen,0+8 1:seen,0+8", "0: slept.", "1: slept.")
	})
}

// The next begins however the one before has ended.
func TestTheNextBegins(t *testing.T) {
	for name, exec := range map[string]func(c call) error{
		"fails":  func(call) error { time.Sleep(time.Second); return fmt.Errorf("no") },
		"panics": func(call) error { time.Sleep(time.Second); panic("boom") },
		"exits":  func(call) error { time.Sleep(time.Second); runtime.Goexit(); return nil },
		"sleeps": sleeper,
		"is canceled": func(c call) error {
			time.Sleep(time.Second)
			return c.ctx.Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			withHost(t, commands{"first": exec, "echo": echo}, oneAtATime, func(t *testing.T, h *host) {
				v := h.guest()
				v.command(0, "first")
				v.command(1, "echo")
				v.command(2, "undecodable")
				v.command(3, "echo")
				settle()
				if name == "is canceled" {
					v.cancel(0)
				}
				v.take()
				time.Sleep(time.Second)
				got := strings.Join(v.take(), ", ")
				for _, want := range []string{"1: echo.", "2: rejected, unknown_cmd: no command undecodable", "3: echo."} {
					if !strings.Contains(got, want) {
						t.Errorf("heard %q", got)
					}
				}
			})
		})
	}
}

// Who comes after one that left the end of the queue still gets a turn.
func TestTheQueueGoesOnAfterItsEndHasLeft(t *testing.T) {
	withHost(t, commands{"sleep": sleeper}, oneAtATime, func(t *testing.T, h *host) {
		v := h.guest()
		for slot := range 3 {
			v.command(slot, "sleep")
		}
		settle()
		v.cancel(2)
		v.expect("2: rejected, canceled: the command was canceled while the server was running it")
		v.command(2, "sleep")
		v.command(3, "sleep")
		time.Sleep(5 * time.Second)
		v.expect("0: slept.", "1: slept.", "2: slept.", "3: slept.")
	})
}
