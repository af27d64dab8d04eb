// Package wheel is a coarse timer wheel for deadlines: many timers that are
// started and stopped all the time and that hardly ever fire.
//
// A runtime timer per deadline costs an allocation and a place in the
// scheduler's heap. Here a timer is a few words inside its owner's struct, and
// starting or stopping it relinks a list; one runtime timer serves the whole
// wheel and is rarely touched.
package wheel

import (
	"math"
	"sync"
	"time"
)

const (
	// resolution is the length of a tick. A deadline is rounded up to a whole
	// tick, so it fires less than one tick late and never early.
	resolution = time.Millisecond

	// buckets is a power of two, so that a tick's bucket is a mask away.
	buckets = 512

	// longestSleep bounds the time the runtime timer stays armed after the last
	// timer of the wheel was stopped. It is far longer than a usual deadline, so
	// it costs a wheel that is in use next to nothing.
	longestSleep = time.Minute

	// never is later than any tick.
	never = math.MaxInt64
)

// Wheel fires timers. It is safe for concurrent use; see [New].
type Wheel struct {
	start time.Time

	// mu protects every field below, and the links and the tick of every timer
	// of this wheel. It is not held while Fire runs.
	mu sync.Mutex

	// timer runs wake. While firing is set it is left alone: the running wake
	// arms it at its end. That keeps a single goroutine at work.
	timer  *time.Timer
	firing bool
	closed bool

	// next is a tick no later than the one at which the runtime timer runs out,
	// and no later than any timer's in the buckets; never: it is not armed.
	next int64

	// turn is nil until a timer is started: a wheel without any is small.
	turn *turn

	// due holds the timers whose time has come and that have not been fired.
	due list
}

// turn is the buckets of a wheel.
type turn struct {
	// earliest holds for each bucket a tick no later than any of its timers';
	// never if it is empty. It may be too early once a timer was stopped, which
	// costs a look at that bucket and is mended by it. It is apart from the
	// lists because every wake reads all of it.
	earliest [buckets]int64
	lists    [buckets]list
}

func newTurn() *turn {
	r := new(turn)
	for i := range r.lists {
		r.earliest[i] = never
		r.lists[i].init()
	}
	return r
}

// New returns an empty wheel. It has no goroutine; one runs while timers are
// being fired.
func New() *Wheel {
	w := &Wheel{start: time.Now(), next: never}
	w.due.init()
	w.timer = time.AfterFunc(longestSleep, w.wake)
	w.timer.Stop()
	return w
}

// Start arms t to fire once, when d has passed; a d of zero or less is past at
// once, and even then t fires from the wheel's goroutine. If t is armed already,
// the new deadline replaces the old one.
//
// A timer never fires early, and less than two milliseconds late as long as the
// Fires before it are quick and the scheduler keeps up.
func (w *Wheel) Start(t *Timer, d time.Duration) {
	w.mu.Lock()
	w.remove(t)
	if w.turn == nil {
		w.turn = newTurn()
	}
	now := time.Since(w.start)
	t.tick = tickAfter(now, d)
	bucket := t.tick % buckets
	w.turn.lists[bucket].push(t)
	w.turn.earliest[bucket] = min(w.turn.earliest[bucket], t.tick)
	if t.tick < w.next {
		w.next = t.tick
		w.arm(now)
	}
	w.mu.Unlock()
}

// Stop disarms t. It reports true if t was armed: it will not fire for this
// arming. It reports false if t was not armed, or if its Fire has run, is
// running or is just about to.
func (w *Wheel) Stop(t *Timer) bool {
	w.mu.Lock()
	armed := w.remove(t)
	w.mu.Unlock()
	return armed
}

// Close stops the wheel for good: no timer fires any more, except for a Fire
// that is just being called. Timers that are armed stay armed, and Start still
// arms: Stop reports true for them, so that their owners learn that no Fire is
// to be expected.
func (w *Wheel) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.timer.Stop()
}

// remove takes t out of the list it is in, and reports whether it was in one.
func (w *Wheel) remove(t *Timer) bool {
	if t.next == nil {
		return false
	}
	t.unlink()
	// t may come from the due list, but what follows holds for any bucket.
	if bucket := t.tick % buckets; w.turn.lists[bucket].empty() {
		w.turn.earliest[bucket] = never
	}
	return true
}

// arm makes the runtime timer run out at the tick next, or before.
func (w *Wheel) arm(now time.Duration) {
	if w.next == never || w.firing || w.closed {
		return
	}
	w.next = min(w.next, int64((now+longestSleep)/resolution))
	w.timer.Reset(time.Duration(w.next)*resolution - now)
}

// wake fires what is due and arms the runtime timer for what is left.
func (w *Wheel) wake() {
	// No deferred unlock: it would hide the panic of a Fire behind one about a
	// mutex that is not locked.
	w.mu.Lock()
	if w.firing || w.closed {
		// Resetting a runtime timer that has just run out makes it run out
		// twice, so there can be two of us.
		w.mu.Unlock()
		return
	}
	w.firing = true
	w.collect(int64(time.Since(w.start) / resolution))
	for !w.closed && !w.due.empty() {
		t := w.due.first()
		t.unlink()
		w.mu.Unlock()
		t.Fire()
		w.mu.Lock()
	}
	w.firing = false
	w.arm(time.Since(w.start))
	w.mu.Unlock()
}

// collect moves the timers due at the tick now to the due list and finds the
// next tick to wake at. It costs one look at each bucket, however much time has
// passed.
func (w *Wheel) collect(now int64) {
	// No timer is due before next, so starting there goes in the order of time
	// (unless we are late by more than a turn of the wheel).
	first := w.next % buckets
	w.next = never
	if w.turn == nil {
		return
	}
	for i := range int64(buckets) {
		bucket := (first + i) % buckets
		if w.turn.earliest[bucket] <= now {
			w.turn.earliest[bucket] = w.turn.lists[bucket].moveDue(now, &w.due)
		}
		w.next = min(w.next, w.turn.earliest[bucket])
	}
}

// tickAfter returns the first tick that is not before now+d.
func tickAfter(now, d time.Duration) int64 {
	d = min(max(d, 0), math.MaxInt64-now)
	tick := int64((now + d) / resolution)
	if (now+d)%resolution != 0 {
		tick++
	}
	return tick
}
