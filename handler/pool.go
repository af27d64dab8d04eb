package handler

import (
	"sync"
	"time"
)

// Pool keeps the goroutines in which connections are read and commands run, so that their
// stacks stay warm.
type Pool struct {
	mu     sync.Mutex  // protects what follows
	parked []chan task // the one that was parked last is taken first
	active int         // goroutines that are not parked
	closed bool
	once   sync.Once     // of empty: a connection may still be handed over when all others have ended
	empty  chan struct{} // closed when active is 0 and closed is true, for the first time
}

// task is what one goroutine of the pool does at a time: it leads a connection, or runs a command.
type task interface{ work() }

// maxParked is how many idle goroutines a pool keeps.
const maxParked = 256

// NewPool returns an empty pool.
func NewPool() *Pool { return &Pool{empty: make(chan struct{})} }

// run has a goroutine work on t.
func (p *Pool) run(t task) {
	p.mu.Lock()
	p.active++
	if n := len(p.parked); n > 0 {
		worker := p.parked[n-1]
		p.parked = p.parked[:n-1]
		p.mu.Unlock()
		worker <- t
		return
	}
	p.mu.Unlock()
	go p.work(t)
}

// start has a new goroutine work on t.
func (p *Pool) start(t task) {
	p.mu.Lock()
	p.active++
	p.mu.Unlock()
	go p.work(t)
}

// work is a goroutine of the pool. It ends when enough others are parked, when
// the pool is closed, or by a command's runtime.Goexit.
func (p *Pool) work(t task) {
	exited := true
	defer func() {
		if exited {
			p.leave(nil)
		}
	}()
	var self chan task // made when this goroutine is parked
	for ok := true; ok; t, ok = <-self {
		t.work()
		if !p.leave(&self) {
			break
		}
	}
	exited = false
}

// leave counts a goroutine as no longer active, and parks it if there is need.
func (p *Pool) leave(self *chan task) (parked bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active--
	p.endLocked()
	if self == nil || p.closed || len(p.parked) >= maxParked {
		return false
	}
	if *self == nil {
		*self = make(chan task, 1)
	}
	p.parked = append(p.parked, *self)
	return true
}

// endLocked tells Close, once all have ended. The caller holds mu.
func (p *Pool) endLocked() {
	if p.closed && p.active == 0 {
		p.once.Do(func() { close(p.empty) })
	}
}

// Close ends the parked goroutines, and waits for the others, for a time. It
// returns how many are still running commands then. No connection may be led
// any more.
func (p *Pool) Close(within time.Duration) (running int) {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		for _, worker := range p.parked {
			close(worker)
		}
		p.parked = nil
		p.endLocked()
	}
	p.mu.Unlock()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-p.empty:
	case <-timer.C:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.active
}
