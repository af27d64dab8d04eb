package client_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/server"
)

// certificate makes a certificate for localhost, and a pool that trusts it.
func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
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
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// The dialers over real sockets.
func TestDialers(t *testing.T) {
	cert, pool := certificate(t)
	mutual := &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	for name, test := range map[string]struct {
		network, addr string
		conf          *tls.Config
		dialer        func(addr string) client.Dialer
	}{
		"TCP":  {"tcp", "127.0.0.1:0", nil, client.TCP},
		"Unix": {"unix", filepath.Join(t.TempDir(), "socket"), nil, client.Unix},
		"TLS": {"tcp", "127.0.0.1:0", mutual, func(addr string) client.Dialer {
			return client.TLS(addr, &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen(test.network, test.addr)
			if err != nil {
				t.Fatal(err)
			}
			s, err := server.New(serverCodec{}, receiver(echo), server.Conf[receiver]{TLSConfig: test.conf, Logger: quiet})
			if err != nil {
				t.Fatal(err)
			}
			go s.Serve(l)
			defer s.Close()
			c := redial(t, test.dialer(l.Addr().String()), client.Conf{Timeout: 10 * time.Second})
			for n := range 100 {
				mustDo(t, c, n)
			}
			r, err := c.Do(context.Background(), command{Body: body(1 << 20)})
			if err != nil || len(r.(result).Body) != 1<<20 {
				t.Errorf("a large command: %v", err)
			}
			closes(t, c)
		})
	}
}

// A server that can't be trusted, or reached, is an error of NewReconnect.
func TestDialersThatFail(t *testing.T) {
	cert, _ := certificate(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(serverCodec{}, receiver(echo), server.Conf[receiver]{TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	defer s.Close()
	addr := l.Addr().String()
	for name, dialer := range map[string]client.Dialer{
		"an unknown authority": client.TLS(addr, &tls.Config{}),
		"no socket":            client.Unix(filepath.Join(t.TempDir(), "none")),
	} {
		_, err := client.NewReconnect(t.Context(), codec{}, dialer, client.Conf{})
		t.Logf("%s: %v", name, err)
		want(t, err, base.NotSent, base.ErrNotConnected)
	}
	_, err = client.NewReconnect(t.Context(), codec{}, client.TCP(addr), client.Conf{SysDataReceiveTimeout: 5 * time.Second})
	t.Log(err)
	// A plain client on a TLS port: whether the server manages to say so or not.
	if outcome := base.OutcomeOf(err); outcome != base.NotSent && outcome != base.Rejected {
		t.Errorf("got the outcome %v: %v", outcome, err)
	}
}
