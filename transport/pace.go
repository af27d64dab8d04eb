package transport

import (
	"net"
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

// Polite returns nc for the server's end of TLS over it. A handshake computes for a third of a
// millisecond, and what is ready to run on its processor waits as long: so, once the client
// has said something, that goes first.
func Polite(nc net.Conn) net.Conn { return &polite{Conn: nc} }

type polite struct {
	net.Conn
	heard bool // of the goroutine that reads
}

func (p *polite) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if !p.heard {
		p.heard = true
		runtime.Gosched()
	}
	return n, err
}
