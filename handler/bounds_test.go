package handler_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/transport"
	"github.com/cmdstream/cmdstream/wire"
)

// Results that a cancel drops before they went out are not counted any more.
func TestACancelGivesBackWhatWasKept(t *testing.T) {
	withHost(t, commands{
		"much": func(c call) error {
			for range 10 {
				if err := c.send(strings.Repeat("x", 100_000)); err != nil {
					return err
				}
			}
			<-c.ctx.Done()
			return nil
		},
		"one": func(c call) error { return c.last(strings.Repeat("y", 5000)) },
	}, func(conf *handler.Conf[World]) { conf.Sessions.MaxBytes = 1_000_000 }, func(t *testing.T, h *host) {
		v := h.open(1)
		v.far.Cut(memnet.Stall)
		v.send(0, 1, 64, "much")
		settle()
		v.cancel(0)
		settle()
		v.far.Cut(memnet.None)
		settle()
		v.take()
		if n := h.KeptBytes(); n > 0 {
			t.Errorf("%d bytes are counted after the cancel", n)
		}
		v.send(1, 2, 1, "one")
		if got := v.take(); len(got) != 1 {
			t.Errorf("another command of the session got %q", got)
		}
	})
}

// Q5: of small results no more are kept than may be, and a command that has waited goes on after
// an ack.
func TestManySmallResultsAreBounded(t *testing.T) {
	sent := 0
	withHost(t, commands{"much": func(c call) error {
		for sent = 0; ; sent++ {
			if err := c.send(strings.Repeat("x", 1000)); err != nil {
				return err
			}
		}
	}}, func(conf *handler.Conf[World]) { conf.Sessions.MaxBytes = 100_000 }, func(t *testing.T, h *host) {
		v := h.open(1)
		v.cut()
		v.resume()
		v.send(0, 1, 1<<30, "much")
		settle()
		if most := 2 * transport.AckBytes; sent < transport.AckAfter || h.KeptBytes() > most || h.KeptBytes() < most-1100 {
			t.Errorf("%d results are kept, %d bytes of them are counted", sent, h.KeptBytes())
		}
		before := sent
		v.ack(0, transport.AckAfter+10)
		settle()
		if sent != before+transport.AckAfter+10 {
			t.Errorf("%d results were sent after an ack, and %d before", sent-before, before)
		}
	})
}

// Q5: nor are more of many commands that have one result each. They go on in turn.
func TestSmallResultsOfManyCommandsAreBounded(t *testing.T) {
	const n, size = 400, 1000
	withHost(t, commands{
		"one":  func(c call) error { return c.last(strings.Repeat("x", size)) },
		"tiny": func(c call) error { return c.last("x") },
	},
		func(conf *handler.Conf[World]) { conf.Sessions.MaxBytes, conf.MaxInFlight = 50_000, n+1 }, func(t *testing.T, h *host) {
			v := h.open(1)
			answered := 0
			take := func() {
				settle()
				for _, got := range v.take() {
					if want := fmt.Sprintf("%d: %d bytes.", answered, size); got != want {
						t.Fatalf("heard %q, want %q", got, want)
					}
					answered++
				}
				if kept := h.KeptBytes(); kept > 2*transport.AckBytes {
					t.Fatalf("%d bytes are kept", kept)
				}
			}
			for i := range n {
				v.send(i, uint64(i)+1, 1, "one")
				settle() // so that each waits before the next one does
			}
			v.send(n, n+1, 1, "tiny") // for which there would be room
			take()
			if most := 2 * transport.AckBytes / size; answered != most {
				t.Errorf("%d are answered at first, want %d", answered, most)
			}
			for i := range n - 1 {
				v.ack(i, 1)
				if answered+1 < n {
					take()
				}
			}
			settle()
			got := v.take()
			if slices.Sort(got); len(got) != 2 || got[1] != fmt.Sprintf("%d: x.", n) {
				t.Errorf("heard %q at the end", got)
			}
			v.ack(n-1, 1)
			v.ack(n, 1)
			answered++
			settle()
			if answered != n || h.KeptBytes() != 0 {
				t.Errorf("%d are answered, %d bytes are kept", answered, h.KeptBytes())
			}
		})
}

// Nor are more texts of errors: a failure that finds no room is told without its text.
func TestTextsOfFailuresAreBounded(t *testing.T) {
	const n, size = 100, 20_000
	long := strings.Repeat("e", size)
	withHost(t, commands{
		"long":  func(call) error { return errors.New(long) },
		"huge":  func(call) error { return errors.New(strings.Repeat("e", 1<<20)) },
		"short": func(call) error { return errors.New("short") },
	}, func(conf *handler.Conf[World]) { conf.Sessions.MaxBytes, conf.MaxInFlight = 50_000, n+1 }, func(t *testing.T, h *host) {
		v := h.open(1)
		whole := 2 * transport.AckBytes / size
		hear := func(slot int, seq uint64, name, want string) {
			t.Helper()
			v.send(slot, seq, 1, name)
			settle()
			if got := v.take(); len(got) != 1 || got[0] != fmt.Sprintf("%d: failed, exec: %s", slot, want) {
				t.Fatalf("command %d: heard %.100q", seq, got)
			}
			if kept := h.KeptBytes(); kept > 2*transport.AckBytes {
				t.Fatalf("%d bytes are kept", kept)
			}
		}
		lost := "the text of the error is not kept: the session has too many that are long"
		for i := range n {
			want := long
			if i >= whole {
				want = lost
			}
			hear(i, uint64(i)+1, "long", want)
		}
		hear(n, n+1, "short", "short")
		if kept := h.KeptBytes(); kept != whole*size {
			t.Errorf("%d bytes are kept", kept)
		}
		for i := range whole { // the next command on a slot releases it
			hear(i, n+2+uint64(i), "short", "short")
		}
		if kept := h.KeptBytes(); kept != 0 {
			t.Errorf("%d bytes are kept", kept)
		}
		hear(0, 2*n, "long", long)
		hear(1, 2*n+1, "huge", strings.Repeat("e", transport.MaxMessage))
		v.cut()
		v.resume() // which releases all
		v.take()
		if kept := h.KeptBytes(); kept != 0 {
			t.Errorf("%d bytes are kept after a list", kept)
		}
	})
}

// What a client need not acknowledge at once holds up nobody who waits for what it must.
func TestSmallResultsHoldUpNoLargeOne(t *testing.T) {
	withHost(t, commands{
		"small": func(c call) error {
			for range 80 {
				if err := c.send(strings.Repeat("x", 100)); err != nil {
					return err
				}
			}
			return nil
		},
		"large": func(c call) error { return c.last(strings.Repeat("y", 4000)) },
	}, func(conf *handler.Conf[World]) { conf.Sessions.MaxBytes = 4000 }, func(t *testing.T, h *host) {
		v := h.open(1)
		v.send(0, 1, 80, "small")
		settle()
		if n := h.KeptBytes(); n != 100+79*(100+64) {
			t.Errorf("80 small results count %d bytes", n)
		}
		v.take()
		v.send(1, 2, 1, "large")
		v.expect("1: 4000 bytes.")
	})
}

// Who has waited longest goes first, also if it needs more than those after it: else a large
// result could wait for as long as others send smaller ones.
func TestWhoHasWaitedLongestGoesFirst(t *testing.T) {
	withHost(t, commands{
		"stream": func(c call) error {
			for {
				if err := c.send(strings.Repeat("x", 2000)); err != nil {
					return err
				}
			}
		},
		"large": func(c call) error { return c.last(strings.Repeat("y", 4500)) },
		"gone": func(c call) error {
			return c.last(strings.Repeat("z", 3000))
		},
	}, func(conf *handler.Conf[World]) { conf.Sessions.MaxBytes = 5000 }, func(t *testing.T, h *host) {
		v := h.open(1)
		v.send(0, 1, 2, "stream")
		v.expect("0: 2000 bytes", "0: 2000 bytes")
		v.send(1, 2, 1, "large")
		settle()
		v.send(2, 3, 1, "gone")
		settle()
		v.credit(0, 100)
		v.ack(0, 1)
		v.expect() // there would be room for one more of the stream
		v.cancel(2)
		v.expect("2: unknown, canceled: the command was canceled while the server was running it")
		v.ack(0, 2)
		v.expect("1: 4500 bytes.")
		v.ack(1, 1)
		v.expect("0: 2000 bytes", "0: 2000 bytes")
		v.cancel(1) // which has ended: it changes nothing
		v.ack(0, 4)
		v.expect("0: 2000 bytes", "0: 2000 bytes")
		if n := h.KeptBytes(); n != 4000 {
			t.Errorf("%d bytes are kept", n)
		}
	})
}

// Whoever waits first, and does not want its room any more, makes way.
func TestWhoIsGivenUpMakesWay(t *testing.T) {
	big := func(n int) func(c call) error {
		return func(c call) error { return c.last(strings.Repeat("y", n)) }
	}
	withHost(t, commands{"big 2000": big(2000), "big 2500": big(2500), "big 4500": big(4500)}, func(conf *handler.Conf[World]) { conf.Sessions.MaxBytes = 5000 }, func(t *testing.T, h *host) {
		v := h.open(1)
		v.send(0, 1, 1, "big 2000")
		v.expect("0: 2000 bytes.")
		v.send(1, 2, 1, "big 4500")
		settle()
		v.send(2, 3, 1, "big 2500")
		v.expect()
		v.cancel(1)
		v.expect("1: unknown, canceled: the command was canceled while the server was running it", "2: 2500 bytes.")
	})
}

// However many lose their connection at once, no more are kept than may be.
func TestManySessionsCutAtOnce(t *testing.T) {
	withHost(t, nil, func(conf *handler.Conf[World]) { conf.Sessions.Max, conf.Sessions.Time = 2, time.Hour }, func(t *testing.T, h *host) {
		var all [200]*visitor
		for i := range all {
			all[i] = h.open(byte(i + 1))
		}
		var wg sync.WaitGroup
		for _, v := range all {
			wg.Go(func() {
				time.Sleep(time.Second) // all at once
				v.peer.conn.Cut(memnet.RST)
			})
		}
		wg.Wait()
		settle()
		if n, detached := h.SessionCount(); n != 2 || detached != 2 || h.Counters.SessionsEvicted.Load() != 198 {
			t.Errorf("%d sessions, %d without a connection, %d evicted", n, detached, h.Counters.SessionsEvicted.Load())
		}
	})
}

// All sessions together keep no more than they may, though all have a connection.
func TestAllThatIsKeptIsBounded(t *testing.T) {
	withHost(t, commands{"much": func(c call) error {
		for {
			if err := c.send(strings.Repeat("x", 20_000)); err != nil {
				return err
			}
		}
	}}, func(conf *handler.Conf[World]) {
		conf.Sessions.MaxBytes, conf.Sessions.TotalBytes = 1<<20, 2<<20
	}, func(t *testing.T, h *host) {
		for i := range 20 {
			h.open(byte(i+1)).send(0, 1, 1000, "much") // it reads all, and never acks
		}
		settle()
		if n := h.KeptBytes(); n < 1<<20 || n > 2<<20+20*20_000 { // each keeps something
			t.Errorf("TotalBytes is 2 MiB, %d bytes are kept", n)
		}
	})
}

// A hello that was overtaken does not count for the one that has overtaken it.
func TestAResumeUnderWayIsNotGivenUp(t *testing.T) {
	withHost(t, nil, func(conf *handler.Conf[World]) { conf.Sessions.Time = time.Second }, func(t *testing.T, h *host) {
		h.open(1).cut()
		resume := func(epoch uint64) (*handler.Session[World], *transport.Hello) {
			hello := &transport.Hello{Session: &transport.Session{ID: transport.SessionID{1}, Epoch: epoch, Resume: true}}
			s, status, text := h.Resume(context.Background(), hello, "", nil, func(*handler.Conn[World]) {})
			if status != transport.OK {
				t.Fatal(status, text)
			}
			return s, hello
		}
		s, first := resume(2)
		_, second := resume(3)
		if _, err := s.Attach(nil, first, nil); err == nil {
			t.Fatal("a hello that was overtaken is attached")
		}
		s.Abandon(first)
		time.Sleep(2 * time.Second) // the second one takes so long
		if n, _ := h.SessionCount(); n != 1 {
			t.Errorf("the session was given up while it was being resumed")
		}
		s.Abandon(second)
		time.Sleep(2 * time.Second)
		if n, _ := h.SessionCount(); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
	})
}

// A command that has waited in the queue for as long as any may is refused, and those that
// would wait behind it.
func TestTheTimeInTheQueueIsBounded(t *testing.T) {
	withHost(t, commands{"wait": waiter, "echo": echo}, func(conf *handler.Conf[World]) {
		conf.MaxRunning, conf.MaxQueueTime = 1, time.Second
	}, func(t *testing.T, h *host) {
		v := h.guest()
		v.command(0, "wait")
		v.command(1, "echo")
		v.extras(2, wire.Extras{Timeout: 3_600_000_000}, "echo") // it would wait for an hour
		time.Sleep(990 * time.Millisecond)
		if got := v.take(); len(got) > 0 {
			t.Errorf("told too early: %q", got)
		}
		time.Sleep(15 * time.Millisecond)
		if got := strings.Join(v.take(), "\n"); strings.Count(got, "rejected, busy") != 2 || h.Queued() != 0 {
			t.Errorf("after a second %q; %d wait", got, h.Queued())
		}
		v.extras(3, wire.Extras{Timeout: 500_000}, "echo") // half a second, and for one nobody has left
		if got := strings.Join(v.take(), "\n"); strings.Count(got, "rejected, busy") != 1 {
			t.Errorf("a command that would wait is told %q", got)
		}
		if n := h.Counters.Shed.Load(); n != 3 {
			t.Errorf("%d were shed", n)
		}
		v.cancel(0)
		settle()
		v.take()
		v.command(0, "echo")
		if got := v.take(); len(got) != 1 || got[0] != "0: echo." {
			t.Errorf("once there is room a command is told %q", got)
		}
	})
}

// No command overtakes those that wait, not even where another has just left, and nobody has looked
// yet who waits.
func TestNoCommandOvertakesTheQueue(t *testing.T) {
	large := strings.Repeat("w", 5000) // no leader runs it
	var order []string
	note := func(name string) func(c call) error {
		return func(c call) error {
			order = append(order, name)
			return waiter(c)
		}
	}
	withHost(t, commands{"wait": waiter, "first": note("first"), large: note("second")}, func(conf *handler.Conf[World]) {
		conf.MaxRunning = 1
	}, func(t *testing.T, h *host) {
		v, other := h.guest(), h.guest()
		other.command(0, "wait")
		settle()
		v.command(0, "first")
		settle()
		if h.Queued() != 1 {
			t.Fatalf("%d wait", h.Queued())
		}
		undo := handler.FreePlace(h.Handler)
		v.command(1, large)
		settle()
		undo()
		if h.Queued() != 1 || !slices.Equal(order, []string{"first"}) {
			t.Errorf("%q have begun, %d wait", order, h.Queued())
		}
	})
}

// Nor is one refused for those that wait, where places are free for them.
func TestNoCommandIsRefusedBesideFreePlaces(t *testing.T) {
	withHost(t, commands{"wait": waiter, "echo": echo}, func(conf *handler.Conf[World]) {
		conf.MaxRunning, conf.MaxQueued = 2, 1
	}, func(t *testing.T, h *host) {
		busy, first, second := h.guest(), h.guest(), h.guest()
		busy.command(0, "wait")
		busy.command(1, "wait")
		settle()
		first.command(0, "wait")
		settle()
		if h.Queued() != 1 {
			t.Fatalf("%d wait", h.Queued())
		}
		undo := []func(){handler.FreePlace(h.Handler), handler.FreePlace(h.Handler)}
		second.command(0, "wait")
		settle()
		if got := second.take(); len(got) > 0 || h.Queued() != 0 {
			t.Errorf("heard %q, %d wait", got, h.Queued())
		}
		for _, undo := range undo {
			undo()
		}
	})
}

// One whose turn comes in time keeps its own deadline.
func TestAQueuedCommandKeepsItsDeadline(t *testing.T) {
	withHost(t, commands{"wait": waiter}, func(conf *handler.Conf[World]) {
		conf.MaxRunning, conf.MaxQueueTime = 1, time.Second
	}, func(t *testing.T, h *host) {
		v := h.guest()
		v.command(0, "wait")
		v.extras(1, wire.Extras{Timeout: 5_000_000}, "wait")
		time.Sleep(500 * time.Millisecond)
		v.cancel(0)
		time.Sleep(4 * time.Second)
		if got := v.take(); len(got) != 1 || h.Running() != 1 {
			t.Errorf("before its deadline: %q, %d run", got, h.Running())
		}
		time.Sleep(time.Second)
		if got := v.take(); len(got) != 1 || !strings.Contains(got[0], "deadline") || h.Running() != 0 {
			t.Errorf("after its deadline: %q, %d run", got, h.Running())
		}
	})
}

// What a body becomes when it is decompressed counts like one that came so.
func TestWhatIsDecompressedIsBounded(t *testing.T) {
	running := 0
	withHost(t, commands{}, func(conf *handler.Conf[World]) {
		codec := conf.Codec.(inputCodec)
		codec.commands[strings.Repeat("x", 1<<20)] = func(c call) error {
			running++
			<-c.ctx.Done()
			return nil
		}
		conf.Codec = codec
		conf.MaxConnBytes, conf.MaxBytes, conf.MaxInFlight = 4<<20+1000, 8<<20, 64
	}, func(t *testing.T, h *host) {
		v := h.packer()
		for slot := range 32 {
			v.write(frame(wire.KindCommand, wire.FlagCompressed, slot, fmt.Appendf(nil, "x%d", 1<<20)))
			settle()
		}
		busy := strings.Count(strings.Join(v.take(), "\n"), "rejected, busy")
		if running < 1 || running > 4 || busy != 32-running || h.Bytes() != running<<20 || h.Counters.NoMemory.Load() != uint64(busy) {
			t.Errorf("%d commands of 1 MiB run, %d were refused, %d bytes are counted", running, busy, h.Bytes())
		}
		v.cut()
		settle()
		if h.Bytes() != 0 {
			t.Errorf("%d bytes are counted at the end", h.Bytes())
		}
	})
}

// A command that waits to run, and can't be given an input, was not run.
func TestAQueuedCommandWithoutMemoryForItsInput(t *testing.T) {
	ran := 0
	withHost(t, commands{"wait": waiter, "x": func(c call) error { ran++; return c.last("") }}, func(conf *handler.Conf[World]) {
		conf.MaxRunning, conf.MaxConnBytes = 1, 50_000
	}, func(t *testing.T, h *host) {
		v := h.guest()
		v.command(0, "wait")
		v.command(1, "x")
		v.input(1, strings.Repeat("x", 60_000))
		got := v.take()
		v.cancel(0)
		settle()
		if len(got) != 1 || !strings.Contains(got[0], "rejected") || ran != 0 {
			t.Errorf("it ran %d times; the client is told %q", ran, got)
		}
	})
}

// Bodies that were begun, and do not come, hold their memory for a time only.
func TestABodyThatDoesNotCome(t *testing.T) {
	withHost(t, commands{strings.Repeat("x", 5000): echo}, func(conf *handler.Conf[World]) {
		conf.MaxConnBytes, conf.MaxBytes, conf.BodyTimeout = 4<<20, 8<<20, time.Minute
	}, func(t *testing.T, h *host) {
		for range 2 {
			v := h.guest()
			for slot := range 4 {
				v.chunk(wire.KindCommand, slot, 1<<20, 1, true)
			}
		}
		settle()
		honest := h.guest()
		honest.command(0, strings.Repeat("x", 5000))
		if got := strings.Join(honest.take(), "\n"); !strings.Contains(got, "rejected, busy") {
			t.Errorf("while all memory is taken: %q", got)
		}
		time.Sleep(30 * time.Second)
		honest.chunk(wire.KindCommand, 1, 100, 1, true) // there is no room for this, and later there is
		time.Sleep(31 * time.Second)
		honest.take()
		honest.command(0, strings.Repeat("x", 5000))
		if got := strings.Join(honest.take(), "\n"); got != "0: echo." || h.Bytes() != 0 {
			t.Errorf("a minute later: %q, %d bytes are counted", got, h.Bytes())
		}
		if n := h.Counters.Idle.Load(); n != 2 {
			t.Errorf("%d connections are counted as idle", n)
		}
	})
}

// One that comes in time is not waited for any more.
func TestABodyThatComesInTime(t *testing.T) {
	withHost(t, commands{"hello": echo}, func(conf *handler.Conf[World]) { conf.BodyTimeout = time.Minute }, func(t *testing.T, h *host) {
		v := h.guest()
		for range 3 {
			v.write(frame(wire.KindCommand, wire.FlagMore, 0, []byte("\x05he")))
			time.Sleep(50 * time.Second)
			v.write(frame(wire.KindCommand, 0, 0, []byte("llo")))
			if got := v.take(); len(got) != 1 || got[0] != "0: echo." {
				t.Fatalf("got %q", got)
			}
		}
		time.Sleep(time.Hour)
		v.command(0, "hello")
		if got := v.take(); len(got) != 1 {
			t.Errorf("an hour later: %q", got)
		}
	})
}

// A compression that panics holds no memory.
func TestADecompressionThatPanics(t *testing.T) {
	withHost(t, nil, compressing(nil), func(t *testing.T, h *host) {
		v := h.packer()
		v.write(frame(wire.KindCommand, wire.FlagCompressed, 0, []byte("panic")))
		if got := strings.Join(v.take(), "\n"); !strings.Contains(got, "rejected, panic") || h.Bytes() != 0 {
			t.Errorf("got %q, and %d bytes are held", got, h.Bytes())
		}
	})
}

// A client whose bodies come slowly goes on, however many they are.
func TestBodiesThatComeSlowly(t *testing.T) {
	withHost(t, nil, func(conf *handler.Conf[World]) { conf.BodyTimeout = time.Minute }, func(t *testing.T, h *host) {
		v := h.guest()
		const size, slots = 64_000, 4
		for slot := range slots {
			v.chunk(wire.KindCommand, slot, size, 0, true)
		}
		for sent := 0; sent < size; sent += 1000 { // in five minutes
			for slot := range slots {
				v.write(frame(wire.KindCommand, moreIf(sent+1000 < size), slot, make([]byte, 1000)))
			}
			time.Sleep(5 * time.Second)
		}
		if got := v.take(); len(got) != slots || h.Counters.Idle.Load() != 0 {
			t.Errorf("%d were answered, %d connections were ended", len(got), h.Counters.Idle.Load())
		}
	})
}

func moreIf(more bool) wire.Flags {
	if more {
		return wire.FlagMore
	}
	return 0
}

// A body of no bytes, in two pieces, is whole.
func TestABodyOfNothing(t *testing.T) {
	withHost(t, commands{"": echo}, func(conf *handler.Conf[World]) { conf.BodyTimeout = time.Minute }, func(t *testing.T, h *host) {
		v := h.guest()
		v.write(frame(wire.KindCommand, wire.FlagMore, 0, []byte{0}))
		v.write(frame(wire.KindCommand, 0, 0, nil))
		time.Sleep(time.Hour)
		v.command(1, "")
		if got := v.take(); len(got) != 2 || h.Counters.Idle.Load() != 0 {
			t.Errorf("got %q", got)
		}
	})
}

// After one command that has run for long, short ones wait for their turn as before.
func TestALongCommandDoesNotShedShortOnes(t *testing.T) {
	withHost(t, commands{
		"long":  func(c call) error { time.Sleep(time.Hour); return c.last("") },
		"short": func(c call) error { time.Sleep(10 * time.Millisecond); return c.last("") },
	}, func(conf *handler.Conf[World]) { conf.MaxRunning, conf.MaxQueueTime = 2, time.Second }, func(t *testing.T, h *host) {
		v := h.guest()
		v.command(0, "short")
		v.command(1, "long")
		time.Sleep(2 * time.Hour)
		for range 50 {
			for slot := range 3 { // two run, and one waits for 10 ms
				v.command(slot, "short")
			}
			time.Sleep(50 * time.Millisecond)
		}
		if n := h.Counters.Shed.Load(); n != 0 {
			t.Errorf("%d of 50 that would have waited for 10 ms were shed", n)
		}
	})
}
