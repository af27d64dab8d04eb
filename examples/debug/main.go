// Debug shows the debug page: what a server and a client are doing, live in a browser.
// Without an address it sends some commands, asks the page for its JSON and prints a few
// numbers of it. With one it serves the page there, with commands at work, until it is
// interrupted.
//
//	go run ./examples/debug
//	go run ./examples/debug 127.0.0.1:8080
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/debug"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/server"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	addr, work := "127.0.0.1:0", once // a free port
	if len(os.Args) > 1 {
		addr, work = os.Args[1], always
	}
	if err := run(ctx, os.Stdout, addr, work); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run serves the page on addr while work sends commands.
func run(ctx context.Context, w io.Writer, addr string, work func(ctx context.Context, w io.Writer, c cmdstream.Client[Calc], url string) error) error {
	page := debug.New()

	// The server, whose commands pass through the page.
	set := newSet()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s, err := server.New(set.Server(), Calc{}, server.Conf[Calc]{
		Use: []handler.Middleware[Calc]{debug.Server[Calc](page)},
	})
	if err != nil {
		return err
	}
	page.WatchServer("calc", s)
	go s.Serve(listener) // until Close
	defer s.Close()

	// The client likewise: here it is in the same process.
	conn, err := client.NewReconnect(ctx, set.Client(), client.TCP(listener.Addr().String()), client.Conf{Session: true})
	if err != nil {
		return err
	}
	defer conn.Close()
	page.WatchClient("calc", conn)
	c := cmdstream.Use(conn, debug.Client[Calc](page))

	// The page, on a listener of its own.
	pages, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle(debug.Path, page)
	web := &http.Server{Handler: mux}
	var serving sync.WaitGroup
	serving.Go(func() { web.Serve(pages) }) // until Close
	defer serving.Wait()
	defer web.Close()

	return work(ctx, w, c, "http://"+pages.Addr().String()+debug.Path)
}
