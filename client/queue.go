package client

import "sync"

// queue handles what is added to it, one after another, in a goroutine that
// exists only while there is something to handle.
type queue[E any] struct {
	handle func(E)
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
	defer q.mu.Unlock()
	q.items = append(q.items, e)
	if q.running {
		return
	}
	q.running = true
	if q.tasks == nil {
		go q.run()
	} else {
		q.tasks.Go(q.run)
	}
}

func (q *queue[E]) run() {
	for {
		q.mu.Lock()
		if len(q.items) == 0 {
			q.running = false
			q.mu.Unlock()
			return
		}
		items := q.items
		q.items, q.spare = q.spare[:0], nil
		q.mu.Unlock()
		for _, e := range items {
			q.handle(e)
		}
		clear(items)
		q.mu.Lock()
		q.spare = items[:0]
		q.mu.Unlock()
	}
}
