package wheel

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// modelled is a timer with what a naive model knows of it.
type modelled struct {
	Timer
	armed    bool
	deadline time.Time
}

// TestModel runs random operations and compares every outcome with the model.
func TestModel(t *testing.T) {
	for seed := range uint64(15) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			w := New()
			defer w.Close()
			var mu sync.Mutex // protects the model and random
			timers := make([]modelled, 40)
			for i := range timers {
				timer := &timers[i]
				timer.Fire = func() {
					mu.Lock()
					defer mu.Unlock()
					if !timer.armed {
						t.Errorf("seed %d: timer %d fired without being armed", seed, i)
					}
					if late := time.Since(timer.deadline); late < 0 || late > lateness {
						t.Errorf("seed %d: timer %d fired %v late", seed, i, late)
					}
					timer.armed = false
					if random.IntN(8) == 0 {
						timer.start(w, randomDuration(random))
					}
				}
			}
			for range 1000 {
				mu.Lock()
				pause := time.Duration(0)
				timer := &timers[random.IntN(len(timers))]
				switch random.IntN(4) {
				case 0, 1:
					timer.start(w, randomDuration(random))
				case 2:
					if stopped := w.Stop(&timer.Timer); stopped != timer.armed {
						t.Errorf("seed %d: Stop reports %t, but armed is %t", seed, stopped, timer.armed)
					}
					timer.armed = false
				case 3:
					pause = randomDuration(random) / 4
				}
				mu.Unlock()
				sleep(pause)
				mu.Lock()
				for i := range timers {
					if late := time.Since(timers[i].deadline); timers[i].armed && late > lateness {
						t.Errorf("seed %d: timer %d has not fired, %v late", seed, i, late)
					}
				}
				mu.Unlock()
			}
		})
	}
}

func (m *modelled) start(w *Wheel, d time.Duration) {
	m.armed, m.deadline = true, time.Now().Add(max(d, 0))
	w.Start(&m.Timer, d)
}

// randomDuration is mostly short, at times longer than a turn of the wheel or
// than the longest sleep, and hardly ever a whole tick.
func randomDuration(random *rand.Rand) time.Duration {
	longest := []time.Duration{
		3 * time.Millisecond, 100 * time.Millisecond, time.Second, 3 * longestSleep,
	}[random.IntN(4)]
	return time.Duration(random.Int64N(int64(longest))) - time.Millisecond
}
