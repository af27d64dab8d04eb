// Package delegate keeps the life of a connection, on either side: the hello,
// ServerInfo and ServerSettings, keepalive, idleness, and the redialing of a
// client that reconnects.
package delegate

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
	"github.com/cmdstream/cmdstream/wire"
)

// DefaultServerInfo is the ServerInfo of a server, and the one that a client
// expects, where neither says otherwise.
const DefaultServerInfo = "default"

// DefaultHelloTimeout is how long the whole hello may take, TLS handshake
// included.
const DefaultHelloTimeout = 10 * time.Second

// withHelloDeadline runs the hello on nc with one deadline for all of it, which
// ctx may cut short, and which does not outlive it.
func withHelloDeadline(ctx context.Context, nc net.Conn, timeout time.Duration, hello func() error) error {
	if timeout <= 0 {
		timeout = DefaultHelloTimeout
	}
	nc.SetDeadline(time.Now().Add(timeout))
	cancelled := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(cancelled)
		nc.SetDeadline(time.Unix(1, 0))
	})
	err := hello()
	if !stop() {
		<-cancelled
		if err == nil {
			err = ctx.Err()
		}
	}
	nc.SetDeadline(time.Time{})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return &base.Error{Outcome: base.NotSent, Code: base.ErrHello, Message: "the hello was given up", Err: context.Cause(ctx)}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &base.Error{Outcome: base.NotSent, Code: base.ErrHello, Message: "the peer did not complete the hello within " + timeout.String(), Err: err}
	}
	return err
}

// handshake does the TLS handshake where nc is TLS, and returns its state.
func handshake(ctx context.Context, nc net.Conn) (*tls.ConnectionState, error) {
	t, ok := nc.(interface {
		HandshakeContext(context.Context) error
		ConnectionState() tls.ConnectionState
	})
	if !ok {
		return nil, nil
	}
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	state := t.ConnectionState()
	return &state, nil
}

// newConn makes the Conn and the transport of one end.
func newConn(nc net.Conn, factory transport.Factory, options transport.Options, conf ConnConf) *transport.Conn {
	if factory == nil {
		factory = transport.Framed
	}
	return transport.NewConn(nc, factory(options), conf.LastSeq, conf.WriteTimeout)
}

// codeOf tells a broken rule from a lost connection.
func codeOf(err error) base.Code {
	var rule *wire.RuleError
	if errors.As(err, &rule) {
		return base.ErrProtocol
	}
	return base.ErrConnLost
}
