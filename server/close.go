package server

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/cmdstream/cmdstream/base"
)

// execGrace is how long Close waits for commands that are still running, whose
// ctx has been canceled.
const execGrace = 500 * time.Millisecond

// helloGrace is how long Close waits for hellos and listeners, which end at once
// unless the user's code, such as a callback of the TLSConfig, holds them.
const helloGrace = 250 * time.Millisecond

// Shutdown drains the server: it accepts no more connections, tells the clients
// to send their further commands elsewhere, which it rejects from then on, and
// waits until the commands that are running have ended and the clients have
// gone. When ctx ends before, it closes the connections that are left, and
// returns ctx's cause.
//
// Clients with a session may come back while it drains, for what they were not told
// yet: the listeners stay open for them alone, and Shutdown waits until they came, or
// their session's time is over.
//
// A connection whose transport has no goaway is closed as soon as none of its
// commands is running.
func (s *Server) Shutdown(ctx context.Context) error {
	s.end(draining, closedError())
	ticker := time.NewTicker(drainTick)
	defer ticker.Stop()
	for {
		if s.drained() {
			return s.Close()
		}
		select {
		case <-ctx.Done():
			s.Close()
			return context.Cause(ctx)
		case <-s.freed:
		case <-ticker.C:
			s.closeIdle()
		}
	}
}

// drainTick is how often Shutdown looks whether all is done.
const drainTick = 5 * time.Millisecond

// drained tells whether no client is left, and none has to come back for what it was
// not told yet.
func (s *Server) drained() bool {
	s.mu.Lock()
	left := s.places > 0
	s.mu.Unlock()
	return !left && !s.sessions.waiting()
}

// closeIdle closes the connections that run nothing and can't be told to go.
func (s *Server) closeIdle() {
	var closing sync.WaitGroup
	for _, w := range s.list() {
		if !w.Goaway() && w.Running() == 0 {
			closing.Go(func() { w.Close(closedError(), execGrace) })
		}
	}
	closing.Wait()
}

// Close ends the server now: listeners and connections are closed, and the ctx
// of each running command is canceled. It waits up to half a second for them to
// return; the error says how many have not.
func (s *Server) Close() error {
	s.end(closed, closedError())
	hellos := make(chan struct{})
	go func() {
		s.tasks.Wait()
		close(hellos)
	}()
	select {
	case <-hellos:
	case <-time.After(helloGrace):
	}
	running := s.pool.Close(execGrace)
	s.release()
	if running > 0 {
		return &base.Error{Code: base.ErrClosed, Message: fmt.Sprintf("the server is closed, but %d goroutines still run commands whose ctx was canceled", running)}
	}
	return nil
}

// end moves the server on towards its end, and tells all who are concerned.
func (s *Server) end(to state, why error) {
	s.mu.Lock()
	if s.state >= to {
		s.mu.Unlock()
		return
	}
	s.state = to
	if s.why == nil {
		s.why = why
	}
	// While there are sessions their clients must be able to come back.
	if to == closed || !s.sessions.exist() {
		for l := range s.listeners {
			s.tasks.Go(func() { l.Close() }) // a listener may be the user's own
		}
	}
	s.mu.Unlock()
	if to == closed {
		s.cancel(why)
	}
	for _, w := range s.list() {
		if to == draining || w.Goaway() {
			w.Drain(0)
		}
		if to == closed {
			w.Close(why, 0)
		}
	}
	if to == closed {
		s.sessions.end(why)
	}
}

// list returns the workers of this moment.
func (s *Server) list() []worker {
	s.mu.Lock()
	defer s.mu.Unlock()
	workers := make([]worker, 0, len(s.workers))
	for w := range s.workers {
		workers = append(workers, w)
	}
	return workers
}
