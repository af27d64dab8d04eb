package handler_test

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"net"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/transport"
	"github.com/cmdstream/cmdstream/wire"
)

// atOnce checks what has come by now, in any order.
func (p *peer) atOnce(want ...string) {
	p.t.Helper()
	synctest.Wait()
	p.mu.Lock()
	got := p.heard
	p.heard = nil
	p.mu.Unlock()
	slices.Sort(got)
	p.compare(got, want)
}

// hasHeard checks that something has come by now, whatever else has.
func (p *peer) hasHeard(want string) {
	p.t.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Contains(p.heard, want) {
		p.t.Errorf("%q has not come, only %d others", want, len(p.heard))
	}
}

// Whatever commands do, one that has come with them is held up by less than 2 ms.
func TestACommandHoldsUpOthersForAMoment(t *testing.T) {
	sleep := func(d time.Duration) func(c call) error {
		return func(c call) error {
			time.Sleep(d)
			return c.last("slept")
		}
	}
	const us = time.Microsecond
	// Of each n are sent, and they may be of so many types. To read one takes a while, or none.
	for _, many := range []struct {
		name     string
		n, types int
		reading  time.Duration
		exec     func(c call) error
	}{
		{"one that waits for ever", 1, 1, 0, waiter},
		{"fifteen thousand that wait for ever", 15000, 1, 0, waiter},
		{"two hundred that wait for ever, of as many types", 200, 200, 0, waiter},
		{"a hundred of 0.9 ms", 100, 1, 0, sleep(900 * us)},
		{"a hundred of 0.9 ms, of as many types", 100, 100, 0, sleep(900 * us)},
		{"a thousand of 150 us", 1000, 1, 0, sleep(150 * us)},
		{"a thousand of 150 us, of a hundred types", 1000, 100, 0, sleep(150 * us)},
		{"ten thousand of 15 us", 10000, 1, 0, sleep(15 * us)},
		{"a quick one after each that waits", 2000, 2, 0, nil},

		{"a hundred of 0.9 ms, read in 5 us each", 100, 1, 5 * us, sleep(900 * us)},
		{"a thousand of 0.99 ms, read in 5 us each", 1000, 1, 5 * us, sleep(990 * us)},
		{"a thousand of 0.99 ms, of as many types as there are, read in 5 us each", 1000, 200, 5 * us, sleep(990 * us)},
		{"ten thousand of 0.39 ms, of 32 types, read in 3 us each", 10000, 32, 3 * us, sleep(390 * us)},
		{"ten thousand of 15 us, of 32 types, read in 10 us each", 10000, 32, 10 * us, sleep(15 * us)},
		{"ten thousand that wait for ever, read in 5 us each", 10000, 32, 5 * us, waiter},
	} {
		t.Run(many.name, func(t *testing.T) {
			var decoded atomic.Int64
			test(t, commands{"echo": echo}, func(s *setup) {
				s.conf.MaxInFlight, s.conf.MaxRunning = 1<<15, 1<<15
				s.transport = func(o transport.Options) transport.Transport {
					return slowReader{transport.Framed(o), many.reading}
				}
				s.decode = func(string) (base.Cmd[World], error) {
					next := int(decoded.Add(1))
					exec := many.exec
					if exec == nil {
						if exec = waiter; next%2 == 0 {
							exec = echo
						}
					}
					return ofType(next%many.types, cmd{"", exec}), nil
				}
			}, func(t *testing.T, s *setup) {
				var b []byte
				for slot := range many.n {
					b = append(b, frame(wire.KindCommand, 0, slot, []byte("x"))...)
				}
				s.write(append(b, frame(wire.KindCommand, 0, many.n, []byte("echo"))...))
				time.Sleep(time.Duration(many.n+1)*many.reading + 2*time.Millisecond - 1)
				s.hasHeard(fmt.Sprintf("%d: echo.", many.n))
			})
		})
	}
}

// However much has come together, an answer waits for less than 2 ms to go out with those of others.
func TestAnAnswerIsHeldBackForAMoment(t *testing.T) {
	const us = time.Microsecond
	for name, others := range map[string]struct {
		reading, running time.Duration // what each takes
	}{
		"quick":                   {0, 2 * us},
		"that take long":          {0, 50 * us},
		"that are read in 5 us":   {5 * us, 0},
		"read in 5 us, run in 30": {5 * us, 30 * us},
	} {
		t.Run(name, func(t *testing.T) {
			test(t, commands{"echo": echo}, func(s *setup) {
				s.conf.MaxInFlight, s.conf.MaxRunning = 1<<15, 1<<15
				s.transport = func(o transport.Options) transport.Transport {
					return slowReader{transport.Framed(o), others.reading}
				}
				s.decode = func(string) (base.Cmd[World], error) {
					return cmd{"", func(c call) error { time.Sleep(others.running); return c.last("") }}, nil
				}
			}, func(t *testing.T, s *setup) {
				const n = 100 // from there on there are 16 KiB to be read at once
				var b []byte
				for slot := range 5000 {
					body := []byte(nil)
					if slot == n {
						body = []byte("echo")
					}
					b = append(b, frame(wire.KindCommand, 0, slot, body)...)
				}
				s.write(b)
				time.Sleep(n*(others.reading+min(others.running, 2*us)) + 2*time.Millisecond - 1)
				s.hasHeard(fmt.Sprintf("%d: echo.", n))
			})
		})
	}
}

// Where a Read takes a while though more has come, as TLS may, what the leader has spent on others
// counts all the same.
func TestACommandIsNotHeldUpWhereReadsTakeLong(t *testing.T) {
	const n, us = 1000, time.Microsecond
	test(t, commands{"echo": echo}, func(s *setup) {
		s.conf.MaxInFlight, s.conf.MaxRunning = n+1, n+1
		s.wrap = func(nc net.Conn) net.Conn { return slowConn{nc, 25 * us} }
		s.decode = func(string) (base.Cmd[World], error) {
			return cmd{"", func(c call) error { time.Sleep(15 * us); return c.last("") }}, nil
		}
	}, func(t *testing.T, s *setup) {
		var b []byte
		for slot := range n {
			b = append(b, frame(wire.KindCommand, 0, slot, make([]byte, 700))...)
		}
		b = append(b, frame(wire.KindCommand, 0, n, []byte("echo"))...)
		go s.write(b)
		time.Sleep(time.Duration(2+len(b)>>14)*25*us + 2*time.Millisecond)
		s.hasHeard(fmt.Sprintf("%d: echo.", n))
	})
}

type slowConn struct {
	net.Conn
	each time.Duration
}

func (s slowConn) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	time.Sleep(s.each)
	return n, err
}

// Goroutines of one command may send at once, and when it ends each of them learns so.
func TestManySendersOfACommandEnd(t *testing.T) {
	const n = 1000
	for name, end := range map[string]struct {
		first func(c call) error // sends before the others, and waits for credit
		frame []byte
		fail  int64
	}{
		"by a cancel":      {func(c call) error { return c.send("1") }, frame(wire.KindCancel, 0, 0, nil), n + 1},
		"by a last result": {func(c call) error { return c.last("1") }, frame(wire.KindCredit, 0, 0, []byte{1}), n},
	} {
		t.Run(name, func(t *testing.T) {
			var over sync.WaitGroup
			failed := atomic.Int64{}
			try := func(err error) {
				if err != nil {
					failed.Add(1)
				}
			}
			test(t, commands{"fan": func(c call) error {
				c.send("0") // for which there is credit
				over.Go(func() { try(end.first(c)) })
				time.Sleep(time.Millisecond) // until it waits
				for range n {
					over.Go(func() { try(c.send("2")) })
				}
				over.Wait()
				return nil
			}}, nil, func(t *testing.T, s *setup) {
				s.command(0, "fan")
				time.Sleep(time.Second)
				s.write(end.frame)
				over.Wait()
				if got := failed.Load(); got != end.fail {
					t.Errorf("%d of %d failed", got, n+1)
				}
				s.take()
			})
		})
	}
}

// What a command sends that has its goroutine to itself is not held back at all, nor its failure.
func TestWhoHasAGoroutineHoldsNothingBack(t *testing.T) {
	const us = time.Microsecond
	for name, slow := range map[string]func(c call) error{
		"an answer": func(c call) error { time.Sleep(60200 * us); return c.last("done") },
		"a result":  func(c call) error { time.Sleep(60200 * us); c.send("done"); return waiter(c) },
		"an error":  func(c call) error { time.Sleep(60200 * us); return errors.New("done") },
		"nothing":   func(c call) error { time.Sleep(60200 * us); return nil },
	} {
		for _, session := range []int64{0, 1} {
			t.Run(fmt.Sprint(name, " ", session), func(t *testing.T) {
				withHost(t, nil, func(conf *handler.Conf[World]) {
					conf.Codec = codec{commands{"slow": slow}, func(string) (base.Cmd[World], error) { // of another type
						return ofType(1, cmd{"", func(c call) error { time.Sleep(2 * us); return c.last("") }}), nil
					}}
					conf.MaxInFlight, conf.MaxRunning = 1<<15, 1<<15
				}, func(t *testing.T, h *host) {
					v := h.guest()
					if session > 0 {
						v = h.open(1)
					}
					v.command(0, "slow")
					for range 5 { // of what the leader has spent on it, nothing counts then
						time.Sleep(10 * time.Millisecond)
						v.command(1, "")
					}
					time.Sleep(5 * time.Millisecond)
					var b []byte
					for slot := range 5000 { // for 10 ms there is more to read
						b = append(b, frame(wire.KindCommand, 0, slot+1, nil)...)
					}
					v.write(b)
					time.Sleep(5210 * us)
					synctest.Wait()
					v.mu.Lock()
					defer v.mu.Unlock()
					if !slices.ContainsFunc(v.heard, func(s string) bool { return strings.HasPrefix(s, "0: ") }) {
						t.Errorf("it has not come; %d others have", len(v.heard))
					}
				})
			})
		}
	}
}

// Of commands that take long, and have come together, the leader hands over each but the last, and
// reads on: the reading, handed over instead, would wait for a processor behind each of them.
func TestOneGoroutineReadsWhatComesTogether(t *testing.T) {
	const n = 40
	readers := make(map[string]int)
	test(t, commands{}, func(s *setup) {
		s.conf.MaxInFlight = 100
		s.transport = func(o transport.Options) transport.Transport {
			return countingReader{transport.Framed(o), readers}
		}
		s.decode = func(string) (base.Cmd[World], error) {
			return cmd{"", func(c call) error { time.Sleep(5 * time.Millisecond); return c.last("slept") }}, nil
		}
	}, func(t *testing.T, s *setup) {
		s.beSlow()
		clear(readers)
		s.together(n)
		s.take()
		if most := slices.Max(slices.Collect(maps.Values(readers))); most < n/2 { // what fits into the small buffer comes first
			t.Errorf("of %d commands one goroutine read %d at most, there were %d", n, most, len(readers))
		}
	})
}

// Commands that were handed over run before the leader has read all that has come: where there is
// no other processor, that lets them.
func TestWhatWasHandedOverBegins(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const n = 2000
	var mu sync.Mutex
	read, began, most := 0, 0, 0
	test(t, commands{}, func(s *setup) {
		s.conf.MaxInFlight, s.conf.MaxRunning = n, n
		s.decode = func(string) (base.Cmd[World], error) {
			mu.Lock()
			defer mu.Unlock()
			read++
			return cmd{"", func(c call) error {
				mu.Lock()
				began++
				most = max(most, read-began)
				mu.Unlock()
				time.Sleep(5 * time.Millisecond)
				return c.last("slept")
			}}, nil
		}
	}, func(t *testing.T, s *setup) {
		s.beSlow()
		s.together(n)
		mu.Lock()
		defer mu.Unlock()
		if began != n+3 || most > 400 {
			t.Errorf("of %d commands %d began, and at times %d had been read that had not", n+3, began, most)
		}
	})
}

// beSlow has commands take long; from now on their type is slow, and the leader has spent nothing.
func (s *setup) beSlow() {
	for range 3 {
		s.command(0, "slow")
		time.Sleep(time.Second)
	}
	s.take()
}

// together sends n commands at once, and waits.
func (s *setup) together(n int) {
	var b []byte
	for slot := range n {
		b = append(b, frame(wire.KindCommand, 0, slot, []byte("x"))...)
	}
	s.write(b)
	time.Sleep(time.Second)
}

// countingReader counts what each goroutine has read. One at a time does.
type countingReader struct {
	transport.Transport
	by map[string]int
}

func (c countingReader) Read(r *bufio.Reader, m *transport.Message) error {
	err := c.Transport.Read(r, m)
	name, _, _ := strings.Cut(string(debug.Stack()), "[")
	c.by[name]++
	return err
}

// slowReader takes a while to read a message that has come.
type slowReader struct {
	transport.Transport
	each time.Duration
}

func (s slowReader) Read(r *bufio.Reader, m *transport.Message) error {
	err := s.Transport.Read(r, m)
	time.Sleep(s.each)
	return err
}

// ofType returns a command of one of 200 types.
func ofType(n int, c cmd) base.Cmd[World] {
	switch n % 8 {
	default:
		return kind[[0]byte](n/8, c)
	case 1:
		return kind[[1]byte](n/8, c)
	case 2:
		return kind[[2]byte](n/8, c)
	case 3:
		return kind[[3]byte](n/8, c)
	case 4:
		return kind[[4]byte](n/8, c)
	case 5:
		return kind[[5]byte](n/8, c)
	case 6:
		return kind[[6]byte](n/8, c)
	case 7:
		return kind[[7]byte](n/8, c)
	}
}

type typed[A, B any] struct {
	cmd
	_ [0]A
	_ [0]B
}

func kind[A any](n int, c cmd) base.Cmd[World] {
	switch n % 5 {
	default:
		return further[A, int8](n/5, c)
	case 1:
		return further[A, int16](n/5, c)
	case 2:
		return further[A, int32](n/5, c)
	case 3:
		return further[A, int64](n/5, c)
	case 4:
		return further[A, int](n/5, c)
	}
}

func further[A, B any](n int, c cmd) base.Cmd[World] {
	switch n % 5 {
	default:
		return typed[A, [1]B]{cmd: c}
	case 1:
		return typed[A, [2]B]{cmd: c}
	case 2:
		return typed[A, [3]B]{cmd: c}
	case 3:
		return typed[A, [4]B]{cmd: c}
	case 4:
		return typed[A, [5]B]{cmd: c}
	}
}

// A command that waits in Send or Receive holds up nobody.
func TestACommandThatWaitsHoldsUpNobody(t *testing.T) {
	withHost(t, commands{"echo": echo, "repeat": repeat, "two": func(c call) error {
		if err := c.send("1"); err != nil {
			return err
		}
		return c.last("2")
	}}, nil, func(t *testing.T, h *host) {
		v := h.guest()
		v.command(0, "two") // with credit for one
		v.command(1, "echo")
		v.atOnce("0: 1", "1: echo.")
		v.command(1, "repeat")
		v.command(2, "echo")
		v.atOnce("2: echo.")
	})
}

// A command that ends its goroutine has its connection read by another.
func TestALeaderMayLeave(t *testing.T) {
	test(t, commands{"echo": echo, "exit": func(call) error { runtime.Goexit(); return nil }}, nil, func(t *testing.T, s *setup) {
		for range 3 {
			s.write(append(frame(wire.KindCommand, 0, 0, []byte("exit")), frame(wire.KindCommand, 0, 1, []byte("echo"))...))
			s.atOnce("0: failed, panic: the command ended its goroutine by runtime.Goexit", "1: echo.")
		}
	})
}

// The loss of a connection is noticed while its leader runs a command.
func TestTheLossIsNoticedMeanwhile(t *testing.T) {
	canceled := false
	test(t, commands{"wait": func(c call) error {
		<-c.ctx.Done()
		canceled = true
		return nil
	}}, nil, func(t *testing.T, s *setup) {
		s.command(0, "wait")
		synctest.Wait()
		s.peer.conn.Close()
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if !canceled {
			t.Error("the command runs on")
		}
	})
}

// However a turn ends, its time counts: many commands that have come together, and end so,
// hold up one behind them for a moment only.
func TestWhatATurnTakesCounts(t *testing.T) {
	const each = 45 * time.Microsecond
	for name, end := range map[string]func() (base.Cmd[World], error){
		"a result": func() (base.Cmd[World], error) {
			return cmd{"", func(c call) error { time.Sleep(each); return c.last("x") }}, nil
		},
		"a panic": func() (base.Cmd[World], error) {
			return cmd{"", func(c call) error { time.Sleep(each); panic("x") }}, nil
		},
		"Goexit": func() (base.Cmd[World], error) {
			return cmd{"", func(c call) error { time.Sleep(each); runtime.Goexit(); return nil }}, nil
		},
		"a body that is refused": func() (base.Cmd[World], error) { time.Sleep(each); return nil, errors.New("no") },
		"a codec that panics":    func() (base.Cmd[World], error) { time.Sleep(each); panic("no") },
		"waiting for credit": func() (base.Cmd[World], error) {
			return cmd{"", func(c call) error {
				time.Sleep(each)
				if err := c.send("1"); err != nil {
					return err
				}
				return c.last("2")
			}}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			const n = 1000
			test(t, commands{"echo": echo}, func(s *setup) {
				s.conf.MaxInFlight, s.conf.MaxRunning = 1<<15, 1<<15
				s.conf.OnPanic = func(handler.Panic) {}
				s.decode = func(string) (base.Cmd[World], error) { return end() }
			}, func(t *testing.T, s *setup) {
				var b []byte
				for slot := range n {
					b = append(b, frame(wire.KindCommand, 0, slot, make([]byte, 4090))...)
				}
				go s.write(append(b, frame(wire.KindCommand, 0, n, []byte("echo"))...))
				time.Sleep(2*time.Millisecond - 1)
				s.hasHeard(fmt.Sprintf("%d: echo.", n))
			})
		})
	}
}

// A command that waits for what it sends to be written, or for room for what its session
// keeps, holds up nobody either.
func TestACommandThatCantSendHoldsUpNobody(t *testing.T) {
	for name, many := range map[string]struct{ size, n, session int }{
		"a large result":  {1 << 20, 1, 0},
		"a full buffer":   {8 << 10, 1000, 0},
		"a full session":  {8 << 10, 1000, 1},
		"and a large one": {1 << 20, 3, 1},
	} {
		t.Run(name, func(t *testing.T) {
			ran := false
			withHost(t, commands{"mark": func(call) error { ran = true; return nil }, "send": func(c call) error {
				for range many.n {
					if err := c.send(strings.Repeat("x", many.size)); err != nil {
						return err
					}
				}
				return nil
			}}, nil, func(t *testing.T, h *host) {
				v := h.guest()
				if many.session > 0 {
					v = h.open(1)
				}
				v.far.Cut(memnet.Stall) // nothing of what the server says comes
				b := frame(wire.KindCommand, wire.FlagExtras, 0, append(wire.AppendExtras(nil, wire.Extras{Credit: 1 << 20}), "send"...))
				v.write(append(b, frame(wire.KindCommand, 0, 1, []byte("mark"))...))
				synctest.Wait()
				if !ran {
					t.Error("the command behind it has not run")
				}
				v.far.Close()
			})
		})
	}
}

// A type that has been seen to take long, and a body that is large, have a goroutine each
// from the start.
func TestWhatTakesLongHoldsUpNobody(t *testing.T) {
	sleep := func(d time.Duration) func(c call) error {
		return func(c call) error {
			time.Sleep(d)
			return c.last("slept")
		}
	}
	for name, many := range map[string]struct {
		before int // of the type, that came one at a time
		exec   func(c call) error
	}{
		"after one that was stopped":     {1, sleep(5 * time.Millisecond)},
		"after some that were not quick": {20, sleep(150 * time.Microsecond)},
	} {
		t.Run(name, func(t *testing.T) {
			test(t, commands{"echo": echo}, func(s *setup) {
				s.decode = func(string) (base.Cmd[World], error) { return ofType(1, cmd{"", many.exec}), nil }
			}, func(t *testing.T, s *setup) {
				for range many.before {
					s.command(0, "slow")
					time.Sleep(20 * time.Millisecond) // what the leader owes is repaid
				}
				s.take()
				s.write(append(frame(wire.KindCommand, 0, 0, []byte("slow")), frame(wire.KindCommand, 0, 1, []byte("echo"))...))
				s.atOnce("1: echo.")
			})
		})
	}
	t.Run("a large body", func(t *testing.T) {
		test(t, commands{"echo": echo}, func(s *setup) {
			s.decode = func(string) (base.Cmd[World], error) {
				time.Sleep(time.Millisecond)
				return nil, errors.New("no")
			}
		}, func(t *testing.T, s *setup) {
			s.write(append(frame(wire.KindCommand, 0, 0, make([]byte, 5000)), frame(wire.KindCommand, 0, 1, []byte("echo"))...))
			s.atOnce("1: echo.")
		})
	})
}
