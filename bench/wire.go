package main

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmdstream/cmdstream/bench/systems"
)

// Bytes on the wire are counted in a pass of their own, which is not timed: through a
// proxy, with the callers of the workload and a fixed number of calls each.
const (
	wireWarm  = 20     // calls of each caller before the count begins
	wireCalls = 20_000 // calls to count, of all callers together
)

// countWire returns how many bytes an echo costs beside the body, each way. Systems
// without callers are not asked.
func countWire(system systems.System, w workload, s settings) (sample, error) {
	r := &run{settings: s, system: system, work: w, conf: w.conf(s.certificate, s.key)}
	server, err := system.Serve(r.conf)
	if err != nil {
		return nil, err
	}
	p, err := newProxy(server.Addr)
	if err != nil {
		server.Close()
		return nil, err
	}
	r.host = p
	defer func() {
		r.close()
		server.Close()
	}()
	if err := r.dial(); err != nil {
		return nil, err
	}
	callers, err := r.callers(w.Callers)
	if err != nil {
		return nil, err
	}
	if err := r.each(callers, 0, wireWarm); err != nil {
		return nil, err
	}
	up, down := p.up.Load(), p.down.Load()
	calls := max(min(wireCalls, 64*mebibyte/w.Size)/w.Callers, 2)
	if err := r.each(callers, wireWarm, calls); err != nil {
		return nil, err
	}
	n := float64(calls * w.Callers)
	return sample{
		wireUp:   float64(p.up.Load()-up)/n - float64(w.Size),
		wireDown: float64(p.down.Load()-down)/n - float64(w.Size),
	}, nil
}

// each makes calls on all callers at once.
func (r *run) each(callers []systems.Caller, first, calls int) error {
	failed := make(chan error, len(callers))
	for i, caller := range callers {
		go func() {
			failed <- func() error {
				body := newBody(r.work.Size, i)
				for call := range calls {
					setNumber(body, i, uint64(first+call))
					answer, err := caller.Echo(body)
					if err != nil {
						return err
					}
					if string(answer) != string(body) {
						return errWrongAnswer
					}
				}
				return nil
			}()
		}()
	}
	deadline := time.After(manyDials)
	for left := len(callers); left > 0; left-- {
		select {
		case err := <-failed:
			if err != nil {
				return err
			}
		case <-deadline:
			return fmt.Errorf("%d callers wait for an answer after %v", left, manyDials)
		}
	}
	return nil
}

// A proxy counts the bytes that pass. It is a host whose server is elsewhere.
type proxy struct {
	listener net.Listener
	server   string
	up, down atomic.Int64
	wg       sync.WaitGroup

	// mu protects conns and closed.
	mu     sync.Mutex
	conns  []net.Conn
	closed bool
}

func newProxy(server string) (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, server: server}
	p.wg.Go(p.accept)
	return p, nil
}

func (p *proxy) addr() string                   { return p.listener.Addr().String() }
func (p *proxy) ask(question) (counters, error) { return counters{}, nil }

func (p *proxy) close() {
	p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for _, conn := range p.conns {
		conn.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.DialTimeout("tcp", p.server, dialTime)
		if err = errors.Join(err, p.keep(client, server)); err != nil {
			client.Close()
			continue
		}
		p.wg.Go(func() { pass(server, client, &p.up) })
		p.wg.Go(func() { pass(client, server, &p.down) })
	}
}

// keep remembers connections, to close them.
func (p *proxy) keep(conns ...net.Conn) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		if conn != nil {
			p.conns = append(p.conns, conn)
		}
	}
	if p.closed {
		return net.ErrClosed
	}
	return nil
}

// pass moves bytes until one side ends, and then closes both.
func pass(to, from net.Conn, count *atomic.Int64) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 64*kibibyte)
	for {
		n, err := from.Read(buffer)
		count.Add(int64(n))
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
