package remote

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/delegate"
	"github.com/cmdstream/cmdstream/transport"
)

// ConnectError says why there is no connection to a server: nobody answers, it is
// something else than a cmdstream server, or it does not take this client.
type ConnectError struct {
	// What could not be done; "": can't connect to.
	What string
	Addr string
	Err  error
}

// Error returns the address and the reason.
func (e *ConnectError) Error() string {
	reason := Text(e.Err)
	if errors.Is(e.Err, base.ErrHello) {
		reason += ": is it a cmdstream server?"
	}
	var refused *base.Error
	if errors.As(e.Err, &refused) && refused.RetryAfter > 0 {
		reason += fmt.Sprintf(" (it asks to wait for %v)", refused.RetryAfter)
	}
	return fmt.Sprintf("%s %s: %s", cmp.Or(e.What, "can't connect to"), e.Addr, reason)
}

// Unwrap returns the reason.
func (e *ConnectError) Unwrap() error { return e.Err }

// anyServerInfo is a CheckServerInfo: the tool talks to every server.
func anyServerInfo([]byte) error { return nil }

// Conf says what is asked for in the hello.
type Conf struct {
	// Session asks for a session: a server that keeps none refuses that.
	Session bool
	// Compressions are what is offered.
	Compressions []uint64
}

// Connect connects to the server below the level of a client, and returns what it
// said in its hello. Nobody reads the connection but who calls its Read. An error is a
// *UsageError or a *ConnectError.
func (s Server) Connect(ctx context.Context, conf Conf) (*transport.Conn, transport.Hello, error) {
	dial, err := s.dialer()
	if err != nil {
		return nil, transport.Hello{}, err
	}
	credentials, err := s.credentials()
	if err != nil {
		return nil, transport.Hello{}, err
	}
	to := delegate.ClientConf{
		ConnConf:      delegate.ConnConf{HelloTimeout: s.ConnectTimeout},
		MaxResultSize: transport.DefaultMaxResultSize, MaxInFlight: transport.DefaultMaxInFlight,
		Credentials: credentials, CheckServerInfo: anyServerInfo, Compressions: conf.Compressions,
	}
	if conf.Session {
		to.Session = &transport.Session{Epoch: 1}
		rand.Read(to.Session.ID[:])
	}
	ctx, cancel := context.WithTimeout(ctx, s.ConnectTimeout)
	defer cancel()
	nc, err := dial(ctx)
	if err != nil {
		return nil, transport.Hello{}, s.failed(ctx, err)
	}
	conn, hello, err := delegate.Connect(ctx, nc, to)
	if err != nil {
		return nil, hello, s.failed(ctx, err)
	}
	return conn, hello, nil
}

// failed makes a ConnectError, unless it was the user who has ended ctx.
func (s Server) failed(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case ctx.Err() != nil && !errors.Is(err, base.ErrHello):
		err = fmt.Errorf("no connection was made within %v", s.ConnectTimeout)
	}
	return &ConnectError{Addr: s.Addr, Err: err}
}

// Close ends a connection of Connect, and what the server keeps for it.
func Close(conn *transport.Conn) {
	conn.Post(&transport.Message{Kind: transport.Goaway, Reason: "the client was closed"})
	conn.Settle(100 * time.Millisecond)
	conn.Fail(errors.New("closed"))
	conn.Join()
}

// busyFor is how long New tries again where a server is full: the connection that the
// tool has just closed may still have its place.
const busyFor = time.Second

// New returns a client of the server, over one connection: when that is lost the client
// has ended. It notices a server that says nothing any more after some seconds. timeout
// is the deadline of every command; 0: none. An error is a *UsageError or a
// *ConnectError.
func New[T any](ctx context.Context, s Server, codec client.Codec[T], timeout time.Duration) (*client.Client[T], error) {
	dial, err := s.dialer()
	if err != nil {
		return nil, err
	}
	credentials, err := s.credentials()
	if err != nil {
		return nil, err
	}
	conf := client.Conf{
		Timeout: timeout, SysDataReceiveTimeout: s.ConnectTimeout, CheckServerInfo: anyServerInfo,
		KeepaliveTime: 2 * time.Second, KeepaliveIntvl: 3 * time.Second,
		Logger: slog.New(slog.DiscardHandler),
	}
	if credentials != nil {
		conf.Credentials = func(context.Context) ([]byte, error) { return credentials, nil }
	}
	ctx, cancel := context.WithTimeout(ctx, s.ConnectTimeout)
	defer cancel()
	for began := time.Now(); ; {
		nc, err := dial(ctx)
		if err != nil {
			return nil, s.failed(ctx, err)
		}
		c, err := client.New(ctx, codec, nc, conf)
		if err == nil {
			return c, nil
		}
		if !errors.Is(err, base.ErrFull) || time.Since(began) > busyFor {
			return nil, s.failed(ctx, err)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, s.failed(ctx, err)
		}
	}
}
