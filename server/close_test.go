package server_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/transport"
	"github.com/cmdstream/cmdstream/wire"
)

// slow runs for a second.
func slow(_ context.Context, send func(string, bool) error) error {
	time.Sleep(s)
	return send("slow", true)
}

func TestShutdownDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{}, commands{"slow": slow})
		busy, idle := h.client(), h.client()
		running := h.run(busy, "slow")
		began := time.Now()
		shut := make(chan error, 1)
		go func() { shut <- h.Shutdown(t.Context()) }()
		h.expectServed(server.ErrClosed)
		<-idle.Done() // it was told, and had nothing open
		if err := idle.Err(); !errors.Is(err, base.ErrDraining) {
			t.Errorf("the idle client ended by %v", err)
		}
		if _, err := busy.Do(t.Context(), cmd("echo")); !errors.Is(err, base.ErrDraining) || base.OutcomeOf(err) != base.Rejected {
			t.Errorf("a further command ended by %v", err)
		}
		if _, err := h.l.Dial(t.Context()); err == nil {
			t.Error("the listener is open")
		}
		if err := <-running; err != nil {
			t.Errorf("the running command ended by %v", err)
		}
		<-busy.Done()
		if err := <-shut; err != nil || time.Since(began).Round(10*time.Millisecond) != s {
			t.Errorf("Shutdown returned %v after %v", err, time.Since(began))
		}
	})
}

func TestShutdownRejectsCommandsOfClientsThatStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{}, nil)
		conn := h.dial()
		sayHello(t, conn)
		shut := make(chan error, 1)
		go func() { shut <- h.Shutdown(t.Context()) }()
		settle()
		conn.Write([]byte{byte(wire.KindCommand) << 4, 0, 5, 'e', 'c', 'h', 'o', '\n'})
		settle()
		b := make([]byte, 1000)
		n, _ := conn.Read(b)
		if answer := string(b[:n]); b[0] != byte(wire.KindGoaway)<<4 || !strings.Contains(answer, "draining") || strings.Contains(answer, "echo") {
			t.Errorf("got %q", answer)
		}
		select {
		case err := <-shut:
			t.Errorf("Shutdown returned %v before the client had left", err)
		default:
		}
		conn.Close()
		if err := <-shut; err != nil {
			t.Error(err)
		}
	})
}

func TestAHelloDuringShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{FullRetryAfter: 7 * s}, commands{"slow": slow})
		running := h.run(h.client(), "slow")
		late := h.dial()
		settle() // it is accepted
		go h.Shutdown(t.Context())
		settle()
		if hello := sayHello(t, late); hello.Status != wire.StatusDraining || hello.RetryAfter != 7000 {
			t.Errorf("got %+v", hello)
		}
		if err := <-running; err != nil {
			t.Error(err)
		}
		time.Sleep(s)
	})
}

func TestShutdownWithinItsCtx(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("enough")
		h := start(t, server.Conf[World]{}, commands{"wait": wait})
		running := h.run(h.client(), "wait")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 3*s, cause)
		defer cancel()
		began := time.Now()
		if err := h.Shutdown(ctx); err != cause || time.Since(began) != 3*s {
			t.Errorf("Shutdown returned %v after %v", err, time.Since(began))
		}
		if err := <-running; base.OutcomeOf(err) != base.Unknown {
			t.Errorf("the command ended by %v", err)
		}
	})
}

func TestShutdownOfAnIdleServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{}, nil)
		began := time.Now()
		for range 2 {
			if err := h.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v", took)
		}
		h.expectServed(server.ErrClosed)
	})
}

// The plain wire has no goaway: its connections are closed once nothing runs.
func TestShutdownOfPlainConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{Transport: transport.Plain}, commands{"slow": slow})
		c, err := h.connect(client.Conf{Transport: transport.Plain})
		if err != nil {
			t.Fatal(err)
		}
		idle := h.dial()
		running := h.run(c, "slow")
		began := time.Now()
		go func() {
			time.Sleep(s / 2)
			if !isClosed(idle) || time.Since(began) >= s {
				t.Error("the idle one was not closed")
			}
		}()
		if err := h.Shutdown(t.Context()); err != nil || time.Since(began) < s || time.Since(began) > s+s/10 {
			t.Errorf("Shutdown returned %v after %v", err, time.Since(began))
		}
		if err := <-running; err != nil {
			t.Errorf("the running command ended by %v", err)
		}
	})
}

func TestCloseCancelsWhatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := false
		h := start(t, server.Conf[World]{}, commands{"wait": func(ctx context.Context, send func(string, bool) error) error {
			send("first and last", true) // and works on
			<-ctx.Done()
			ended = true
			return nil
		}})
		running := h.run(h.client(), "wait")
		if err := <-running; err != nil {
			t.Error(err)
		}
		began := time.Now()
		if err := h.Close(); err != nil || time.Since(began) != 0 || !ended {
			t.Errorf("Close returned %v after %v; the command has ended: %v", err, time.Since(began), ended)
		}
	})
}

// Close ends within a second, whatever goes on.
func TestCloseInEveryState(t *testing.T) {
	serverConf, clientConf := certificates(t)
	hold := make(chan struct{})
	flood := func(_ context.Context, send func(string, bool) error) error {
		for send(strings.Repeat("x", 5000), false) == nil {
		}
		return nil
	}
	overTLS := func(h *house, conf client.Conf) (*client.Client[World], *memnet.Conn) {
		conn := h.dial()
		c, err := client.New[World](h.t.Context(), clientCodec{}, tls.Client(conn, clientConf), conf)
		if err != nil {
			h.t.Fatal(err)
		}
		h.t.Cleanup(func() { c.Close() })
		return c, conn
	}
	ask := func(h *house, conn *memnet.Conn, name string) {
		b := wire.AppendExtras(nil, wire.Extras{Credit: 1 << 20})
		b = append(b, name+"\n"...)
		conn.Write(append(wire.AppendHeader(nil, wire.Header{Kind: wire.KindCommand, Flags: wire.FlagExtras, Length: len(b)}), b...))
		settle()
	}
	for name, c := range map[string]struct {
		conf  server.Conf[World]
		state func(h *house)
		want  string // of the error
	}{
		"nothing": {state: func(h *house) {}},
		"a deaf command": {
			state: func(h *house) { h.run(h.client(), "deaf") },
			want:  "1 goroutines still run commands",
		},
		"a silent connection": {state: func(h *house) { h.dial() }},
		"half a hello":        {state: func(h *house) { h.dial().Write(wire.Magic[:]) }},
		"a peer that reads nothing": {state: func(h *house) {
			conn := h.dial()
			sayHello(h.t, conn)
			ask(h, conn, "flood")
		}},
		"a peer that is gone": {state: func(h *house) {
			conn := h.dial()
			sayHello(h.t, conn)
			conn.Cut(memnet.Stall)
			ask(h, conn, "flood")
		}},
		"a refused client that stays": {
			conf: server.Conf[World]{WorkersCount: 1},
			state: func(h *house) {
				h.client()
				sayHello(h.t, h.dial())
			},
		},
		"an Authenticate that waits": {
			conf: server.Conf[World]{Authenticate: func(ctx context.Context, _ server.ClientHello) (context.Context, string, error) {
				<-hold
				return ctx, "", nil
			}},
			state: func(h *house) { go h.connect(client.Conf{}) },
		},
		"a full queue": {
			conf: server.Conf[World]{MaxRunning: 1, MaxQueued: 10},
			state: func(h *house) {
				c := h.client()
				for range 20 {
					h.run(c, "wait")
				}
			},
		},
		"a session that has lost its connection": {state: func(h *house) {
			c := h.session(client.Conf{})
			h.run(c.Client, "wait")
			c.cut()
			if n := h.Stats().DetachedSessions; n != 1 {
				h.t.Errorf("%d sessions are without a connection", n)
			}
		}},
		"many clients": {state: func(h *house) {
			for range 100 {
				h.run(h.client(), "wait")
			}
		}},
		"TLS": {
			conf: server.Conf[World]{TLSConfig: serverConf},
			state: func(h *house) {
				c, _ := overTLS(h, client.Conf{})
				h.run(c, "wait")
			},
		},
		"TLS, a callback that waits": {
			conf: server.Conf[World]{TLSConfig: &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
				<-hold
				return serverConf, nil
			}}},
			state: func(h *house) {
				conn := tls.Client(h.dial(), clientConf)
				go conn.Handshake()
				settle()
			},
		},
		"TLS, half a handshake": {
			conf:  server.Conf[World]{TLSConfig: serverConf},
			state: func(h *house) { h.dial().Write([]byte{22, 3, 1}) },
		},
		"TLS, a peer that reads nothing": {
			conf: server.Conf[World]{TLSConfig: serverConf},
			state: func(h *house) {
				conn := h.dial()
				tc := tls.Client(conn, clientConf)
				sayHello(h.t, tc)
				b := append(wire.AppendExtras(nil, wire.Extras{Credit: 1 << 20}), "flood\n"...)
				tc.Write(append(wire.AppendHeader(nil, wire.Header{Kind: wire.KindCommand, Flags: wire.FlagExtras, Length: len(b)}), b...))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hold = make(chan struct{})
				h := start(t, c.conf, commands{"wait": wait, "flood": flood, "deaf": func(context.Context, func(string, bool) error) error {
					<-hold
					return nil
				}})
				c.state(h)
				settle()
				began := time.Now()
				err := h.Close()
				if took := time.Since(began); took > time.Second {
					t.Errorf("Close took %v", took)
				}
				if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
					t.Errorf("Close returned %v", err)
				}
				h.expectServed(server.ErrClosed)
				close(hold)
				settle()
				for range 2 {
					if err := h.Close(); err != nil {
						t.Errorf("the second Close returned %v", err)
					}
				}
			})
		})
	}
}

func TestAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{}, nil)
		conn := h.dial()
		settle()
		h.Close()
		if !isClosed(conn) {
			t.Error("a connection is open")
		}
		l := memnet.Listen()
		if err := h.Serve(l); !errors.Is(err, server.ErrClosed) {
			t.Errorf("Serve returned %v", err)
		}
		if _, err := l.Dial(t.Context()); err == nil {
			t.Error("Serve left its listener open")
		}
		if err := h.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown returned %v", err)
		}
	})
}

func TestCloseDuringShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{}, commands{"wait": wait})
		running := h.run(h.client(), "wait")
		shut := make(chan error, 1)
		go func() { shut <- h.Shutdown(t.Context()) }()
		time.Sleep(s)
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		if err := <-shut; err != nil {
			t.Errorf("Shutdown returned %v", err)
		}
		if err := <-running; base.OutcomeOf(err) != base.Unknown {
			t.Errorf("the command ended by %v", err)
		}
	})
}

// hook is a log handler that does something when a client has connected, which
// is before the server counts it among its own.
type hook struct {
	slog.Handler
	connected func()
}

func (h hook) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "a client connected" {
		h.connected()
	}
	return nil
}

func TestAHelloThatEndsDuringTheEnd(t *testing.T) {
	for name, end := range map[string]func(ctx context.Context, s *server.Server){
		"Shutdown": func(ctx context.Context, s *server.Server) { s.Shutdown(ctx) },
		"Close":    func(_ context.Context, s *server.Server) { s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var h *house
				h = start(t, server.Conf[World]{Logger: slog.New(hook{slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug}), func() {
					go end(t.Context(), h.Server)
					time.Sleep(time.Millisecond)
				}})}, nil)
				c := h.client()
				<-c.Done()
				if err := c.Err(); name == "Shutdown" && !errors.Is(err, base.ErrDraining) {
					t.Errorf("the client ended by %v", err)
				}
				h.expectServed(server.ErrClosed)
			})
		})
	}
}

// A Logger that panics as a client connects ends that client's connection, whose place is free then.
func TestALoggerThatPanicsKeepsNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		panics := 3
		logger := slog.New(hook{slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug}), func() {
			if panics--; panics >= 0 {
				panic("on purpose")
			}
		}})
		h := start(t, server.Conf[World]{WorkersCount: 1, Logger: logger}, nil)
		for range 3 {
			<-h.client().Done()
			settle()
		}
		h.echoes(h.client())
	})
}

// slowLog is a log whose sink is slow about one message.
type slowLog struct{ slog.Handler }

func (l slowLog) Enabled(context.Context, slog.Level) bool { return true }

func (l slowLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "a client connected" {
		time.Sleep(time.Second)
	}
	return nil
}

// Close waits for a hello no longer than it does; one that is over later does no harm.
func TestCloseDuringAHelloThatTakesLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{Logger: slog.New(slowLog{slog.DiscardHandler})}, nil)
		if _, err := h.connect(client.Conf{}); err != nil {
			t.Fatal(err)
		}
		settle()
		h.Close()
		time.Sleep(2 * time.Second)
	})
}
