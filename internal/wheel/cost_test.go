package wheel

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// countWakes makes the wheel count how often its runtime timer runs out.
func countWakes(w *Wheel) *atomic.Int64 {
	var count atomic.Int64
	w.timer = time.AfterFunc(time.Hour, func() {
		count.Add(1)
		w.wake()
	})
	w.timer.Stop()
	return &count
}

func TestSleepsUntilNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New()
		defer w.Close()
		wakes := countWakes(w)
		sleep(100 * 24 * time.Hour) // an idle gap of many ticks
		timer := Timer{Fire: func() {}}

		w.Start(&timer, 5*time.Second)
		sleep(time.Hour)
		if n := wakes.Swap(0); n != 1 {
			t.Errorf("woke %d times for one deadline, want once", n)
		}
		// Deadlines that are all stopped, one after the other.
		for range 10_000 {
			w.Start(&timer, 5*time.Second)
			sleep(time.Millisecond)
			w.Stop(&timer)
		}
		sleep(time.Hour)
		if n := wakes.Swap(0); n > 4 {
			t.Errorf("woke %d times in 10 s of stopped deadlines of 5 s, want hardly ever", n)
		}
		// A stopped timer far ahead does not keep the runtime timer armed.
		w.Start(&timer, time.Hour)
		w.Stop(&timer)
		sleep(longestSleep)
		if n := wakes.Swap(0); n > 1 || w.timer.Stop() {
			t.Errorf("woke %d times for an empty wheel, or its runtime timer is still armed", n)
		}
	})
}

func TestStaleWakeIsHarmless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New()
		defer w.Close()
		w.wake() // nothing was ever armed
		fired := 0
		timer := Timer{Fire: func() { fired++ }}
		w.Start(&timer, time.Second)
		w.wake() // too early
		sleep(time.Minute)
		if fired != 1 {
			t.Errorf("fired %d times, want once", fired)
		}
	})
}

// A client without deadlines has a wheel, too.
func TestAWheelWithoutTimersIsSmall(t *testing.T) {
	size := func(start bool) int {
		const n = 100
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range n {
			w := New()
			if start {
				w.Start(&Timer{Fire: func() {}}, time.Hour)
			}
			w.Close()
		}
		runtime.ReadMemStats(&after)
		return int(after.TotalAlloc-before.TotalAlloc) / n
	}
	if n := size(false); n > 512 {
		t.Errorf("it has %d bytes", n)
	}
	if n := size(true); n < 10_000 {
		t.Errorf("one with a timer has %d bytes: this test shows nothing", n)
	}
}

func TestNoAllocations(t *testing.T) {
	w := New()
	defer w.Close()
	timers := make([]Timer, 1000)
	for i := range timers {
		timers[i].Fire = func() {}
	}
	allocations := testing.AllocsPerRun(100, func() {
		for i := range timers {
			w.Start(&timers[i], time.Hour-time.Duration(i)*time.Second)
		}
		for i := range timers {
			w.Start(&timers[i], time.Hour)
			w.Stop(&timers[i])
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations, want none", allocations)
	}
}

// Every arming ends in exactly one of Fire and a Stop that reports true.
func TestConcurrentUse(t *testing.T) {
	w := New()
	defer w.Close()
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			fired := make(chan struct{}, 1)
			timer := Timer{Fire: func() { fired <- struct{}{} }}
			for i := range 500 {
				w.Start(&timer, time.Duration(i%4)*100*time.Microsecond)
				if i%3 == 0 || !w.Stop(&timer) {
					<-fired
				}
			}
			if w.Stop(&timer) || len(fired) > 0 {
				t.Error("a timer is armed, or has fired, once too often")
			}
		})
	}
	group.Wait()
}

func BenchmarkStartStop(b *testing.B) {
	w := New()
	defer w.Close()
	timer := Timer{Fire: func() {}}
	b.ReportAllocs()
	for b.Loop() {
		w.Start(&timer, 5*time.Second)
		w.Stop(&timer)
	}
}
