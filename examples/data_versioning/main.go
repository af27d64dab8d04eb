// Data_versioning shows a command that changes while old clients are still in
// use: the server serves the old and the new version of it, each under a tag of
// its own.
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

	"github.com/cmdstream/cmdstream/server"
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(w io.Writer) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // a free port
	if err != nil {
		return err
	}
	s := server.NewDef(newSet().Server(), Greeter{})
	go s.Serve(listener) // until Close
	defer s.Close()

	ctx, addr := context.Background(), listener.Addr().String()
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
	return nil
}
