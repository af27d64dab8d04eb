package server_test

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/wire"
)

const s = time.Second

func TestOneClientTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{WorkersCount: 2, FullRetryAfter: 3 * s}, nil)
		first, second := h.client(), h.client()
		began := time.Now()
		_, err := h.connect(client.Conf{})
		var e *base.Error
		if !errors.As(err, &e) || e.Code != base.ErrFull || e.RetryAfter != 3*s || time.Since(began) != 0 {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		h.expectLog("WARN", "ended in its hello", "as many clients as it takes")
		h.echoes(first)
		second.Close()
		settle()
		h.echoes(h.client())
		h.echoes(first)
	})
}

func TestARefusedClientThatReconnectsWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{WorkersCount: 1, FullRetryAfter: 10 * s}, nil)
		first := h.client()
		time.AfterFunc(s, func() { first.Close() })
		began := time.Now()
		c, err := client.NewReconnect[World](t.Context(), clientCodec{}, h.l.Dial, client.Conf{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if took := time.Since(began); took < 10*s || took > 15*s {
			t.Errorf("it came back after %v", took)
		}
	})
}

// The place of a client whose connection came to an end by itself is free too,
// and that of one which left between its hello and the answer.
func TestPlacesAreFreed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{WorkersCount: 1}, nil)
		for range 3 {
			conn := h.dial()
			if hello := sayHello(t, conn); hello.Status != wire.StatusOK {
				t.Fatalf("got status %d", hello.Status)
			}
			conn.Close()
			settle()
			gone := h.dial()
			b, _ := wire.AppendClientHello(nil, wire.ClientHello{})
			gone.Write(b)
			gone.Close()
			settle()
		}
		h.echoes(h.client())
	})
}

func TestRefusalsAreNotLostToAReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{WorkersCount: 1}, nil)
		h.client()
		conn := h.dial()
		b, _ := wire.AppendClientHello(nil, wire.ClientHello{})
		conn.Write(append(b, make([]byte, 50_000)...)) // and goes on at once
		time.Sleep(s / 2)
		if hello := hearHello(t, conn); hello.Status != wire.StatusFull || hello.RetryAfter != 500 {
			t.Errorf("got %+v", hello)
		}
		if !isClosed(conn) {
			t.Error("the connection was reset")
		}
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Errorf("the server does not read on: %v", err)
		}
	})
}

func TestForeignPeersAreNamedAndClosed(t *testing.T) {
	for name, c := range map[string]struct{ says, want string }{
		"HTTP":    {"GET / HTTP/1.1\r\nHost: server\r\n\r\n", "looks like HTTP"},
		"TLS":     {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "TLS client on a plain port"},
		"random":  {"\xde\xad\xbe\xef\x00\x01\x02", "it opens with de ad be ef"},
		"version": {"\xc5cmd\x07\x00", "the client version 7"},
		"session": {"\xc5cmd\x01\x03\x01\x01x", "asks for a session"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := start(t, server.Conf[World]{}, nil)
				c2 := h.client()
				conn := h.dial()
				began := time.Now()
				conn.Write([]byte(c.says))
				if !isClosed(conn) || time.Since(began) != 0 {
					t.Errorf("it was not closed at once, but after %v", time.Since(began))
				}
				conn.Close()
				h.expectLog("WARN", c.want, "remote="+conn.LocalAddr().String())
				h.echoes(c2)
			})
		})
	}
}

func TestAPortScanner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{}, nil)
		h.dial().Close()
		h.expectLog("WARN", "closed the connection without a word")
	})
}

func TestAStalledHelloIsCut(t *testing.T) {
	hello, _ := wire.AppendClientHello(nil, wire.ClientHello{Info: make([]byte, 100)})
	for timeout, want := range map[time.Duration]time.Duration{0: 10 * s, 3 * s: 3 * s} {
		synctest.Test(t, func(t *testing.T) {
			h := start(t, server.Conf[World]{SysDataSendTimeout: timeout}, nil)
			conn := h.dial()
			began := time.Now()
			go func() {
				for _, b := range hello {
					if _, err := conn.Write([]byte{b}); err != nil {
						return
					}
					time.Sleep(s)
				}
			}()
			io.Copy(io.Discard, conn)
			if took := time.Since(began); took != want {
				t.Errorf("it was cut after %v", took)
			}
			h.expectLog("WARN", "did not complete the hello within "+want.String())
			time.Sleep(2 * s) // the writer ends
		})
	}
}

func TestHellosHaveALimitOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{WorkersCount: 1, MaxHellos: 2}, nil)
		silent := []*memnet.Conn{h.dial(), h.dial()}
		settle()
		if third := h.dial(); !isClosed(third) {
			t.Error("the third one was not closed")
		}
		h.expectLog("WARN", "too many are in their hello")
		if hello := sayHello(t, silent[0]); hello.Status != wire.StatusOK {
			t.Errorf("got status %d", hello.Status)
		}
		silent[0].Close()
		settle()
		h.echoes(h.client()) // there is room for a hello, and the one place is free
		time.Sleep(10 * s)
		if !isClosed(silent[1]) {
			t.Error("the silent one was not closed")
		}
	})
}
