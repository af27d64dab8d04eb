package client

import (
	"errors"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/delegate"
	"github.com/cmdstream/cmdstream/transport"
)

// run reads the link until it ends, over one connection after the other where it has
// a session, and settles its open commands. It is the link's goroutine.
func (l *link[T]) run() {
	returned := false
	defer func() {
		if !returned { // the user's code ends this goroutine
			l.client.tasks.Go(func() {
				conn := l.conn.Load()
				conn.Fail(errExited)
				l.part(conn)
				l.finish(errExited)
			})
		}
	}()
	l.finish(l.live())
	returned = true
}

// errExited is the end of a link, or a client, whose goroutine was ended by a codec, or a Dialer.
var errExited = &base.Error{Code: base.ErrPanic, Message: "the user's code ended the goroutine of the connection by runtime.Goexit"}

// live is the link's life. It returns its end.
func (l *link[T]) live() (reason error) {
	for {
		conn := l.conn.Load()
		reason = l.read(conn)
		l.client.counters.lost(reason)
		l.part(conn)
		if !l.outlives() {
			if err := l.client.Err(); err != nil && l.session != nil {
				reason = err // without it the session would have gone on
			}
			return reason
		}
		l.client.detached(l, conn, reason)
		next, err := l.resume(reason)
		if err != nil {
			if errors.Is(err, base.ErrSessionLost) && !l.isIdle() {
				l.client.counters.sessionsLost.Add(1)
			}
			return err
		}
		if reason = l.attach(next); reason != nil {
			l.part(next) // it may have taken commands already
			return reason
		}
	}
}

// finish ends the link, and settles its open commands.
func (l *link[T]) finish(reason error) {
	l.leave(reason)
	l.settle(reason)
	l.client.lost(l, reason)
	if l.session != nil && delegate.Final(reason) && !errors.Is(reason, base.ErrSessionLost) {
		l.client.finish(reason)
	}
}

// outlives tells whether the link goes on without its connection.
func (l *link[T]) outlives() bool {
	return l.session != nil && l.client.goesOn() && (l.end() == nil || !l.isIdle())
}

// part is the end of a connection that has failed.
func (l *link[T]) part(conn *transport.Conn) {
	if l.stopKeepalive != nil {
		l.stopKeepalive() // its timer would hold the connection's buffers
	}
	l.arriving.end()
	*l.message = transport.Message{}
	conn.Shrink()
	conn.Join()
	l.detach(conn)
}

// detach takes the open commands off a connection that has ended and was joined.
func (l *link[T]) detach(conn *transport.Conn) {
	for _, s := range *l.table.Load() {
		s.detach(conn)
	}
}

// detach notes whether the connection had taken the slot's command whole. It waits
// for a goroutine that is just sending it, which does not wait for anything: the
// connection has ended.
func (s *slot[T]) detach(conn *transport.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.resending || s.conn == conn && !s.sent && !s.canceled {
		if s.settling == nil {
			s.settling = make(chan struct{})
		}
		settling := s.settling
		s.mu.Unlock()
		<-settling
		s.mu.Lock()
	}
	if s.conn != conn {
		return
	}
	s.wrote = s.wrote || conn.Wrote(&s.message)
	s.conn = nil
}

// settled tells who waits in detach that the command is sent, or is not. The caller
// holds mu.
func (s *slot[T]) settled() {
	if s.settling != nil {
		close(s.settling)
		s.settling = nil
	}
}

// settle ends the open commands of a link that has ended.
func (l *link[T]) settle(reason error) {
	code := lostCode(reason)
	for _, s := range *l.table.Load() {
		s.settle(code, reason)
	}
}

// abandon ends them where the link's goroutine does not come to it, for the user's code holds it: a
// Dialer that does not look at its ctx, say. Of what a connection had that was not joined nobody
// knows whether it was written.
func (l *link[T]) abandon(reason error) {
	code := lostCode(reason)
	for _, s := range *l.table.Load() {
		s.mu.Lock()
		sent := s.sent && !s.resending // else who sends it finds out by itself
		if sent && s.conn != nil {
			s.wrote = true
		}
		s.mu.Unlock()
		if sent {
			s.settle(code, reason)
		}
	}
}

// settle ends an open command whose link has ended.
func (s *slot[T]) settle(code base.Code, reason error) {
	s.mu.Lock()
	if s.seq.Load() == 0 || s.ended {
		s.mu.Unlock()
		return
	}
	s.endLost(code, reason)
	forgotten := s.owner == nobody && !s.queued
	s.mu.Unlock()
	if forgotten {
		s.link.release(s)
	}
}

// endLost ends a command that was sent. The caller holds mu.
func (s *slot[T]) endLost(code base.Code, reason error) {
	outcome, message := base.Unknown, "the connection ended while the command was open"
	switch {
	case !s.wrote:
		outcome, message = base.NotSent, "the connection ended before the command was sent"
	case s.link.session != nil:
		message = "the session ended while the command was open"
	}
	s.ended = true
	s.err = &base.Error{Outcome: outcome, Code: code, Message: message, Err: reason}
	s.failInputs()
	s.signal()
}

// lostCode tells a connection that the client itself closed, and a lost session, from
// a lost connection.
func lostCode(reason error) base.Code {
	for _, code := range []base.Code{base.ErrClosed, base.ErrSessionLost} {
		if errors.Is(reason, code) {
			return code
		}
	}
	return base.ErrConnLost
}
