package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/server"
)

func TestReceiveTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := make(chan error, 2)
		h := start(t, server.Conf[World]{
			ReceiveTimeout:   5 * s,
			LostConnCallback: func(_ net.Addr, err error) { lost <- err },
		}, commands{"wait": wait})
		silent := h.client()
		pinging, err := h.connect(client.Conf{KeepaliveTime: 2 * s, KeepaliveIntvl: 2 * s})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		done := h.run(silent, "wait") // an open command is no excuse
		if err := <-lost; !errors.Is(err, base.ErrIdle) || time.Since(began) != 5*s {
			t.Errorf("it was cut by %v after %v", err, time.Since(began))
		}
		if err := <-done; base.OutcomeOf(err) != base.Unknown {
			t.Errorf("the command ended by %v", err)
		}
		time.Sleep(time.Hour)
		h.echoes(pinging)
	})
}

func TestLostConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type lost struct {
			addr net.Addr
			err  error
		}
		var all []lost
		h := start(t, server.Conf[World]{LostConnCallback: func(addr net.Addr, err error) {
			all = append(all, lost{addr, err})
		}}, nil)
		for i, c := range []struct {
			cut  func(conn *memnet.Conn)
			want base.Code
		}{
			{func(conn *memnet.Conn) { conn.Close() }, base.ErrConnLost},
			{func(conn *memnet.Conn) { conn.Cut(memnet.RST) }, base.ErrConnLost},
			{func(conn *memnet.Conn) { conn.Write([]byte{0xff}) }, base.ErrProtocol},
		} {
			conn := h.dial()
			sayHello(t, conn)
			c.cut(conn)
			settle()
			if len(all) != i+1 || all[i].addr.String() != conn.LocalAddr().String() || !errors.Is(all[i].err, c.want) {
				t.Errorf("%d: got %v", i, all)
			}
		}
		// A refused one was no connection, and one that the server ends is not lost.
		h.dial().Close()
		h.client()
		h.Close()
		settle()
		if len(all) != 3 {
			t.Errorf("got %v", all)
		}
	})
}

func TestLostConnCallbackMayMisbehave(t *testing.T) {
	hold := make(chan struct{})
	for name, callback := range map[string]func(){
		"panic": func() { panic("boom") },
		"exit":  runtime.Goexit,
		"block": func() { <-hold },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hold = make(chan struct{})
				h := start(t, server.Conf[World]{WorkersCount: 1, LostConnCallback: func(net.Addr, error) { callback() }}, nil)
				for range 3 {
					c := h.client() // the place of the one before is free
					h.echoes(c)
					c.Close()
					settle()
				}
				close(hold)
				if name == "panic" {
					h.Close()
					if n := countLines(h.log, "LostConnCallback panicked"); n != 3 {
						t.Errorf("%d panics were logged", n)
					}
				}
			})
		})
	}
}

// certificates makes a certificate for each side, which the other one trusts.
func certificates(t *testing.T) (serverConf, clientConf *tls.Config) {
	t.Helper()
	pool := x509.NewCertPool()
	make := func(name string) []tls.Certificate {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
			NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0), IsCA: true, BasicConstraintsValid: true,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		pool.AddCert(parsed)
		return []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	}
	return &tls.Config{Certificates: make("server"), ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool},
		&tls.Config{Certificates: make("alice"), RootCAs: pool, ServerName: "server"}
}

func TestMutualTLS(t *testing.T) {
	serverConf, clientConf := certificates(t)
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{TLSConfig: serverConf}, commands{
			"whoami": func(ctx context.Context, send func(string, bool) error) error {
				return send(base.TLS(ctx).PeerCertificates[0].Subject.CommonName, true)
			},
		})
		c, err := client.New[World](t.Context(), clientCodec{}, tls.Client(h.dial(), clientConf), client.Conf{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if r, err := c.Do(t.Context(), cmd("whoami")); err != nil || r.(result).text != "alice" {
			t.Errorf("got %v, %v", r, err)
		}
		nobody := clientConf.Clone()
		nobody.Certificates = nil
		if _, err := client.New[World](t.Context(), clientCodec{}, tls.Client(h.dial(), nobody), client.Conf{}); err == nil {
			t.Error("a client without a certificate was taken")
		}
		h.expectLog("WARN", "client didn't provide a certificate")
		if _, err := h.connect(client.Conf{}); !errors.Is(err, base.ErrUnsupported) || !strings.Contains(err.Error(), "takes TLS only") {
			t.Errorf("without TLS: %v", err)
		}
		h.expectLog("WARN", "cmdstream without TLS")
	})
}

// What the TLSConfig says while the server runs counts: its callback, which may leave the
// choice to it, and keys of tickets that are replaced.
func TestTicketsOfTLS(t *testing.T) {
	serverConf, clientConf := certificates(t)
	clientConf.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	synctest.Test(t, func(t *testing.T) {
		asked, refusal := 0, error(nil)
		serverConf.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			asked++
			return nil, refusal
		}
		serverConf.SetSessionTicketKeys([][32]byte{{1}})
		h := start(t, server.Conf[World]{TLSConfig: serverConf}, nil)
		resumes := func() bool {
			t.Helper()
			nc := tls.Client(h.dial(), clientConf)
			c, err := client.New[World](t.Context(), clientCodec{}, nc, client.Conf{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			h.echoes(c)
			return nc.ConnectionState().DidResume
		}
		if resumes() || !resumes() {
			t.Error("the second connection alone has a ticket")
		}
		serverConf.SetSessionTicketKeys([][32]byte{{2}})
		if resumes() || !resumes() {
			t.Error("new keys: the first ticket is worth nothing, the next one is")
		}
		if asked != 4 {
			t.Errorf("the callback was asked %d times", asked)
		}
		refusal = errors.New("none of these")
		if _, err := client.New[World](t.Context(), clientCodec{}, tls.Client(h.dial(), clientConf), client.Conf{}); err == nil {
			t.Error("a client that the callback refuses was taken")
		}
		h.expectLog("WARN", "none of these")
	})
}

func TestWithoutTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{}, commands{
			"tls": func(ctx context.Context, send func(string, bool) error) error {
				if base.TLS(ctx) != nil {
					return errors.New("it has a state of TLS")
				}
				return send("", true)
			},
		})
		if _, err := h.client().Do(t.Context(), cmd("tls")); err != nil {
			t.Error(err)
		}
	})
}

// A callback of the TLSConfig that panics costs its connection, and no other.
func TestAHelloThatPanics(t *testing.T) {
	serverConf, clientConf := certificates(t)
	synctest.Test(t, func(t *testing.T) {
		hellos := 0
		h := start(t, server.Conf[World]{WorkersCount: 1, TLSConfig: &tls.Config{
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
				if hellos++; hellos == 1 {
					panic("boom")
				}
				return serverConf, nil
			},
		}}, nil)
		if _, err := client.New[World](t.Context(), clientCodec{}, tls.Client(h.dial(), clientConf), client.Conf{}); err == nil {
			t.Error("the first client was taken")
		}
		h.expectLog("ERROR", "boom")
		c, err := client.New[World](t.Context(), clientCodec{}, tls.Client(h.dial(), clientConf), client.Conf{})
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	})
}
