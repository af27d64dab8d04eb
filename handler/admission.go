package handler

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/internal/wheel"
)

// admission bounds how many commands run at once on a server, whoever sent them. More
// wait in a queue, without a goroutine; those that would begin too late are refused at
// once.
type admission[T any] struct {
	maxRunning int64
	maxQueued  int64
	maxWait    time.Duration
	wheel      *wheel.Wheel
	run        func(*command[T]) // in a goroutine of its own

	running atomic.Int64
	waiting atomic.Int64 // in the queue; changed under mu
	service atomic.Int64 // how long a command takes, in nanoseconds: a moving average
	moved   atomic.Int64 // when all places were taken, or one was left: nanoseconds after since
	since   time.Time

	mu          sync.Mutex  // protects what follows, and the links of the commands in the queue
	first, last *command[T] // the queue
}

// enter lets a command run, if there is a place among those that do, and none waits for it.
func (a *admission[T]) enter(x *command[T]) bool {
	if a.waiting.Load() > 0 {
		return false
	}
	n := a.takePlace()
	if n == 0 {
		return false
	}
	if n > a.maxRunning/2 { // how long commands take is of interest only then
		x.began = a.now()
	}
	return true
}

// queue puts a command into the queue, or refuses it.
func (a *admission[T]) queue(x *command[T], timeout time.Duration) (refusal *base.Error) {
	patience := a.maxWait
	if timeout > 0 {
		left := timeout - time.Since(x.ctx.at)
		if left <= 0 {
			return tooLate()
		}
		patience = min(patience, left)
	}
	x.mu.Lock()
	a.mu.Lock()
	first := a.next() // a place may have become free that nobody has taken yet who waits
	at := a.now()
	wait := a.wait(at)
	if a.waiting.Load() >= a.maxQueued || wait > patience {
		a.mu.Unlock()
		x.mu.Unlock()
		a.start(first)
		return a.busy(fmt.Sprintf("this one would begin after %v", wait.Round(time.Millisecond)), wait)
	}
	timer := x.arming()
	x.mu.Unlock()
	a.push(x, at)
	a.wheel.Start(timer, patience)
	next := a.next() // one may have ended since
	a.mu.Unlock()
	a.start(first)
	a.start(next)
	return nil
}

// start runs a command that next has taken out of the queue, if it has. The caller holds no lock.
func (a *admission[T]) start(x *command[T]) {
	if x != nil {
		a.run(x)
	}
}

// takePlace takes a place among the running commands, and returns how many are taken
// then; 0: all were. It never counts a command that does not run: whoever leaves at that
// moment would find no place for one that waits.
func (a *admission[T]) takePlace() int64 {
	for {
		n := a.running.Load()
		if n >= a.maxRunning {
			return 0
		}
		if n+1 == a.maxRunning { // noted first: who finds all places taken looks at it
			a.move(a.now())
		}
		if a.running.CompareAndSwap(n, n+1) {
			return n + 1
		}
	}
}

// minRetryAfter is the least time after which trying again is of use.
const minRetryAfter = 10 * time.Millisecond

// busy is the refusal of a command.
func (a *admission[T]) busy(message string, wait time.Duration) *base.Error {
	return &base.Error{
		Outcome: base.Rejected, Code: base.ErrBusy, RetryAfter: min(max(wait, minRetryAfter), max(a.maxWait, minRetryAfter)),
		Message: fmt.Sprintf("the server runs %d commands, and %d wait: %s", a.maxRunning, a.waiting.Load(), message),
	}
}

// wait is how long a command would wait behind those in the queue: for as many ends of
// commands, which come as often as commands take on average, or not even that where
// none has come for longer.
func (a *admission[T]) wait(at int64) time.Duration {
	each := max(a.service.Load()/a.maxRunning, at-a.moved.Load())
	return time.Duration((a.waiting.Load() + 1) * each)
}

// move notes that the running commands have changed while all places were taken.
func (a *admission[T]) move(at int64) { a.moved.Store(at) }

// now is the time in nanoseconds since the server began; never 0.
func (a *admission[T]) now() int64 { return int64(time.Since(a.since)) + 1 }

// leave is the end of a command that ran. The next one begins.
func (a *admission[T]) leave(x *command[T]) {
	if x.began != 0 {
		at := a.now()
		took, before := at-x.began, a.service.Load()
		took = min(took, 4*before+int64(time.Millisecond)) // one that took long says little of the others
		a.service.Store(before + (took-before)/8)
		a.move(at)
		x.began = 0
	}
	a.running.Add(-1)
	if a.waiting.Load() == 0 {
		return
	}
	a.mu.Lock()
	next := a.next()
	a.mu.Unlock()
	a.start(next)
}

// next takes a command out of the queue, if one may run. The caller holds mu.
func (a *admission[T]) next() *command[T] {
	if a.first == nil || a.takePlace() == 0 {
		return nil
	}
	x := a.first
	a.unlink(x)
	x.began = a.now()
	return x
}

// remove takes a command out of the queue that has ended there; false: it is not in
// it.
func (a *admission[T]) remove(x *command[T]) bool {
	if a.waiting.Load() == 0 {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !x.queued {
		return false
	}
	a.unlink(x)
	return true
}

// overdue takes a command out of the queue that has waited there for longer than any may;
// false: it has not, or is not in it.
func (a *admission[T]) overdue(x *command[T]) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !x.queued || time.Duration(a.now()-x.entered) < a.maxWait {
		return false
	}
	a.unlink(x)
	return true
}

func (a *admission[T]) push(x *command[T], at int64) {
	x.queued, x.before, x.entered = true, a.last, at
	if a.last == nil {
		a.first = x
	} else {
		a.last.behind = x
	}
	a.last = x
	a.waiting.Add(1)
}

func (a *admission[T]) unlink(x *command[T]) {
	if x.before == nil {
		a.first = x.behind
	} else {
		x.before.behind = x.behind
	}
	if x.behind == nil {
		a.last = x.before
	} else {
		x.behind.before = x.before
	}
	x.queued, x.before, x.behind = false, nil, nil
	a.waiting.Add(-1)
}
