package handler

import (
	"math/rand/v2"
	"testing"
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
	const atOnce, longest = 5, 1200 * time.Microsecond // of a read; of a turn, which the watchdog ends then
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 0))
		var (
			s       spending
			emptied int
			clock   time.Duration // that of turns: nothing else takes time
			coming  []time.Duration
		)
		for at := time.Duration(0); len(coming) < 200; at += time.Duration(r.Int64N(int64(r.IntN(2)*1000+1))) * time.Microsecond {
			coming = append(coming, at)
		}
		long, run := longest/time.Duration(1+r.IntN(200)), 0
		for len(coming) > 0 {
			clock = max(clock, coming[0])
			read := 0
			for read < len(coming) && coming[read] <= clock && read < atOnce {
				read++
			}
			if read < atOnce {
				emptied++
			}
			for _, came := range coming[:read] {
				if waited := clock - came; waited > mostSpent+longest {
					t.Fatalf("seed %d: a command was read after %v", seed, waited)
				}
				if !s.tooMuch(emptied) {
					took := time.Duration(r.Int64N(int64(long))) + switchCost + 1
					s.add(took)
					clock += took
					run++
				}
			}
			coming = coming[read:]
		}
		if run == 0 {
			t.Fatalf("seed %d: the leader has run nothing", seed)
		}
	}
}
