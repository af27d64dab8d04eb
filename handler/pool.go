package handler

import (
	"sync"
	"time"
)

// Pool keeps the goroutines in which commands run, so that their stacks stay
// warm. Each serves one connection at a time, as its leader: it reads, and runs
// what comes, until a command is to have a goroutine to itself. Then it hands the
// reading to a follower, a parked goroutine of the pool, and runs that command.
type Pool struct {
	mu     sync.Mutex  // protects what follows
	parked []chan *led // the one that was parked last is taken first
	active int         // goroutines that are not parked
	closed bool
	empty  chan struct{} // closed when active is 0 and closed is true
}

// led is what one goroutine of the pool leads at a time: a connection that wants to be read. What
// lead returns the goroutine runs then: it leads no more, and has the stack to itself.
type led struct {
	lead func() runner // nil: nothing
	work func()        // Pool.work, made once
}

// runner is a command that has a goroutine to itself.
type runner interface{ runApart() }

func (p *Pool) led(lead func() runner) *led {
	l := &led{lead: lead}
	l.work = func() { p.work(l) }
	return l
}

// maxParked is how many idle goroutines a pool keeps.
const maxParked = 256

// NewPool returns an empty pool.
func NewPool() *Pool { return &Pool{empty: make(chan struct{})} }

// follow has a goroutine lead l.
func (p *Pool) follow(l *led) {
	p.mu.Lock()
	p.active++
	if n := len(p.parked); n > 0 {
		worker := p.parked[n-1]
		p.parked = p.parked[:n-1]
		p.mu.Unlock()
		worker <- l
		return
	}
	p.mu.Unlock()
	go l.work()
}

// start has a new goroutine lead l.
func (p *Pool) start(l *led) {
	p.mu.Lock()
	p.active++
	p.mu.Unlock()
	go l.work()
}

// work is a goroutine of the pool. It ends when enough others are parked, when
// the pool is closed, or by a command's runtime.Goexit.
func (p *Pool) work(l *led) {
	exited := true
	defer func() {
		if exited {
			p.leave(nil)
		}
	}()
	var self chan *led // made when this goroutine is parked
	for ok := true; ok; l, ok = <-self {
		if own := l.lead(); own != nil {
			own.runApart()
		}
		if !p.leave(&self) {
			break
		}
	}
	exited = false
}

// leave counts a goroutine as no longer active, and parks it if there is need.
func (p *Pool) leave(self *chan *led) (parked bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active--
	if p.closed && p.active == 0 {
		close(p.empty)
	}
	if self == nil || p.closed || len(p.parked) >= maxParked {
		return false
	}
	if *self == nil {
		*self = make(chan *led, 1)
	}
	p.parked = append(p.parked, *self)
	return true
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
		if p.active == 0 {
			close(p.empty)
		}
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
