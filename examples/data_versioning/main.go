// Data_versioning shows a command that changes while old clients are still in
// use: the server serves the old and the new version of it, each under a tag of
// its own. And clients of today meet a server of yesterday, for the two are deployed in
// any order.
//
//	go run ./examples/data_versioning
//
// server.go is the server of today. client_old.go was written before the change
// and knows nothing of it; client_new.go is of today too.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/server"
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(w io.Writer) error {
	ctx := context.Background()
	addr, stop, err := serve(newSet())
	if err != nil {
		return err
	}
	defer stop()
	text, err := oldClient(ctx, addr)
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "the old client got:", text)

	greeting, err := newClient(ctx, addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "the new client got: %s (%d letters)\n", greeting.Text, greeting.Letters)

	addr, stopOld, err := serve(oldSet())
	if err != nil {
		return err
	}
	defer stopOld()
	if greeting, err = newClient(ctx, addr); err != nil {
		return err
	}
	fmt.Fprintln(w, "from the old server it got:", greeting.Text)
	return nil
}

// serve serves a set on a free port, until stop.
func serve(set *codec.Set[Greeter]) (addr string, stop func() error, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := server.NewDef(set.Server(), Greeter{})
	go s.Serve(listener)
	return listener.Addr().String(), s.Close, nil
}
