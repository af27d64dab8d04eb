package integration_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/transport"
)

// helloTime is how long both sides wait for a hello here. Where each side waits
// for the other to begin, nothing else can end it.
const helloTime = time.Second

// Each of these clients meets a server that is not meant for it. It hears so
// soon, the server's log says why, and the server goes on.
func TestMixedUpClients(t *testing.T) {
	tlsPort := func(t *testing.T) *place { return tlsPlace(t, "") }
	mutualPort := func(t *testing.T) *place { return tlsPlace(t, clientName) }
	framed, plain := transport.Framed, transport.Plain
	// What a client reads whose server closes: the end, or that it came too soon.
	closed := []string{"EOF", "reset by peer", "broken pipe"}
	refused := append([]string{"certificate"}, closed...)
	silence := append([]string{"context deadline exceeded", "did not complete the hello within 1s"}, closed...)
	for _, test := range []struct {
		name    string
		network func(t *testing.T) *place
		wire    transport.Factory // the server's
		try     func(t *testing.T, p *place) error
		errors  []string // one of these is in the client's error
		log     string   // in the server's log
	}{
		{"plain client, TLS port", tlsPort, framed, dial(framed, false, ""), []string{"it takes TLS only"}, "TLS"},
		{"plain client of the plain wire, TLS port", tlsPort, plain, dial(plain, false, ""), silence, "hello"},
		{"TLS client, plain port", tcpPlace, framed, dial(framed, true, ""), closed, "it looks like TLS"},
		{"TLS client, plain port of the plain wire", tcpPlace, plain, dial(plain, true, ""), []string{"first record does not look like a TLS handshake"}, "no command begins with"},
		{"no certificate", mutualPort, framed, dial(framed, true, ""), refused, "client didn't provide a certificate"},
		{"a stranger's certificate", mutualPort, framed, dial(framed, true, "a stranger"), refused, "unknown authority"},
		{"framed client, plain wire", tcpPlace, plain, dial(framed, false, ""), []string{"another protocol"}, "no command begins with"},
		{"plain client, framed wire", tcpPlace, framed, dial(plain, false, ""), silence, "hello"},
		{"HTTP client", tcpPlace, framed, get("http"), nil, "it looks like HTTP"},
		// It may hang up before it sends anything: the server has spoken first.
		{"HTTP client, plain wire", tcpPlace, plain, get("http"), nil, "a connection ended"},
		{"HTTPS client", tcpPlace, framed, get("https"), nil, "it looks like TLS"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var log logged
			k := kind{network: test.network, codecs: allCodecs()[0], wire: test.wire}
			p := k.connect(t, client.Conf{}, server.Conf[*desk]{Logger: log.logger(), SysDataSendTimeout: helloTime})
			began := time.Now()
			err := test.try(t, p.place)
			if took := time.Since(began); took > 10*helloTime {
				t.Errorf("it took %v to notice", took)
			}
			if err == nil || test.errors != nil && !slices.ContainsFunc(test.errors, func(s string) bool { return strings.Contains(err.Error(), s) }) {
				t.Errorf("the client's error is %v, want one with %q", err, test.errors)
			}
			log.wantSoon(t, test.log)

			unary(t, p) // the client that was there before
			p.dial(t, client.Conf{})
			unary(t, p) // and a new one
		})
	}
}

// dial returns a try to use a server over the given wire, over TLS or not.
func dial(wire transport.Factory, secure bool, name string) func(t *testing.T, p *place) error {
	return func(t *testing.T, p *place) error {
		dialer := p.raw
		if secure {
			dialer = func(ctx context.Context) (net.Conn, error) {
				nc, err := p.raw(ctx)
				if err != nil {
					return nil, err
				}
				return tls.Client(nc, clientTLS(t, name)), nil
			}
		}
		return try(t, dialer, wire)
	}
}

// try connects, and sends a command.
func try(t *testing.T, dialer client.Dialer, wire transport.Factory) error {
	c, err := client.NewReconnect(soon(t), handClient{}, dialer, client.Conf{
		Transport: wire, Logger: quiet, SysDataReceiveTimeout: helloTime,
	})
	if err != nil {
		if outcome := base.OutcomeOf(err); outcome != base.NotSent && outcome != base.Rejected {
			t.Errorf("no command has run, but the outcome is %v", outcome)
		}
		return err
	}
	defer c.Close()
	_, err = c.Do(soon(t), echoCmd{Cmd: echo{"text"}})
	return err
}

// get returns a try of a web client.
func get(scheme string) func(t *testing.T, p *place) error {
	return func(t *testing.T, p *place) error {
		web := &http.Client{Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return p.raw(ctx) },
		}}
		request, err := http.NewRequestWithContext(soon(t), http.MethodGet, scheme+"://127.0.0.1/", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := web.Do(request)
		if err == nil {
			response.Body.Close()
		}
		return err
	}
}

// Our clients meet web servers.
func TestWebServers(t *testing.T) {
	for _, test := range []struct {
		name  string
		start func(*httptest.Server)
		wire  transport.Factory
	}{
		{"HTTP, framed", (*httptest.Server).Start, transport.Framed},
		{"HTTP, plain", (*httptest.Server).Start, transport.Plain},
		{"HTTPS, framed", (*httptest.Server).StartTLS, transport.Framed},
		{"HTTPS, plain", (*httptest.Server).StartTLS, transport.Plain},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			web := httptest.NewUnstartedServer(http.NotFoundHandler())
			web.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
			test.start(web)
			defer web.Close()

			began := time.Now()
			err := try(t, client.TCP(web.Listener.Addr().String()), test.wire)
			if !errors.Is(err, base.ErrHello) && !errors.Is(err, base.ErrConnLost) && !errors.Is(err, base.ErrProtocol) {
				t.Errorf("the client's error is %v", err)
			}
			if took := time.Since(began); took > 10*helloTime {
				t.Errorf("it took %v to notice", took)
			}
		})
	}
}

// logged is what a server has logged.
type logged struct {
	mu   sync.Mutex // protects text
	text bytes.Buffer
}

func (l *logged) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// wantSoon waits until text is in the log.
func (l *logged) wantSoon(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(l.String(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("%q is not in the server's log:\n%s", text, l)
			return
		}
	}
}
