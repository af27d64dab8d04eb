package wheel

import (
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// lateness is how late a timer may be in simulated time.
const lateness = 2 * time.Millisecond

// sleep returns when d has passed and all that it made fire has been done.
func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestFiresInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New()
		defer w.Close()
		for _, d := range []time.Duration{
			math.MinInt64, -time.Second, 0, 1, time.Millisecond, 1500 * time.Microsecond,
			511 * time.Millisecond, 512 * time.Millisecond, 513 * time.Millisecond,
			5 * time.Second, longestSleep, time.Hour, 24 * time.Hour,
		} {
			started := time.Now()
			fired := make(chan time.Duration)
			w.Start(&Timer{Fire: func() { fired <- time.Since(started) }}, d)
			if after := <-fired; after < d || after > max(d, 0)+lateness {
				t.Errorf("a timer of %v fired after %v", d, after)
			}
			sleep(333 * time.Microsecond) // off the ticks
		}
	})
}

func TestFarFutureNeverFires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New()
		defer w.Close()
		sleep(time.Second)
		timer := Timer{Fire: func() { t.Error("fired") }}
		w.Start(&timer, math.MaxInt64)
		sleep(24 * time.Hour)
		if !w.Stop(&timer) {
			t.Error("the timer was not armed any more")
		}
	})
}

func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New()
		defer w.Close()
		fired := 0
		timer := Timer{Fire: func() { fired++ }}
		if w.Stop(&timer) {
			t.Error("Stop of a timer that was never started reports true")
		}
		w.Start(&timer, time.Second)
		if !w.Stop(&timer) {
			t.Error("Stop of an armed timer reports false")
		}
		if w.Stop(&timer) {
			t.Error("a second Stop reports true")
		}
		sleep(time.Minute)
		if fired != 0 {
			t.Errorf("a stopped timer fired %d times", fired)
		}
		w.Start(&timer, time.Second)
		sleep(time.Minute)
		if fired != 1 {
			t.Errorf("fired %d times, want once", fired)
		}
		if w.Stop(&timer) {
			t.Error("Stop of a timer that has fired reports true")
		}
	})
}

func TestRestartReplacesDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New()
		defer w.Close()
		for _, second := range []time.Duration{50 * time.Millisecond, 700 * time.Millisecond} {
			started := time.Now()
			fired := make(chan time.Duration, 2)
			timer := Timer{Fire: func() { fired <- time.Since(started) }}
			w.Start(&timer, 100*time.Millisecond)
			w.Start(&timer, second)
			sleep(time.Minute)
			if len(fired) != 1 {
				t.Fatalf("fired %d times, want once", len(fired))
			}
			if after := <-fired; after < second || after > second+lateness {
				t.Errorf("fired after %v, want %v", after, second)
			}
		}
	})
}

// Timers that are due together can still stop or restart one another.
func TestFireMayUseWheel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New()
		defer w.Close()
		var stopped, restarted, again Timer
		var stoppedFired, againFired int
		var restartedFired atomic.Int64
		stopped.Fire = func() { stoppedFired++ }
		restarted.Fire = func() { restartedFired.Add(1) }
		again.Fire = func() {
			if againFired++; againFired < 3 {
				w.Start(&again, 0)
			}
		}
		first := Timer{Fire: func() {
			if !w.Stop(&stopped) {
				t.Error("Stop of a timer that is due but has not fired reports false")
			}
			w.Start(&restarted, time.Minute)
		}}
		w.Start(&first, time.Millisecond)
		for _, timer := range []*Timer{&stopped, &restarted, &again} {
			w.Start(timer, time.Millisecond)
		}
		sleep(time.Second)
		if stoppedFired != 0 || restartedFired.Load() != 0 || againFired != 3 {
			t.Errorf("fired %d, %d and %d times, want 0, 0 and 3", stoppedFired, restartedFired.Load(), againFired)
		}
		sleep(time.Minute)
		if n := restartedFired.Load(); n != 1 {
			t.Errorf("the restarted timer fired %d times, want once", n)
		}
	})
}

func TestFireHoldsUpOthersOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New()
		defer w.Close()
		started := time.Now()
		var fired time.Duration
		other := Timer{Fire: func() { fired = time.Since(started) }}
		slow := Timer{Fire: func() { time.Sleep(10 * time.Millisecond) }}
		w.Start(&slow, 0)
		synctest.Wait()
		w.Start(&other, 2*time.Millisecond) // while slow is in its Fire
		if w.Stop(&slow) {
			t.Error("Stop of a timer that is firing reports true")
		}
		sleep(5 * time.Millisecond)
		w.wake() // a runtime timer that ran out twice
		sleep(time.Second)
		if fired != 10*time.Millisecond {
			t.Errorf("the other timer fired after %v, want 10ms, when the slow one was done", fired)
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New()
		fired := 0
		fire := func() { fired++ }
		early, late, due := Timer{Fire: fire}, Timer{Fire: fire}, Timer{Fire: fire}
		closing := Timer{Fire: w.Close}
		w.Start(&early, time.Second)
		w.Start(&closing, 2*time.Millisecond)
		w.Start(&due, 2*time.Millisecond)
		sleep(3 * time.Millisecond)
		w.Start(&late, time.Millisecond)
		w.Close()
		w.wake() // a runtime timer that ran out just before
		sleep(time.Minute)
		if fired != 0 {
			t.Errorf("%d timers fired after Close", fired)
		}
		for name, timer := range map[string]*Timer{"early": &early, "due": &due, "late": &late} {
			if !w.Stop(timer) {
				t.Errorf("Stop of the %s timer reports false, though it will not fire", name)
			}
		}
	})
}
