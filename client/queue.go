package client

import (
	"slices"
	"sync"
)

// queue handles what is added to it, one after another, in a goroutine that
// exists only while there is something to handle.
type queue[E any] struct {
	handle func(E)
	exited func(E)     // hears of what was being handled when the user's code ended the goroutine; nil: nobody
	tasks  *goroutines // counts the goroutine; nil: nobody waits for it

	mu      sync.Mutex // protects what follows
	items   []E
	spare   []E
	running bool
}

func newQueue[E any](handle func(E), tasks *goroutines) *queue[E] {
	return &queue[E]{handle: handle, tasks: tasks}
}

// add never waits.
func (q *queue[E]) add(e E) {
	q.mu.Lock()
	q.items = append(q.items, e)
	if !q.running {
		q.start()
	}
	q.mu.Unlock()
}

func (q *queue[E]) run() {
	var items []E // on their way
	var next int  // the first of them that was not handled
	empty := false
	defer func() {
		if empty {
			return
		}
		// The user's code ended this goroutine by runtime.Goexit: another goes on.
		if q.exited != nil {
			q.exited(items[next-1])
		}
		q.mu.Lock()
		q.items = slices.Concat(items[next:], q.items)
		q.start()
		q.mu.Unlock()
	}()
	for {
		q.mu.Lock()
		if len(q.items) == 0 {
			q.running, empty = false, true
			q.mu.Unlock()
			return
		}
		items, next = q.items, 0
		q.items, q.spare = q.spare[:0], nil
		q.mu.Unlock()
		for next < len(items) {
			next++
			q.handle(items[next-1])
		}
		clear(items)
		q.mu.Lock()
		q.spare = items[:0]
		q.mu.Unlock()
	}
}

// start starts the goroutine. The caller holds mu.
func (q *queue[E]) start() {
	q.running = true
	if q.tasks == nil {
		go q.run()
	} else {
		q.tasks.Go(q.run)
	}
}
