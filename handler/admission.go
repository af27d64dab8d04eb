package handler

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmdstream/cmdstream/base"
)

// admission bounds how many commands run at once on a server, whoever sent them. More
// wait in a queue, without a goroutine; those that would begin too late are refused at
// once.
type admission[T any] struct {
	maxRunning int64
	maxQueued  int64
	maxWait    time.Duration
	run        func(*command[T]) // in a goroutine of its own

	running atomic.Int64
	waiting atomic.Int64 // in the queue; changed under mu
	service atomic.Int64 // how long a command takes, in nanoseconds: a moving average

	mu          sync.Mutex  // protects what follows, and the links of the commands in the queue
	first, last *command[T] // the queue
}

// enter lets a command run, which it reports by true, puts it into the queue, or
// refuses it.
func (a *admission[T]) enter(x *command[T], timeout time.Duration) (now bool, refusal *base.Error) {
	n := a.running.Add(1)
	if n <= a.maxRunning {
		if n > a.maxRunning/2 { // how long commands take is of interest only then
			x.began = time.Now()
		}
		return true, nil
	}
	a.running.Add(-1)
	patience := a.maxWait
	if timeout > 0 {
		patience = min(patience, timeout)
	}
	queued := a.waiting.Load()
	wait := a.wait(queued)
	if queued >= a.maxQueued || wait > patience {
		return false, &base.Error{
			Outcome: base.Rejected, Code: base.ErrBusy, RetryAfter: max(wait, minRetryAfter),
			Message: fmt.Sprintf("the server runs %d commands, and %d wait: this one would begin after %v", a.maxRunning, queued, wait.Round(time.Millisecond)),
		}
	}
	a.mu.Lock()
	a.push(x)
	next := a.next() // one may have ended since
	a.mu.Unlock()
	if next != nil {
		a.run(next)
	}
	return false, nil
}

// minRetryAfter is the least time after which trying again is of use.
const minRetryAfter = 10 * time.Millisecond

// wait is how long a command would wait behind so many others.
func (a *admission[T]) wait(queued int64) time.Duration {
	return time.Duration((queued + 1) * a.service.Load() / a.maxRunning)
}

// leave is the end of a command that ran. The next one begins.
func (a *admission[T]) leave(x *command[T]) {
	if !x.began.IsZero() {
		took, before := int64(time.Since(x.began)), a.service.Load()
		a.service.Store(before + (took-before)/8)
		x.began = time.Time{}
	}
	a.running.Add(-1)
	if a.waiting.Load() == 0 {
		return
	}
	a.mu.Lock()
	next := a.next()
	a.mu.Unlock()
	if next != nil {
		a.run(next)
	}
}

// next takes a command out of the queue, if one may run. The caller holds mu.
func (a *admission[T]) next() *command[T] {
	if a.first == nil {
		return nil
	}
	if a.running.Add(1) > a.maxRunning {
		a.running.Add(-1)
		return nil
	}
	x := a.first
	a.unlink(x)
	x.began = time.Now()
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

func (a *admission[T]) push(x *command[T]) {
	x.queued, x.before = true, a.last
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
