package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"iter"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/server"
)

// shop is the receiver of the commands that the tests run.
type shop struct{}

type Line struct {
	Article string
	Price   *int `json:"price,omitempty"`
}

// Order echoes its first line.
type Order struct{ Lines []Line }

func (o Order) Run(ctx context.Context, _ *shop) (Line, error) {
	if len(o.Lines) == 0 {
		return Line{}, errors.New("an order needs a line\x1b[31m")
	}
	return o.Lines[0], nil
}

// Count counts.
type Count struct{ To int }

func (c Count) Stream(ctx context.Context, _ *shop, send func(int) error) error {
	for i := range c.To {
		if err := send(i + 1); err != nil {
			return err
		}
	}
	return nil
}

// Wait waits, and says for how long.
type Wait struct{ MS int }

func (w Wait) Run(ctx context.Context, _ *shop) (int, error) {
	select {
	case <-time.After(time.Duration(w.MS) * time.Millisecond):
		return w.MS, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// Chat is sent inputs.
type Chat struct{}

func (Chat) Exchange(ctx context.Context, _ *shop, inputs iter.Seq2[string, error], send func(int) error) error {
	for input, err := range inputs {
		if err != nil {
			return err
		}
		if err := send(len(input)); err != nil {
			return err
		}
	}
	return nil
}

// newSet returns the set of these commands, with reflection or without.
func newSet(reflects bool) *codec.Set[*shop] {
	set := codec.NewSet[*shop](json.Format{})
	codec.Unary[Order](set, 1)
	codec.Stream[Count](set, 2)
	codec.Unary[Wait](set, 3)
	codec.Exchange[Chat](set, 4)
	if reflects {
		set.Reflect()
	}
	return set
}

// quietly is a Conf that logs nothing.
func quietly() server.Conf[*shop] {
	return server.Conf[*shop]{Logger: slog.New(slog.DiscardHandler)}
}

// serve runs a server with reflection until the test ends.
func serve(t *testing.T, conf server.Conf[*shop]) (addr string, s *server.Server) {
	t.Helper()
	return serveSet(t, newSet(true), conf)
}

func serveSet(t *testing.T, set *codec.Set[*shop], conf server.Conf[*shop]) (addr string, s *server.Server) {
	t.Helper()
	s, err := server.New(set.Server(), new(shop), conf)
	if err != nil {
		t.Fatal(err)
	}
	l := listen(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
	return l.Addr().String(), s
}

// listen returns a listener on a free port, which the test's end closes.
func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// refused returns an address at which nobody listens.
func refused(t *testing.T) string {
	t.Helper()
	l := listen(t)
	l.Close()
	return l.Addr().String()
}

// certificates are files of an authority, and of a certificate for localhost that serves
// both sides.
type certificates struct {
	ca, cert, key string
	pair          tls.Certificate
	pool          *x509.CertPool
}

func newCertificates(t *testing.T) certificates {
	t.Helper()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tests"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	c := certificates{ca: write("ca.pem", "CERTIFICATE", der), cert: write("cert.pem", "CERTIFICATE", der), key: write("key.pem", "PRIVATE KEY", keyDER)}
	c.pair = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	c.pool = x509.NewCertPool()
	if !c.pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})) {
		t.Fatal("the certificate can't be read")
	}
	return c
}

// run is a line of a table: the tool is run with args, and says something.
type toolRun struct {
	name           string
	args           []string
	code           int
	stdout, stderr []string
}

// check runs the tool. What it says of an error is one line.
func (r toolRun) check(t *testing.T) {
	t.Helper()
	t.Run(r.name, func(t *testing.T) {
		t.Helper()
		stdout, stderr, code := runTool(t, nil, r.args...)
		if code != r.code {
			t.Errorf("exit code %d, want %d", code, r.code)
		}
		contains(t, "standard output", stdout, r.stdout)
		contains(t, "standard error", stderr, r.stderr)
		lines := 1
		if code == exitUsage { // a hint at --help may follow
			lines = 2
		}
		if n := countLines(stderr); n > lines {
			t.Errorf("%d lines of error:\n%s", n, stderr)
		}
	})
}

func countLines(text string) (n int) {
	for _, r := range text {
		if r == '\n' {
			n++
		}
	}
	return n
}

// args splits a command line at its spaces, with the address for ADDR and a value for each
// %.
func args(addr, line string, values ...string) []string {
	all := strings.Fields(line)
	for i, word := range all {
		switch word {
		case "ADDR":
			all[i] = addr
		case "%":
			all[i], values = values[0], values[1:]
		}
	}
	return all
}

func listenUnix(t *testing.T, path string) net.Listener {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Skip("no Unix sockets to be had: ", err)
	}
	return l
}

// onlyAnn is an Authenticate.
func onlyAnn(ctx context.Context, hello server.ClientHello) (context.Context, string, error) {
	if string(hello.Credentials) != "ann" {
		return nil, "", errors.New("who are you?")
	}
	return ctx, "ann", nil
}
