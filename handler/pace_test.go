package handler

import (
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// What a type's commands have taken decides whether they are handed over; that a few lose their
// processor for a while does not.
func TestPaces(t *testing.T) {
	const us = time.Microsecond
	always := func(d time.Duration) func(int) time.Duration { return func(int) time.Duration { return d } }
	every := func(n int, long time.Duration) func(int) time.Duration {
		return func(i int) time.Duration {
			if i%n == n/2 {
				return long
			}
			return 6 * us
		}
	}
	for name, many := range map[string]struct {
		takes    func(i int) time.Duration // the ith of ten thousand
		min, max int                       // that are handed over
	}{
		"quick ones":                         {always(6 * us), 0, 0},
		"one in twelve is not quick":         {every(12, 150*us), 0, 0},
		"one in five hundred is interrupted": {every(500, 3*time.Millisecond), 1, 20 * stoppedAfter},
		"one in ten takes long":              {every(10, 3*time.Millisecond), 9_900, 10_000},
		"none is quick":                      {always(50 * us), 9_500, 9_999},
		"all take long":                      {always(3 * time.Millisecond), 9_999, 9_999},
	} {
		t.Run(name, func(t *testing.T) {
			var p paces
			apart := 0
			for i := range 10_000 {
				took := many.takes(i)
				if slow := p.slow(t); slow != nil {
					apart++
					slow.ranApart(took)
				} else {
					p.ran(t, took, took >= tooLong)
				}
			}
			if apart < many.min || apart > many.max {
				t.Errorf("%d of 10000 commands were handed over, want %d to %d", apart, many.min, many.max)
			}
		})
	}
}

// However commands come, and however long each takes that the leader runs: none of them waits for
// longer than mostSpent and a turn until it is read.
func TestSpending(t *testing.T) {
	const longest = 1200 * time.Microsecond // of a turn, which the watchdog ends then
	seeds := []uint64{86831}                // where all had been read after many commands, and not before
	for seed := range uint64(3000) {
		seeds = append(seeds, seed)
	}
	for _, seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 0))
		upTo := func(n int) int { return 1 + r.IntN(n) }
		var (
			s       spending
			clock   time.Duration                     // that of turns: nothing else takes time
			sends   = make([]time.Duration, upTo(60)) // when each caller sends its next command
			slots   = make([]bool, len(sends))        // that are taken
			come    []sentCommand
			emptied int
			run     int
			atOnce  = upTo(40) // of a read
			pause   = upTo(3000)
			long    = longest / time.Duration(upTo(300))
		)
		send := func() { // all that is sent by now, one after another
			for {
				who := -1
				for i, at := range sends {
					if at >= 0 && at <= clock && (who < 0 || at < sends[who]) {
						who = i
					}
				}
				if who < 0 {
					return
				}
				slot := slices.Index(slots, false)
				slots[slot] = true
				come = append(come, sentCommand{who, slot, sends[who]})
				sends[who] = -1
			}
		}
		for range 300 {
			if send(); len(come) == 0 {
				clock = slices.Min(sends)
				send()
			}
			read := min(atOnce, len(come))
			if read < atOnce {
				emptied++
			}
			batch := slices.Clone(come[:read])
			come = come[read:]
			for _, c := range batch {
				if waited := clock - c.at; waited > mostSpent+longest {
					t.Fatalf("seed %d: a command was read after %v", seed, waited)
				}
				if !s.tooMuch(c.slot, emptied) {
					took := time.Duration(r.Int64N(int64(long))) + switchCost + 1
					s.add(took)
					clock += took
					run++
				}
				send()
				slots[c.slot] = false // it has its answer
				sends[c.who] = clock + time.Duration(r.IntN(pause))*time.Microsecond
			}
		}
		if run == 0 {
			t.Fatalf("seed %d: the leader has run nothing", seed)
		}
	}
}

// sentCommand is a command that somebody has sent on a slot.
type sentCommand struct {
	who, slot int
	at        time.Duration
}

// A turn that the watchdog would have ended, had there been a processor for it, is nobody's fault.
func TestWhatStallsDoesNotCount(t *testing.T) {
	for took, want := range map[time.Duration]bool{mostSpent - 1: false, mostSpent: true, stalled - 1: true, stalled: false} {
		s := spending{open: 10}
		s.add(took)
		if got := s.tooMuch(0, 0); got != want {
			t.Errorf("after a turn of %v it is too much: %v", took, got)
		}
	}
}

// The watchdog holds no lock while another goroutine is made to lead: that may wait for a command's.
func TestTheWatchdogWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatchdog()
		defer w.stop()
		release := make(chan struct{})
		r := &role{now: w.now, follow: func() { <-release }}
		r.busy.Store(1)
		w.watch(r, 1)
		time.Sleep(lookEvery)
		synctest.Wait()
		if r.busy.Load() != 0 {
			t.Error("the turn goes on")
		}
		if !w.mu.TryLock() {
			t.Error("the lock is held")
		} else {
			w.mu.Unlock()
		}
		close(release)
		synctest.Wait()
	})
}
