package integration_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
)

// identity is a certificate with its key, in PEM. All of them sign themselves,
// so each is its own authority.
type identity struct{ Certificate, Key []byte }

// The name in the clients' certificate.
const clientName = "a client of the test"

var identities = sync.OnceValues(func() (map[string]identity, error) {
	made := make(map[string]identity)
	for _, name := range []string{"server", clientName, "a stranger"} {
		one, err := newIdentity(name)
		if err != nil {
			return nil, err
		}
		made[name] = one
	}
	return made, nil
})

func identityOf(t *testing.T, name string) identity {
	t.Helper()
	made, err := identities()
	if err != nil {
		t.Fatal(err)
	}
	return made[name]
}

func newIdentity(name string) (identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return identity{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return identity{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return identity{}, err
	}
	return identity{
		Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
		Key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
	}, nil
}

// serverTLS returns the server's side of TLS; mutual, if clients is not nil:
// then only a client with that certificate is let in.
func serverTLS(own identity, clients []byte) (*tls.Config, error) {
	certificate, err := tls.X509KeyPair(own.Certificate, own.Key)
	if err != nil {
		return nil, err
	}
	conf := &tls.Config{Certificates: []tls.Certificate{certificate}}
	if clients != nil {
		conf.ClientAuth, conf.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		conf.ClientCAs.AppendCertsFromPEM(clients)
	}
	return conf, nil
}

// clientTLS returns the client's side of TLS, with a certificate where name is
// not empty.
func clientTLS(t *testing.T, name string) *tls.Config {
	t.Helper()
	conf := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "127.0.0.1"}
	conf.RootCAs.AppendCertsFromPEM(identityOf(t, "server").Certificate)
	if name != "" {
		own := identityOf(t, name)
		certificate, err := tls.X509KeyPair(own.Certificate, own.Key)
		if err != nil {
			t.Fatal(err)
		}
		// Shown also where the server would not ask for one of this kind.
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil }
	}
	return conf
}
