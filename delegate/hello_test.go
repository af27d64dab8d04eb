package delegate_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/delegate"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/transport"
	"github.com/cmdstream/cmdstream/wire"
)

func TestHello(t *testing.T) {
	hello(t,
		delegate.ServerConf{Info: []byte("v2"), Settings: transport.ServerSettings{MaxCmdSize: 1000}},
		delegate.ClientConf{Info: []byte("me"), ServerInfo: []byte("v2"), MaxResultSize: 2000}, nil,
		func(t *testing.T, server, client side) {
			if server.err != nil || client.err != nil {
				t.Fatal(server.err, client.err)
			}
			if string(server.hello.Info) != "me" || server.hello.MaxResultSize != 2000 || server.state != nil {
				t.Errorf("the server heard %+v, %v", server.hello, server.state)
			}
			want := transport.ServerSettings{MaxCmdSize: 1000, MaxInFlight: transport.DefaultMaxInFlight}
			if string(client.hello.Info) != "v2" || client.hello.Settings != want {
				t.Errorf("the client heard %+v", client.hello)
			}
		})
}

func TestServerInfo(t *testing.T) {
	refuse := errors.New("too old")
	for name, c := range map[string]struct {
		info []byte
		conf delegate.ClientConf
		want string // of the error
	}{
		"both default":           {nil, delegate.ClientConf{}, ""},
		"named like the default": {[]byte("default"), delegate.ClientConf{}, ""},
		"empty":                  {[]byte{}, delegate.ClientConf{ServerInfo: []byte{}}, ""},
		"another":                {[]byte("v2"), delegate.ClientConf{ServerInfo: []byte("v1")}, `the server's ServerInfo is "v2", this client expects "v1"`},
		"not the default":        {[]byte("v2"), delegate.ClientConf{}, `this client expects "default"`},
		"longer":                 {[]byte("v22"), delegate.ClientConf{ServerInfo: []byte("v2")}, `is "v22"`},
		"checked": {[]byte("v2"), delegate.ClientConf{ServerInfo: []byte("ignored"), CheckServerInfo: func(info []byte) error {
			if string(info) != "v2" {
				return errors.New("not v2")
			}
			info[0] = 'x' // it is the function's own
			return nil
		}}, ""},
		"refused": {[]byte("v2"), delegate.ClientConf{CheckServerInfo: func([]byte) error { return refuse }}, "the server's ServerInfo was refused: too old"},
	} {
		t.Run(name, func(t *testing.T) {
			hello(t, delegate.ServerConf{Info: c.info}, c.conf, nil, func(t *testing.T, server, client side) {
				if server.err != nil {
					t.Error(server.err)
				}
				if c.want == "" {
					if client.err != nil || c.info != nil && string(client.hello.Info) != string(c.info) {
						t.Errorf("got %q, %v", client.hello.Info, client.err)
					}
					return
				}
				e := asError(t, client.err)
				if e.Code != base.ErrServerInfo || !strings.Contains(e.Error(), c.want) || !delegate.Final(e) {
					t.Errorf("got %v", e)
				}
				if name == "refused" && !errors.Is(e, refuse) {
					t.Error("the function's error is lost")
				}
				if _, err := io.ReadAll(reader{server.conn}); err == nil {
					t.Error("the client did not close the connection")
				}
			})
		})
	}
}

// reader reads messages until the connection ends.
type reader struct{ conn *transport.Conn }

func (r reader) Read([]byte) (int, error) {
	var m transport.Message
	return 0, r.conn.Read(&m)
}

func TestRefusals(t *testing.T) {
	for status, want := range map[transport.Status]base.Code{
		transport.Full: base.ErrFull, transport.Draining: base.ErrDraining, transport.Unauthorized: base.ErrUnauthorized,
		transport.Refused: base.ErrUnsupported, 200: base.ErrUnsupported,
	} {
		admit := func(_ context.Context, _ *transport.Hello, _ *tls.ConnectionState, answer *transport.Hello) {
			answer.Status, answer.Text, answer.RetryAfter = status, "so sorry", 3*s
		}
		hello(t, delegate.ServerConf{Admit: admit, Catalogue: []byte("what it has")}, delegate.ClientConf{}, nil, func(t *testing.T, server, client side) {
			if client.hello.Catalogue != nil {
				t.Errorf("%d: a client that was refused was told %q", status, client.hello.Catalogue)
			}
			for _, r := range []side{server, client} {
				e := asError(t, r.err)
				if e.Code != want || e.Outcome != base.Rejected || e.RetryAfter != 3*s || !strings.HasSuffix(e.Message, ": so sorry") {
					t.Errorf("%d: got %#v", status, e)
				}
				if r.took != 0 || r.conn != nil {
					t.Errorf("%d: it took %v", status, r.took)
				}
			}
		})
	}
}

// hear is what a peer gets that writes b to a server, and closes nothing.
func hear(t *testing.T, b []byte, wrap func(net.Conn) net.Conn) (answer []byte, server side) {
	t.Helper()
	var near, far net.Conn
	near, far = memnet.Pipe()
	if wrap != nil {
		far = wrap(far)
	}
	near.Write(b)
	done := make(chan side)
	go func() { done <- accept(t.Context(), far, delegate.ServerConf{}) }()
	answer, _ = io.ReadAll(near)
	near.Close()
	return answer, <-done
}

func TestAnotherVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := wire.AppendClientHello(nil, wire.ClientHello{})
		b[4] = 7
		answer, server := hear(t, b, nil)
		_, _, n, err := wire.ParsePrefix(answer)
		if err != nil {
			t.Fatal(err)
		}
		h, err := wire.ParseServerHello(answer[n:])
		if err != nil || h.Status != wire.StatusVersion || h.Text != "the server speaks version 1 of the protocol, the client version 7" {
			t.Errorf("the client is told %+v, %v", h, err)
		}
		if e := asError(t, server.err); e.Code != base.ErrVersion || !strings.Contains(e.Message, "the client version 7") {
			t.Errorf("the server says %v", e)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		near, far := memnet.Pipe()
		b, _ := wire.AppendServerHello(nil, wire.ServerHello{})
		b[4] = 9
		far.Write(b)
		client := connect(t.Context(), near, delegate.ClientConf{})
		if e := asError(t, client.err); e.Code != base.ErrVersion || !strings.Contains(e.Message, "the server speaks version 9") {
			t.Errorf("the client says %v", e)
		}
	})
}

func TestForeignPeers(t *testing.T) {
	server, _ := tlsConfs(t)
	overTLS := func(nc net.Conn) net.Conn { return tls.Server(nc, server) }
	ours, _ := wire.AppendClientHello(nil, wire.ClientHello{})
	for name, c := range map[string]struct {
		says []byte
		wrap func(net.Conn) net.Conn
		want string
	}{
		"HTTP":       {[]byte("GET / HTTP/1.1\r\nHost: server\r\n\r\n"), nil, "looks like HTTP"},
		"TLS":        {[]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), nil, "looks like TLS"},
		"random":     {[]byte{0xde, 0xad, 0xbe, 0xef}, nil, "it opens with de ad be ef"},
		"ours":       {ours, overTLS, "speaks cmdstream without TLS"},
		"HTTP, TLS":  {[]byte("GET / HTTP/1.1\r\n\r\n"), overTLS, "does not look like a TLS handshake"},
		"long hello": {append(wire.Magic[:], 1, 0xff, 0xff, 3), nil, "a hello has 65535 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, server := hear(t, c.says, c.wrap)
				e := asError(t, server.err)
				if e.Code != base.ErrProtocol || e.Outcome != base.NotSent || !strings.Contains(e.Error(), c.want) {
					t.Errorf("got %v", e)
				}
				if server.took != 0 {
					t.Errorf("it took %v", server.took)
				}
			})
		})
	}
}

func TestAPeerThatLeaves(t *testing.T) {
	conf, _ := tlsConfs(t)
	for name, c := range map[string]struct {
		says []byte
		wrap func(net.Conn) net.Conn
		want string
	}{
		"at once":           {nil, nil, "without a word"},
		"at once, from TLS": {nil, func(nc net.Conn) net.Conn { return tls.Server(nc, conf) }, "without a word"},
		"in the middle":     {wire.Magic[:3], nil, "unexpected EOF"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var near, far net.Conn
			near, far = memnet.Pipe()
			if c.wrap != nil {
				far = c.wrap(far)
			}
			near.Write(c.says)
			near.Close()
			server := accept(t.Context(), far, delegate.ServerConf{})
			if e := asError(t, server.err); e.Code != base.ErrConnLost || !strings.Contains(e.Error(), c.want) {
				t.Errorf("%s: got %v", name, e)
			}
		})
	}
}

func TestAStalledHello(t *testing.T) {
	ours, _ := wire.AppendClientHello(nil, wire.ClientHello{Info: make([]byte, 100)})
	theirs, _ := wire.AppendServerHello(nil, wire.ServerHello{Info: make([]byte, 100)})
	for timeout, want := range map[time.Duration]time.Duration{0: 10 * s, 3 * s: 3 * s} {
		conf := delegate.ConnConf{HelloTimeout: timeout}
		for name, c := range map[string]struct {
			says []byte
			run  func(ctx context.Context, nc net.Conn) side
		}{
			"client": {ours, func(ctx context.Context, nc net.Conn) side {
				return accept(ctx, nc, delegate.ServerConf{ConnConf: conf})
			}},
			"server": {theirs, func(ctx context.Context, nc net.Conn) side {
				return connect(ctx, nc, delegate.ClientConf{ConnConf: conf})
			}},
		} {
			synctest.Test(t, func(t *testing.T) {
				near, far := memnet.Pipe()
				go func() {
					for _, b := range c.says {
						if _, err := near.Write([]byte{b}); err != nil {
							return
						}
						time.Sleep(time.Second)
					}
				}()
				r := c.run(t.Context(), far)
				if e := asError(t, r.err); e.Code != base.ErrHello || e.Outcome != base.NotSent || r.took != want {
					t.Errorf("with a slow %s got %v after %v", name, e, r.took)
				}
				near.Close()
				time.Sleep(2 * time.Second) // the other goroutine ends
			})
		}
	}
}

func TestTheCtxEndsTheHello(t *testing.T) {
	cause := errors.New("enough")
	synctest.Test(t, func(t *testing.T) {
		for _, run := range []func(ctx context.Context, nc net.Conn) side{
			func(ctx context.Context, nc net.Conn) side { return accept(ctx, nc, delegate.ServerConf{}) },
			func(ctx context.Context, nc net.Conn) side { return connect(ctx, nc, delegate.ClientConf{}) },
		} {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(2*s, func() { cancel(cause) })
			near, far := memnet.Pipe()
			r := run(ctx, far)
			if e := asError(t, r.err); e.Code != base.ErrHello || !errors.Is(e, cause) || r.took != 2*s {
				t.Errorf("got %v after %v", e, r.took)
			}
			if _, err := io.Copy(io.Discard, near); err != nil {
				t.Errorf("the connection was not closed: %v", err)
			}
		}
	})
}

// A ctx that ends when the hello is just over, and its deadline, change nothing
// for the connection.
func TestTheDeadlineDoesNotOutliveTheHello(t *testing.T) {
	confs := func(t *testing.T) map[string]func(client, server net.Conn) (net.Conn, net.Conn) {
		server, client := tlsConfs(t)
		return map[string]func(c, s net.Conn) (net.Conn, net.Conn){
			"bare": nil,
			"TLS": func(c, s net.Conn) (net.Conn, net.Conn) {
				return tls.Client(c, client), tls.Server(s, server)
			},
		}
	}
	for name, wrap := range confs(t) {
		t.Run(name, func(t *testing.T) {
			hello(t, delegate.ServerConf{}, delegate.ClientConf{}, wrap, func(t *testing.T, server, client side) {
				if server.err != nil || client.err != nil {
					t.Fatal(server.err, client.err)
				}
				if (server.state != nil) != (name == "TLS") {
					t.Errorf("the state of TLS is %v", server.state)
				}
				got := make(chan transport.Message)
				for _, conn := range []*transport.Conn{client.conn, server.conn} {
					go func() {
						var m transport.Message
						if err := conn.Read(&m); err != nil {
							t.Error(err)
						}
						got <- m
					}()
				}
				time.Sleep(time.Hour)
				client.conn.Post(&transport.Message{Kind: transport.Ping})
				server.conn.Post(&transport.Message{Kind: transport.Ping})
				<-got
				<-got
			})
		})
	}
}

// A refused peer gets the time to read why, and the server does not wait longer
// than that; nor at all, when it closes.
func TestARefusedPeerThatStays(t *testing.T) {
	refuse := func(_ context.Context, _ *transport.Hello, _ *tls.ConnectionState, answer *transport.Hello) {
		answer.Status = transport.Full
	}
	synctest.Test(t, func(t *testing.T) {
		b, _ := wire.AppendClientHello(nil, wire.ClientHello{})
		for _, closing := range []bool{false, true} {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			near, far := memnet.Pipe()
			near.Write(b)
			near.Write(make([]byte, 10_000)) // commands that it did not wait with
			done := make(chan side)
			go func() { done <- accept(ctx, far, delegate.ServerConf{Admit: refuse}) }()
			time.Sleep(s / 2)
			var answer [100]byte
			n, err := near.Read(answer[:])
			if err != nil || !bytes.HasPrefix(answer[:n], wire.Magic[:]) {
				t.Errorf("the peer read % x, %v", answer[:n], err)
			}
			if _, err := near.Read(answer[:]); err != io.EOF {
				t.Errorf("then %v", err)
			}
			want := s
			if closing {
				cancel()
				want = s / 2
			}
			if r := <-done; !errors.Is(r.err, base.ErrFull) || r.took != want {
				t.Errorf("the server says %v after %v", r.err, r.took)
			}
		}
	})
}

func TestAServerThatClosesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memnet.Pipe()
		far.Close()
		if e := asError(t, connect(t.Context(), near, delegate.ClientConf{}).err); e.Code != base.ErrConnLost {
			t.Errorf("got %v", e)
		}
		// What the server had to say counts more than that it has gone.
		near, far = memnet.Pipe()
		b, _ := wire.AppendServerHello(nil, wire.ServerHello{Status: wire.StatusFull, RetryAfter: 5})
		far.Write(b)
		far.Close()
		if e := asError(t, connect(t.Context(), near, delegate.ClientConf{}).err); e.Code != base.ErrFull || e.RetryAfter != 5*time.Millisecond {
			t.Errorf("got %v", e)
		}
	})
}

func TestAServerInfoThatIsTooLong(t *testing.T) {
	hello(t, delegate.ServerConf{Info: make([]byte, 1025)}, delegate.ClientConf{}, nil, func(t *testing.T, server, client side) {
		if e := asError(t, server.err); !strings.Contains(e.Error(), "1025 bytes") {
			t.Errorf("got %v", e)
		}
		if client.err == nil {
			t.Error("the client has a connection")
		}
	})
}
