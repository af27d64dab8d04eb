package base

import (
	"context"
	"crypto/tls"
)

type tlsKey struct{}

// ContextWithTLS returns a ctx from which [TLS] finds state. The server makes
// the ctx of each connection with it.
func ContextWithTLS(ctx context.Context, state *tls.ConnectionState) context.Context {
	return context.WithValue(ctx, tlsKey{}, state)
}

// TLS returns the TLS state of the connection on which the command came, or nil
// where it came over none. With mutual TLS the client's certificate is
// TLS(ctx).PeerCertificates[0]. The state must not be changed.
func TLS(ctx context.Context) *tls.ConnectionState {
	state, _ := ctx.Value(tlsKey{}).(*tls.ConnectionState)
	return state
}
