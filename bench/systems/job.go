package systems

import (
	"sync"
	"sync/atomic"
	"time"
)

// Job is what a handler does before it answers.
type Job struct {
	Sleep   time.Duration // 0: not at all
	Compute time.Duration // of one processor; 0: nothing
}

// Long tells whether others should not have to wait for it.
func (j Job) Long() bool { return j != Job{} }

// Do does it.
func (j Job) Do() {
	if j.Sleep > 0 {
		time.Sleep(j.Sleep)
	}
	if j.Compute > 0 {
		computed.Store(compute(int(float64(j.Compute) / step())))
	}
}

// computed is where results go, so that they are computed.
var computed atomic.Uint64

// compute takes n steps, each of which needs the one before.
func compute(n int) uint64 {
	x := uint64(1)
	for range n {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}

// step is how long a step of compute takes, in nanoseconds: the least of several tries, for a
// processor may be lost in one.
var step = sync.OnceValue(func() float64 {
	const steps, tries = 100_000, 20
	least := time.Hour
	for range tries {
		start := time.Now()
		computed.Store(compute(steps))
		least = min(least, time.Since(start))
	}
	return float64(least) / steps
})
