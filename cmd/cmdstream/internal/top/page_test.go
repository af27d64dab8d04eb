package top

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/remote"
	"github.com/cmdstream/cmdstream/debug"
)

func TestAddresses(t *testing.T) {
	for _, test := range []struct {
		addr     string
		security remote.Security
		want     string
	}{
		{"localhost:8080", remote.Security{}, "http://localhost:8080/debug/cmdstream?format=json"},
		{"localhost:8080", remote.Security{TLS: true}, "https://localhost:8080/debug/cmdstream?format=json"},
		{"http://localhost/", remote.Security{}, "http://localhost/debug/cmdstream?format=json"},
		{"https://localhost:1/here?key=1&format=html", remote.Security{Insecure: true}, "https://localhost:1/here?format=json&key=1"},
	} {
		page, err := NewPage(test.addr, test.security)
		if err != nil || page.url != test.want {
			t.Errorf("%s: got %v, %v, want %s", test.addr, page, err, test.want)
		}
	}
	for _, test := range []struct {
		addr     string
		security remote.Security
		want     string
	}{
		{"localhost", remote.Security{}, `"localhost" is no address`},
		{"ftp://localhost", remote.Security{}, "it begins with http:// or https://"},
		{"http://", remote.Security{}, "it lacks the host, as in http://localhost:8080"},
		{"https://:8080/here", remote.Security{}, "it lacks the host, as in https://localhost:8080"},
		{"http://a b", remote.Security{}, "is no URL"},
		{"http://localhost", remote.Security{TLS: true}, "--tls goes with https://"},
		{"http://localhost", remote.Security{Insecure: true}, "--insecure is of no use without --tls"},
		{"localhost:8080", remote.Security{CA: "x"}, "--ca is of no use without --tls"},
		{"https://localhost", remote.Security{CA: "/nowhere/ca.pem"}, "--ca: open /nowhere/ca.pem"},
	} {
		_, err := NewPage(test.addr, test.security)
		if _, ok := errors.AsType[*remote.UsageError](err); !ok || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.addr, err, test.want)
		}
	}
}

func TestSnapshot(t *testing.T) {
	page := debug.New()
	mux := http.NewServeMux()
	mux.Handle(debug.Path, page)
	mux.HandleFunc("/html", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<html>hello</html>") })
	mux.HandleFunc("/other", answers("application/json", `{"hello": 1}`))
	mux.HandleFunc("/newer", answers("application/json; charset=utf-8", `{"version": 2}`))
	mux.HandleFunc("/broken", answers("application/json", `{"version":`))
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for line := []byte(strings.Repeat(" ", 1<<20)); ; {
			if _, err := w.Write(line); err != nil {
				return
			}
		}
	})
	server := httptest.NewServer(mux)
	defer server.Close()

	snapshot, err := get(t, server.URL, remote.Security{})
	if err != nil || snapshot.Version != debug.Version || snapshot.Since.IsZero() {
		t.Errorf("got %+v, %v", snapshot, err)
	}
	for path, want := range map[string]string{
		"/nothing": "/nothing: the answer is 404 Not Found: is the page mounted there?",
		"/html":    `the answer is "text/html; charset=utf-8", and no JSON`,
		"/other":   "the answer is no snapshot of version 1, but 0",
		"/newer":   "the answer is no snapshot of version 1, but 2",
		"/broken":  "the answer can't be read: unexpected end of JSON input",
		"/endless": "the answer has more than 67108864 bytes",
	} {
		_, err := get(t, server.URL+path, remote.Security{})
		if _, ok := errors.AsType[*remote.ConnectError](err); !ok || !strings.HasPrefix(err.Error(), "no debug page at http://127.0.0.1:") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p, err := NewPage(server.URL, remote.Security{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Snapshot(ctx); err != context.Canceled {
		t.Errorf("got %v, want ctx's", err)
	}
	server.Close()
	if _, err := get(t, server.URL, remote.Security{}); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v, want that nobody is there", err)
	}
}

func answers(media, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", media)
		fmt.Fprint(w, text)
	}
}

func get(t *testing.T, url string, security remote.Security) (*debug.Snapshot, error) {
	t.Helper()
	page, err := NewPage(url, security)
	if err != nil {
		t.Fatal(err)
	}
	defer page.Close()
	return page.Snapshot(t.Context())
}

func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(debug.New())
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of the client that does not trust it
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, security := range []remote.Security{{TLS: true, CA: ca}, {TLS: true, Insecure: true}} {
		if _, err := get(t, server.Listener.Addr().String(), security); err != nil {
			t.Errorf("%+v: %v", security, err)
		}
	}
	if _, err := get(t, server.URL, remote.Security{}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v, want that nobody knows the certificate", err)
	}
}
