package remote

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	const addr = "localhost:9000"
	with := func(addr string, s Security) Server {
		return Server{Addr: addr, Security: s, ConnectTimeout: time.Second}
	}
	for _, test := range []struct {
		name   string
		server Server
		want   string // "": it is valid
	}{
		{"an address", with(addr, Security{}), ""},
		{"IPv6", with("[::1]:9000", Security{}), ""},
		{"a socket", with("unix:/run/x", Security{}), ""},
		{"a socket and TLS", with("unix:/run/x", Security{TLS: true, ServerName: "x"}), ""},
		{"mutual TLS", with(addr, Security{TLS: true, CA: "a", Cert: "b", Key: "c", ServerName: "d"}), ""},
		{"any certificate", with(addr, Security{TLS: true, Insecure: true}), ""},

		{"nothing", with("", Security{}), `expected "<addr>"`},
		{"no port", with("localhost", Security{}), `"localhost" is no address: say HOST:PORT`},
		{"no host", with(":9000", Security{}), `":9000" is no address`},
		{"the port 0", with("localhost:0", Security{}), "the port is a number from 1 to 65535"},
		{"a large port", with("localhost:65536", Security{}), "the port is a number from 1 to 65535"},
		{"a port in words", with("localhost:http", Security{}), "the port is a number from 1 to 65535"},
		{"no path", with("unix:", Security{}), "unix: names no socket"},
		{"a socket and TLS without a name", with("unix:/run/x", Security{TLS: true}), "needs --server-name"},
		{"--ca alone", with(addr, Security{CA: "a"}), "--ca is of no use without --tls"},
		{"--cert and --key alone", with(addr, Security{Cert: "a", Key: "b"}), "--cert is of no use without --tls"},
		{"--key alone", with(addr, Security{Key: "b"}), "--key is of no use without --tls"},
		{"--server-name alone", with(addr, Security{ServerName: "a"}), "--server-name is of no use without --tls"},
		{"--insecure alone", with(addr, Security{Insecure: true}), "--insecure is of no use without --tls"},
		{"--cert without --key", with(addr, Security{TLS: true, Cert: "a"}), "--cert and --key belong together"},
		{"--key without --cert", with(addr, Security{TLS: true, Key: "a"}), "--cert and --key belong together"},
		{"--insecure with --ca", with(addr, Security{TLS: true, CA: "a", Insecure: true}), "--ca is of no use with it"},
		{"no time", Server{Addr: addr}, "--connect-timeout is 0s"},
		{"less than none", Server{Addr: addr, ConnectTimeout: -time.Second}, "--connect-timeout is -1s"},
	} {
		err := test.server.Validate()
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
	}
}

func TestFilesThatCantBeUsed(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing")
	for _, test := range []struct {
		name   string
		server Server
		want   string
	}{
		{"no CA", Server{Security: Security{TLS: true, CA: missing}}, "--ca: open " + missing},
		{"a CA of something else", Server{Security: Security{TLS: true, CA: text}}, "there is no certificate in " + text},
		{"no certificate", Server{Security: Security{TLS: true, Cert: missing, Key: text}}, "--cert and --key: open " + missing},
		{"a certificate of something else", Server{Security: Security{TLS: true, Cert: text, Key: text}}, "--cert and --key: "},
		{"no credentials", Server{Credentials: missing}, "--credentials: open " + missing},
	} {
		test.server.Addr, test.server.ConnectTimeout = "127.0.0.1:1", time.Second
		_, _, err := test.server.Connect(t.Context(), Conf{})
		if _, ok := errors.AsType[*UsageError](err); !ok || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
	}
}

func TestCredentials(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	for text, want := range map[string]string{"secret": "secret", "secret\n": "secret", "secret\r\n": "secret", "se\ncret\n\n": "se\ncret\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Server{Credentials: file}.credentials()
		if err != nil || string(got) != want {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
}
