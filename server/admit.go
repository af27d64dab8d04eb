package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/transport"
)

// sessions is the part of the handler that depends on the receiver's type.
type sessions interface {
	open(ctx context.Context, hello *transport.Hello, principal string, compression transport.Compression) (session, transport.Status, string)
	resume(ctx context.Context, hello *transport.Hello, principal string, compression transport.Compression, takeOver func(worker)) (session, transport.Status, string)
	memory() *handler.Memory
	stats() Stats
	exist() bool
	waiting() bool
	end(reason error)
}

// session is what a client's connection belongs to: a *handler.Session.
type session interface {
	attach(conn *transport.Conn, hello *transport.Hello, memory *handler.Memory) (worker, error)
	abandon(hello *transport.Hello)
}

// typed makes sessions of a handler.
type typed[T any] struct{ h *handler.Handler[T] }

func (t typed[T]) open(ctx context.Context, hello *transport.Hello, principal string, compression transport.Compression) (session, transport.Status, string) {
	s, status, text := t.h.Open(ctx, hello, principal, compression)
	return typedSession[T]{s}, status, text
}

func (t typed[T]) resume(ctx context.Context, hello *transport.Hello, principal string, compression transport.Compression, takeOver func(worker)) (session, transport.Status, string) {
	s, status, text := t.h.Resume(ctx, hello, principal, compression, func(old *handler.Conn[T]) { takeOver(old) })
	return typedSession[T]{s}, status, text
}

func (t typed[T]) memory() *handler.Memory { return t.h.NewMemory() }

func (t typed[T]) exist() bool      { return t.h.HasSessions() }
func (t typed[T]) waiting() bool    { return t.h.Waiting() }
func (t typed[T]) end(reason error) { t.h.EndSessions(reason) }

type typedSession[T any] struct{ s *handler.Session[T] }

func (t typedSession[T]) attach(conn *transport.Conn, hello *transport.Hello, memory *handler.Memory) (worker, error) {
	c, err := t.s.Attach(conn, hello, memory)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (t typedSession[T]) abandon(hello *transport.Hello) { t.s.Abandon(hello) }

// admission decides over one client.
type admission struct {
	server  *Server
	nc      net.Conn
	hello   *transport.Hello
	session session // nil: it was not admitted
	placed  bool
	status  transport.Status // what it was answered; OK: nothing yet
}

// admit sets the answer to the client's hello.
func (a *admission) admit(ctx context.Context, hello *transport.Hello, state *tls.ConnectionState, answer *transport.Hello) {
	s := a.server
	a.hello = hello
	defer func() {
		if a.status = answer.Status; a.status != transport.OK {
			s.refusals[a.status].Add(1)
		}
	}()
	values, principal, err := a.authenticate(ctx, hello, state)
	if err != nil {
		answer.Status, answer.Text = transport.Unauthorized, err.Error()
		var e *base.Error
		if errors.As(err, &e) && e != nil {
			answer.RetryAfter = e.RetryAfter
		}
		return
	}
	resume := hello.Session != nil && hello.Session.Resume
	if hello.Session != nil {
		if answer.SessionTime = s.conf.sessionTime; answer.SessionTime == 0 {
			answer.Status, answer.Text = transport.Refused, "this server keeps no sessions"
			return
		}
	}
	compression := s.choose(hello.Compressions)
	if compression != nil {
		answer.Compression = compression.ID()
	}
	var admitted session
	if resume {
		admitted, answer.Status, answer.Text = s.sessions.resume(values, hello, principal, compression, a.takeOver)
	} else if !a.place(false, answer) {
		return
	} else {
		admitted, answer.Status, answer.Text = s.sessions.open(values, hello, principal, compression)
	}
	if answer.Status == transport.OK {
		a.session = admitted
	}
	if resume && answer.Status == transport.OK && !a.placed {
		a.place(true, answer)
	}
}

// place takes a place for the client, or sets the answer to why there is none.
func (a *admission) place(resume bool, answer *transport.Hello) bool {
	answer.Status, answer.RetryAfter = a.server.takePlace(resume)
	a.placed = answer.Status == transport.OK
	return a.placed
}

// takeOver takes the place of the session's old connection.
func (a *admission) takeOver(old worker) {
	s := a.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, has := s.workers[old]; has {
		delete(s.workers, old)
		a.placed = true
	}
}

// abandon gives back what a client had that did not stay.
func (a *admission) abandon() {
	if a.session != nil {
		a.session.abandon(a.hello)
	}
	if a.placed {
		a.server.freePlace(nil)
	}
}

// takePlace decides whether there is a place for a further client. One that resumes its
// session had a place, which somebody else may have by now: it gets one beyond the limit,
// up to twice that.
func (s *Server) takePlace(resume bool) (status transport.Status, retryAfter time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	places := s.places
	if resume {
		places /= 2
	}
	switch {
	case s.state == closed, s.state == draining && !resume:
		return transport.Draining, s.conf.fullRetryAfter
	case places >= s.conf.workersCount:
		return transport.Full, s.conf.fullRetryAfter
	}
	s.places++
	return transport.OK, 0
}

// choose chooses the first compression that the client offers and the server has.
func (s *Server) choose(offered []uint64) transport.Compression {
	for _, id := range offered {
		i := slices.IndexFunc(s.conf.compressions, func(c transport.Compression) bool { return c.ID() == id })
		if i >= 0 {
			return s.conf.compressions[i]
		}
	}
	return nil
}

// authenticate finds out who the client is, and the parent of its commands' ctx.
func (a *admission) authenticate(ctx context.Context, hello *transport.Hello, state *tls.ConnectionState) (values context.Context, principal string, err error) {
	s := a.server
	values = context.Background()
	if state != nil {
		values = base.ContextWithTLS(values, state)
		ctx = base.ContextWithTLS(ctx, state)
		if len(state.PeerCertificates) > 0 {
			sum := sha256.Sum256(state.PeerCertificates[0].Raw)
			principal = hex.EncodeToString(sum[:])
		}
	}
	if s.conf.authenticate == nil {
		if hello.Credentials != nil {
			err = errors.New("the client sends credentials, and this server checks none")
		}
		return values, principal, err
	}
	defer func() {
		if v := recover(); v != nil {
			s.logger.Error("Authenticate panicked", "value", v)
			err = errors.New("the server could not check the client")
		}
	}()
	checked, principal, err := s.conf.authenticate(ctx, ClientHello{
		Info: bytes.Clone(hello.Info), Credentials: bytes.Clone(hello.Credentials),
		LocalAddr: a.nc.LocalAddr(), RemoteAddr: a.nc.RemoteAddr(), TLS: state,
	})
	if err == nil && checked == nil {
		err = errors.New("the server could not check the client: no ctx")
	}
	if err != nil {
		return nil, "", err
	}
	return context.WithoutCancel(checked), principal, nil
}
