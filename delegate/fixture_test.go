package delegate_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/delegate"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/transport"
)

// side is what came of a hello at one side.
type side struct {
	conn  *transport.Conn
	hello transport.Hello
	state *tls.ConnectionState
	err   error
	took  time.Duration
}

func connect(ctx context.Context, nc net.Conn, conf delegate.ClientConf) (r side) {
	start := time.Now()
	conf.LastSeq = new(atomic.Int64)
	r.conn, r.hello, r.err = delegate.Connect(ctx, nc, conf)
	r.took = time.Since(start)
	return r
}

func accept(ctx context.Context, nc net.Conn, conf delegate.ServerConf) (r side) {
	start := time.Now()
	r.conn, r.hello, r.state, r.err = delegate.Accept(ctx, nc, conf)
	r.took = time.Since(start)
	return r
}

// hello has the two sides say hello to each other, and hands over what came of
// it. wrap, if not nil, makes TLS of the two ends.
func hello(t *testing.T, server delegate.ServerConf, client delegate.ClientConf,
	wrap func(client, server net.Conn) (net.Conn, net.Conn), check func(t *testing.T, server, client side),
) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var near, far net.Conn
		near, far = memnet.Pipe()
		if wrap != nil {
			near, far = wrap(near, far)
		}
		accepted := make(chan side)
		go func() { accepted <- accept(t.Context(), far, server) }()
		c := connect(t.Context(), near, client)
		s := <-accepted
		check(t, s, c)
		for _, r := range []side{s, c} {
			if r.conn != nil {
				r.conn.Fail(net.ErrClosed)
			}
		}
	})
}

// asError returns err's *Error, which it must be itself.
func asError(t *testing.T, err error) *base.Error {
	t.Helper()
	e, ok := err.(*base.Error)
	if !ok {
		t.Fatalf("%v is a %T", err, err)
	}
	return e
}

// tlsConfs makes what the two sides of TLS need.
func tlsConfs(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"server"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	server = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	return server, &tls.Config{RootCAs: pool, ServerName: "server"}
}
