package client

import (
	"sync"
	"time"
)

// goroutines counts goroutines. Unlike with a sync.WaitGroup, more may begin
// while somebody waits for the end of all.
type goroutines struct {
	mu   sync.Mutex // protects what follows
	n    int
	none chan struct{} // closed when n comes down to 0; nil: nobody waits
}

// Go calls f in a goroutine of its own.
func (g *goroutines) Go(f func()) {
	g.mu.Lock()
	g.n++
	g.mu.Unlock()
	go func() {
		defer g.end()
		f()
	}()
}

func (g *goroutines) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n--; g.n == 0 && g.none != nil {
		close(g.none)
		g.none = nil
	}
}

// wait waits until there are none, or the time is over.
func (g *goroutines) wait(within time.Duration) {
	g.mu.Lock()
	if g.n == 0 {
		g.mu.Unlock()
		return
	}
	if g.none == nil {
		g.none = make(chan struct{})
	}
	none := g.none
	g.mu.Unlock()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-none:
	case <-timer.C:
	}
}
