package browsertest

import (
	"context"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/debug"
	"github.com/cmdstream/cmdstream/debug/browsertest/shop"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/server"
)

// site is a server and a client that are watched, and the page about them.
type site struct {
	t    *testing.T
	c    cmdstream.Client[shop.Shop]
	conn *client.Client[shop.Shop]
	page *debug.Page
	web  *httptest.Server
	url  string
}

func serve(t *testing.T) *site {
	t.Helper()
	need(t)
	set := shop.Commands()
	page := debug.New()
	s, err := server.New(set.Server(), shop.Shop{}, server.Conf[shop.Shop]{Use: []handler.Middleware[shop.Shop]{debug.Server[shop.Shop](page)}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	conn, err := client.NewReconnect(t.Context(), set.Client(), client.TCP(l.Addr().String()), client.Conf{Session: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	page.WatchServer("shop", s)
	page.WatchClient("till", conn)
	mux := http.NewServeMux()
	mux.Handle(debug.Path, page)
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	return &site{t: t, c: cmdstream.Use(conn, debug.Client[shop.Shop](page)), conn: conn, page: page, web: web, url: web.URL + debug.Path}
}

// order sends n commands that succeed.
func (s *site) order(n int) {
	s.t.Helper()
	for range n {
		if _, err := cmdstream.Do(s.t.Context(), s.c, shop.Order{Pieces: 1}); err != nil {
			s.t.Error(err)
			return
		}
	}
}

// refund sends a command that fails.
func (s *site) refund(text string) {
	s.t.Helper()
	if _, err := cmdstream.Do(s.t.Context(), s.c, shop.Refund{Text: text}); err == nil {
		s.t.Error("it did not fail")
	}
}

// deliver sends a command that is in flight until the test ends.
func (s *site) deliver() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cmdstream.Do(ctx, s.c, shop.Deliver{})
	}()
	s.t.Cleanup(func() {
		cancel()
		<-ended
	})
	for s.page.Snapshot().InFlight < 2 { // at both sides
		time.Sleep(time.Millisecond)
	}
}

// work sends commands of all kinds for some time.
func (s *site) work(d time.Duration) {
	s.t.Helper()
	for began := time.Now(); time.Since(began) < d; time.Sleep(time.Duration(rand.IntN(8)) * time.Millisecond) {
		s.order(1 + rand.IntN(4))
		if rand.IntN(2000) == 0 {
			s.refund("order " + strconv.Itoa(rand.IntN(1000)) + " was delivered")
		}
	}
}

// back has the page served again, where it was.
func (s *site) back(addr string) {
	s.t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		s.t.Fatal(err)
	}
	web := httptest.NewUnstartedServer(s.web.Config.Handler)
	web.Listener.Close()
	web.Listener = l
	web.Start()
	s.t.Cleanup(web.Close)
}
