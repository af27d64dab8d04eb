package server

import (
	"crypto/tls"
	"errors"
	"net"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/delegate"
	"github.com/cmdstream/cmdstream/transport"
)

// Serve accepts connections from l and serves them, until Shutdown or Close, or
// until l fails. It closes l. It never returns nil: after Shutdown or Close the
// error is ErrClosed.
func (s *Server) Serve(l net.Listener) error {
	if !s.addListener(l) {
		l.Close()
		return s.ended()
	}
	defer s.removeListener(l)
	if s.conf.firstConnTimeout > 0 {
		timer := time.AfterFunc(s.conf.firstConnTimeout, s.expectFirst)
		defer timer.Stop()
	}
	var backoff time.Duration
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			backoff = 0
			s.start(nc)
		case s.ended() != nil:
			return s.ended()
		case isTransient(err):
			// Out of file descriptors, most likely: connections that end free some.
			backoff = min(max(2*backoff, 5*time.Millisecond), time.Second)
			s.acceptFailures.Add(1)
			s.logger.Warn("can't accept a connection now", "error", err, "retry_in", backoff)
			select {
			case <-time.After(backoff):
			case <-s.ctx.Done():
			}
		default:
			return err
		}
	}
}

// isTransient tells errors of Accept that pass by themselves.
func isTransient(err error) bool {
	for _, e := range []error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
		syscall.ECONNABORTED, syscall.EINTR, syscall.EAGAIN,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// start serves a connection in a goroutine of its own, if a hello may begin.
func (s *Server) start(nc net.Conn) {
	s.mu.Lock()
	s.accepted = true
	if s.state == closed {
		s.mu.Unlock()
		nc.Close()
		return
	}
	s.tasks.Add(1)
	s.mu.Unlock()
	select {
	case s.hellos <- struct{}{}:
	default:
		s.tasks.Done()
		nc.Close()
		s.tooManyHellos.Add(1)
		s.logger.Warn("a connection was closed: too many are in their hello", "remote", nc.RemoteAddr())
		return
	}
	go func() {
		defer s.tasks.Done()
		s.hello(nc)
	}()
}

// hello answers a client's hello and has its commands run.
func (s *Server) hello(nc net.Conn) {
	if s.conf.wrap != nil {
		nc = s.conf.wrap(nc)
	}
	a := &admission{server: s, nc: nc}
	served := false
	defer func() {
		<-s.hellos
		if v := recover(); v != nil { // of a callback of the TLSConfig, a Transport, or the Logger
			s.logger.Error("a hello panicked", "remote", nc.RemoteAddr(), "value", v, "stack", string(debug.Stack()))
			nc.Close()
		}
		if !served {
			a.abandon()
		}
	}()
	conf := s.conf.delegate
	memory := s.sessions.memory()
	conf.Admit, conf.Budget = a.admit, memory
	addr := nc.RemoteAddr()
	conn, hello, _, err := delegate.Accept(s.ctx, nc, conf)
	if err != nil {
		if a.status == transport.OK {
			s.failedHellos.Add(1)
		}
		s.logger.Warn("a connection ended in its hello", "remote", addr, "error", err)
		return
	}
	w, err := a.session.attach(conn, &hello, memory)
	if err != nil {
		conn.Fail(err)
		conn.Join()
		s.logger.Warn("a connection ended after its hello", "remote", addr, "error", err)
		return
	}
	served = true
	stopWatching := func() bool { return false }
	within := s.conf.receiveTimeout
	if within == 0 && hello.Session != nil {
		within = s.conf.sessionReceive
	}
	if within > 0 {
		stopWatching = delegate.WatchIdle(conn, within)
	}
	defer func() { // also if the Logger panics: its connection is closed at once then
		s.addWorker(w)
		w.Start(func(err error) {
			stopWatching() // its timer would hold the connection's buffers
			s.lost(w, addr, err)
		})
	}()
	s.logger.Debug("a client connected", "remote", addr)
}

// freePlace gives up a place, and its worker if it had one.
func (s *Server) freePlace(w worker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w != nil {
		if _, has := s.workers[w]; !has {
			return // another connection of its session has taken it over
		}
		delete(s.workers, w)
	}
	s.places--
	select {
	case s.freed <- struct{}{}:
	default:
	}
}

// addWorker notes a connected client. If the server began to end meanwhile, the
// client is told as the others were.
func (s *Server) addWorker(w worker) {
	s.mu.Lock()
	s.workers[w] = struct{}{}
	state := s.state
	s.mu.Unlock()
	switch state {
	case draining:
		w.Drain(0)
	case closed:
		w.Close(closedError(), 0)
	}
}

// lost is called when a connection has ended.
func (s *Server) lost(w worker, addr net.Addr, err error) {
	byUs := s.ended() != nil
	s.freePlace(w) // first: nobody knows how long the callback takes
	s.logger.Debug("a connection ended", "remote", addr, "error", err)
	if s.conf.lostConn == nil || byUs {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			s.logger.Error("LostConnCallback panicked", "value", v)
		}
	}()
	s.conf.lostConn(addr, err)
}

func (s *Server) addListener(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != serving {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) removeListener(l net.Listener) {
	s.mu.Lock()
	delete(s.listeners, l)
	s.mu.Unlock()
	l.Close()
}

// expectFirst ends the server if no connection has come.
func (s *Server) expectFirst() {
	s.mu.Lock()
	came := s.accepted
	s.mu.Unlock()
	if !came {
		s.end(closed, &base.Error{Outcome: base.NotSent, Code: base.ErrNoClient, Message: "no client came within FirstConnTimeout, which was " + s.conf.firstConnTimeout.String()})
	}
}

// ended returns why the server has ended, or begun to; nil while it serves.
func (s *Server) ended() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.why
}

func closedError() error {
	return &base.Error{Outcome: base.NotSent, Code: base.ErrClosed, Message: "the server was closed"}
}

// tlsWrapper returns what makes a connection a TLS one; nil for none.
func tlsWrapper(conf *tls.Config) func(net.Conn) net.Conn {
	if conf == nil {
		return nil
	}
	return func(nc net.Conn) net.Conn { return tls.Server(transport.Polite(nc), conf) }
}
