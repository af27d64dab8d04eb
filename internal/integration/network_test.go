package integration_test

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
)

// place is where a server listens, as often as it is started there, and how its
// clients get to it.
type place struct {
	listen    func() (net.Listener, error)
	dial      client.Dialer // the library's own, where it has one
	raw       client.Dialer // below TLS
	serverTLS *tls.Config   // nil: no TLS
	clientTLS *tls.Config
	name      string // by which the server knows the client: what the command who returns
}

// networks are the kinds of places, by name.
var networks = []struct {
	name string
	make func(t *testing.T) *place
}{
	{"tcp", tcpPlace},
	{"tls", func(t *testing.T) *place { return tlsPlace(t, "") }},
	{"mutual tls", func(t *testing.T) *place { return tlsPlace(t, clientName) }},
	{"unix", unixPlace},
	{"memory", memoryPlace},
}

func tcpPlace(*testing.T) *place {
	var a address
	return &place{listen: a.listen, dial: a.dial, raw: a.dial, name: "no TLS"}
}

func tlsPlace(t *testing.T, name string) *place {
	t.Helper()
	var clients []byte
	if name != "" {
		clients = identityOf(t, name).Certificate
	}
	server, err := serverTLS(identityOf(t, "server"), clients)
	if err != nil {
		t.Fatal(err)
	}
	var a address
	p := &place{listen: a.listen, raw: a.dial, serverTLS: server, clientTLS: clientTLS(t, name), name: name}
	p.dial = func(ctx context.Context) (net.Conn, error) { return client.TLS(a.String(), p.clientTLS)(ctx) }
	if name == "" {
		p.name = "no certificate"
	}
	return p
}

// address is a TCP address: at first any free one, and from then on the same.
type address struct {
	mu   sync.Mutex // protects text
	text string
}

func (a *address) listen() (net.Listener, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.text == "" {
		a.text = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", a.text)
	if err == nil {
		a.text = l.Addr().String()
	}
	return l, err
}

func (a *address) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.text
}

func (a *address) dial(ctx context.Context) (net.Conn, error) { return client.TCP(a.String())(ctx) }

func unixPlace(t *testing.T) *place {
	t.Helper()
	// Not t.TempDir: the path of a socket must be short.
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	path := filepath.Join(folder, "socket")
	return &place{
		listen: func() (net.Listener, error) { return net.Listen("unix", path) },
		dial:   client.Unix(path), raw: client.Unix(path), name: "no TLS",
	}
}

func memoryPlace(*testing.T) *place {
	var mu sync.Mutex // protects listener
	var listener *memnet.Listener
	dial := func(ctx context.Context) (net.Conn, error) {
		mu.Lock()
		l := listener
		mu.Unlock()
		return l.Dial(ctx)
	}
	return &place{
		listen: func() (net.Listener, error) {
			mu.Lock()
			defer mu.Unlock()
			listener = memnet.Listen()
			return listener, nil
		},
		dial: dial, raw: dial, name: "no TLS",
	}
}
