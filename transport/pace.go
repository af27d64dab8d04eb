package transport

import (
	"runtime"
	"time"
)

// A pace lets others run between two steps of a long copy: goroutines, and threads of any
// process, for the peer's may wait for this very processor. Threads it lets run again once the
// copy has gone on for a quarter of the time that they took: where others never stop, the copy
// has a fifth of a processor still.
type pace struct {
	since time.Time     // when threads were last let run
	took  time.Duration // how long that took
}

func (p *pace) yield() {
	runtime.Gosched()
	now := time.Now()
	if now.Sub(p.since) < p.took/4 {
		return
	}
	yieldThread()
	p.since = time.Now()
	p.took = p.since.Sub(now)
}
