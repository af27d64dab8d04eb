// Package delegate keeps the life of a connection, on either side: the hello,
// ServerInfo and ServerSettings, keepalive, idleness, and the redialing of a
// client that reconnects.
//
// Packages client and server do all of this for their users, who see of it what they
// configure, such as a [Backoff]. By itself it serves whoever builds another client or
// server on the same wire:
//
//	conn, hello, err := delegate.Connect(ctx, nc, conf) // the client's side of a hello
//	stop := delegate.Keepalive(conn, idle, interval, open)
package delegate

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
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
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &base.Error{Outcome: base.NotSent, Code: base.ErrHello, Message: "the peer did not complete the hello in time", Err: context.Cause(ctx)}
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

// withoutTLS returns the connection below TLS, if the handshake failed with err
// because a client of ours speaks without TLS.
func withoutTLS(err error) net.Conn {
	var e tls.RecordHeaderError
	if errors.As(err, &e) && bytes.HasPrefix(e.RecordHeader[:], wire.Magic[:]) {
		return e.Conn
	}
	return nil
}

// newConn makes the Conn and the transport of one end.
func newConn(nc net.Conn, factory transport.Factory, options transport.Options, conf ConnConf) *transport.Conn {
	if factory == nil {
		factory = transport.Framed
	}
	return transport.NewConn(nc, factory(options), conf.LastSeq, conf.WriteTimeout)
}

// helloError makes an *Error of what ended a hello: no command was sent yet.
func helloError(err error) error {
	if e, ok := err.(*base.Error); ok {
		return e
	}
	e := &base.Error{Outcome: base.NotSent, Code: base.ErrConnLost, Message: "the hello failed", Err: err}
	var rule *wire.RuleError
	var noTLS tls.RecordHeaderError
	switch {
	case withoutTLS(err) != nil:
		e.Code, e.Message = base.ErrProtocol, "the hello failed: the peer speaks cmdstream without TLS"
	case errors.As(err, &rule), errors.As(err, &noTLS):
		e.Code = base.ErrProtocol
	case err == io.EOF:
		e.Message, e.Err = "the hello failed: the peer closed the connection without a word", io.ErrUnexpectedEOF
	}
	return e
}
