package main

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/wire"
)

// Each command that connects says what is wrong in one line, and ends with 3.
func TestNoConnection(t *testing.T) {
	here := refused(t)
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	silent := listen(t)
	for _, command := range []string{"info ADDR", "ping ADDR", "list ADDR", "call ADDR Order", "bench ADDR Order"} {
		toolRun{command + ", refused", args(here, command), 3, nil, []string{"cmdstream: can't connect to " + here, "refused"}}.check(t)
	}
	for _, r := range []toolRun{
		{"an unknown host", args("nobody.invalid:9000", "info ADDR"), 3, nil, []string{"can't connect to nobody.invalid:9000: ", "lookup nobody.invalid"}},
		{"no socket", args("unix:/nowhere/socket", "info ADDR"), 3, nil, []string{"can't connect to unix:/nowhere/socket: ", "no such file"}},
		{"silence", args(silent.Addr().String(), "info ADDR --connect-timeout 200ms"), 3, nil, []string{"did not complete the hello", "is it a cmdstream server?"}},
		{"a web server", args(web.Listener.Addr().String(), "ping ADDR --connect-timeout 200ms"), 3, nil, []string{"is it a cmdstream server?"}},
	} {
		r.check(t)
	}
}

// answer returns the address of a peer that says something to each that connects, and
// closes.
func answer(t *testing.T, text []byte) (addr string) {
	t.Helper()
	l := listen(t)
	var answering sync.WaitGroup
	answering.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			nc.Write(text)
			nc.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, nc)
			nc.Close()
		}
	})
	t.Cleanup(answering.Wait)
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// What the library says of a peer is shown as it is.
func TestPeersThatDoNotGoTogether(t *testing.T) {
	say := func(h wire.ServerHello) []byte {
		b, err := wire.AppendServerHello(nil, h)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	newer := say(wire.ServerHello{})
	newer[len(wire.Magic)] = 9 // the version
	for name, test := range map[string]struct {
		says []byte
		want string
	}{
		"draining":      {say(wire.ServerHello{Status: wire.StatusDraining, Text: "back soon", RetryAfter: 2000}), "the server is shutting down: back soon (it asks to wait for 2s)"},
		"newer":         {newer, "the server speaks version 9 of the protocol, this client version 1"},
		"a web server":  {[]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), "HTTP"},
		"a mail server": {[]byte("220 mail.example.com ESMTP\r\n"), "the hello failed: "},
		"nothing":       {nil, "closed the connection without a word"},
		"half a hello":  {newer[:6], "the hello failed: "},
	} {
		addr := answer(t, test.says)
		for _, command := range []string{"info ADDR", "ping ADDR", "call ADDR Order --json"} {
			toolRun{name + ", " + command, args(addr, command), 3, nil, []string{"cmdstream: can't connect to " + addr + ": ", test.want}}.check(t)
		}
	}
}

func TestAServerThatRefuses(t *testing.T) {
	conf := quietly()
	conf.WorkersCount = 1
	full, _ := serve(t, conf)
	holder := tool(t, nil, args(full, "ping ADDR -i 20ms")...)
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 100)); err != nil { // it is connected
		t.Fatal(err)
	}
	defer holder.Wait()
	defer holder.Process.Kill()
	toolRun{"full", args(full, "list ADDR"), 3, nil, []string{"can't connect to " + full + ": the server has as many clients as it takes"}}.check(t)
	toolRun{"full, for info", args(full, "info ADDR"), 3, nil, []string{"the server has as many clients as it takes"}}.check(t)

	conf = quietly()
	conf.Authenticate = onlyAnn
	guarded, _ := serve(t, conf)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("ann\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, r := range []toolRun{
		{"unauthorized", args(guarded, "info ADDR"), 3, nil, []string{"the server does not accept this client: who are you?"}},
		{"unauthorized, for call", args(guarded, "call ADDR Count"), 3, nil, []string{"who are you?"}},
		{"with credentials", args(guarded, "info ADDR --credentials %", secret), 0, []string{"ServerInfo", "main.Count"}, nil},
		{"call with credentials", args(guarded, `call ADDR Count {"To":2} --credentials %`, secret), 0, []string{"1\n2\n"}, nil},
		{"missing credentials", args(guarded, "info ADDR --credentials /nowhere/secret"), 2, nil, []string{"--credentials: open /nowhere/secret"}},
	} {
		r.check(t)
	}
}

// A server has one client at a time, which is info twice.
func TestInfoOfAServerForOne(t *testing.T) {
	conf := quietly()
	conf.WorkersCount = 1
	addr, _ := serve(t, conf)
	toolRun{"info", args(addr, "info ADDR"), 0, []string{"commands      4"}, nil}.check(t)
}

func TestTLS(t *testing.T) {
	c, others := newCertificates(t), newCertificates(t)
	conf := quietly()
	conf.TLSConfig = &tls.Config{Certificates: []tls.Certificate{c.pair}}
	addr, _ := serve(t, conf)
	local := strings.Replace(addr, "127.0.0.1", "localhost", 1)
	conf = quietly()
	conf.TLSConfig = &tls.Config{Certificates: []tls.Certificate{c.pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: c.pool}
	mutual, _ := serve(t, conf)
	plain, _ := serve(t, quietly())
	dir := t.TempDir()

	for _, r := range []toolRun{
		{"an authority", args(local, "info ADDR --tls --ca %", c.ca), 0, []string{"main.Order"}, nil},
		{"a name", args(addr, "info ADDR --tls --ca % --server-name localhost", c.ca), 0, []string{"main.Order"}, nil},
		{"any certificate", args(addr, "ping ADDR -c 1 --tls --insecure"), 0, []string{"1 sent, 1 answered"}, nil},
		{"mutual TLS", args(mutual, "call ADDR Count --tls --ca % --server-name localhost --cert % --key %", c.ca, c.cert, c.key), 0, nil, nil},

		{"an unknown authority", args(local, "info ADDR --tls"), 3, nil, []string{"can't connect to " + local, "TLS", "certificate"}},
		{"another authority", args(local, "info ADDR --tls --ca %", others.ca), 3, nil, []string{"TLS", "certificate"}},
		{"another name", args(addr, "info ADDR --tls --ca % --server-name example.com", c.ca), 3, nil, []string{"not example.com"}},
		{"no certificate of the client's", args(mutual, "info ADDR --tls --ca % --server-name localhost", c.ca), 3, nil, []string{"certificate required"}},
		{"TLS where none is spoken", args(plain, "info ADDR --tls --insecure"), 3, nil, []string{"can't connect to " + plain, "TLS"}},
		{"no TLS where it is spoken", args(addr, "info ADDR"), 3, nil, []string{"can't connect to " + addr, "TLS"}},

		{"--ca without --tls", args(addr, "info ADDR --ca %", c.ca), 2, nil, []string{"--ca is of no use without --tls"}},
		{"--cert and --key without --tls", args(addr, "bench ADDR Order --cert % --key %", c.cert, c.key), 2, nil, []string{"--cert is of no use without --tls"}},
		{"--cert without --key", args(addr, "ping ADDR --tls --cert %", c.cert), 2, nil, []string{"--cert and --key belong together"}},
		{"a missing CA", args(addr, "list ADDR --tls --ca %", dir+"/x"), 2, nil, []string{"--ca: open " + dir + "/x: no such file"}},
		{"a missing certificate", args(addr, "list ADDR --tls --cert % --key %", dir+"/x", c.key), 2, nil, []string{"--cert and --key: open " + dir + "/x: no such file"}},
		{"a key that is none", args(addr, "list ADDR --tls --cert % --key %", c.cert, c.ca), 2, nil, []string{"--cert and --key: "}},
		{"a CA that is none", args(addr, "list ADDR --tls --ca %", c.key), 2, nil, []string{"there is no certificate in "}},
	} {
		r.check(t)
	}
}

func TestUnixSocket(t *testing.T) {
	s, err := server.New(newSet(true).Server(), new(shop), quietly())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "socket")
	l := listenUnix(t, path)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(l)
	}()
	defer func() {
		s.Close()
		<-done
	}()
	toolRun{"call", args("unix:"+path, `call ADDR Count {"To":1}`), 0, []string{"1\n"}, nil}.check(t)
}

// What the command line says wrong is found before anything is done.
func TestBadCommandLines(t *testing.T) {
	began := time.Now()
	for line, want := range map[string]string{
		"info":                              `expected "<addr>"`,
		"info localhost":                    `"localhost" is no address: say HOST:PORT or unix:PATH`,
		"info localhost:99999":              "the port is a number from 1 to 65535",
		"info ADDR --connect-timeout=-1s":   "--connect-timeout is -1s: it must be more than 0",
		"ping ADDR -c -1":                   "--count is -1: it can't be negative",
		"ping ADDR --count=-1":              "--count is -1: it can't be negative",
		"ping ADDR -c":                      "--count needs a value",
		"ping ADDR -i -1s":                  "--interval is -1s: it can't be negative",
		"ping ADDR -i 1ms":                  "--interval is 1ms: a server takes one ping in 10ms",
		"ping ADDR -W 0s":                   "--timeout is 0s: it must be more than 0",
		"ping ADDR -c x":                    `expected a valid 64 bit int but got "x"`,
		"call ADDR":                         `expected "<name>"`,
		"call ADDR Order --timeout=-1s":     "--timeout is -1s: it can't be negative",
		"call ADDR Order {":                 "the fields are not JSON at byte 1: unexpected end of JSON input",
		"call ADDR Order {}x":               "the fields are not JSON at byte 3: invalid character 'x'",
		"bench ADDR Order {":                "the fields are not JSON at byte 1",
		"bench ADDR Order -n 0":             "--callers is 0: it is a number from 1 to 100000",
		"bench ADDR Order --callers=-5":     "--callers is -5: it is a number from 1",
		"bench ADDR Order -n 1000000":       "--callers is 1000000",
		"bench ADDR Order --connections=-1": "--connections is -1",
		"bench ADDR Order --connections 17": "17 connections are more than 16 callers can use",
		"bench ADDR Order --rate=-1":        "--rate is -1: it is a number from 0",
		"bench ADDR Order --rate -.5":       "--rate is -.5: it can't be negative",
		"bench ADDR Order --svg -d":         "--svg needs a value, and -d looks like a flag: if it is the value, say --svg=-d",
		"bench ADDR Order --rate NaN":       "--rate is NaN",
		"bench ADDR Order -d 0s":            "--duration is 0s: it must be more than 0",
		"bench ADDR Order --warmup=-1s":     "--warmup is -1s: it can't be negative",
		"bench ADDR Order --timeout 0s":     "--timeout is 0s: it must be more than 0",
		"bench ADDR Order --svg /nowhere/x": "--svg: open /nowhere/x: no such file",
		"top ADDR -i 1ms":                   "--interval is 1ms: it must be 100ms at least",
		"top ADDR --json --count=-1":        "--count is -1: it can't be negative",
		"top ADDR -c 1":                     "--count goes with --json",
		"top ADDR":                          "top needs a terminal: --json is for all else",
		"top http:// --json":                "it lacks the host, as in http://localhost:8080",
		"top ftp://here --json":             "it begins with http:// or https://",
		"top ADDR --insecure --json":        "--insecure is of no use without --tls",
		"info ADDR -x":                      "unknown flag -x, did you mean ",
		"gen -type":                         "--type needs a value\n",
		"gen -type -out x.go":               "--type needs a value, and --out looks like a flag: if it is the value, say --type=--out",
		"gen -t T":                          "unknown flag -t: those of gen are -type, -out and -help",
		"gen -type x.T":                     `-type "x.T" is not the name of a type`,
		"gen -type T nowhere":               "nowhere is not a folder",
		"gen -type T -out ../x.go":          "-out ../x.go is not in .",
		"completion csh":                    `must be one of "bash","zsh","fish" but got "csh"`,
		"list ADDR --jsn":                   "unknown flag --jsn, did you mean ",
	} {
		toolRun{line, args("127.0.0.1:1", line), 2, nil, []string{"cmdstream: ", want}}.check(t)
	}
	if took := time.Since(began); took > toolPatience {
		t.Errorf("it took %v", took)
	}
}
