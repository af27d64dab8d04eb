// Reconnect shows a client that outlives its server: it dials until the server
// is there again, and commands that come meanwhile wait for it.
//
//	go run ./examples/reconnect
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/server"
)

// Server is the receiver: it knows which server it is.
type Server string

// Name is a command that asks for it.
type Name struct{}

// Run runs at the server.
func (Name) Run(_ context.Context, s Server) (string, error) { return string(s), nil }

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(w io.Writer) error {
	set := codec.NewSet[Server](json.Format{})
	codec.Unary[Name](set, 1)

	listener, err := net.Listen("tcp", "127.0.0.1:0") // a free port
	if err != nil {
		return err
	}
	addr := listener.Addr().String()
	first := server.NewDef(set.Server(), Server("the first server"))
	go first.Serve(listener) // until Close
	defer first.Close()

	// A command that can't get a connection in this time is an error.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	// The callback hears of each step; failed attempts to connect are steps too.
	states := make(chan client.State, 10)
	c, err := client.NewReconnect(ctx, set.Client(), client.TCP(addr), client.Conf{
		StateCallback: func(change client.StateChange) {
			if change.Attempt == 0 {
				states <- change.State
			}
		},
	})
	if err != nil {
		return err
	}
	defer c.Close()

	ask := func() error {
		name, err := cmdstream.Do(ctx, c, Name{})
		if err == nil {
			fmt.Fprintln(w, "answered by", name)
		}
		return err
	}
	fmt.Fprintln(w, "client:", <-states)
	if err := ask(); err != nil {
		return err
	}

	first.Close()
	fmt.Fprintln(w, "client:", <-states)

	// The second server takes its time; the command waits for it.
	second := server.NewDef(set.Server(), Server("the second server"))
	defer second.Close()
	time.AfterFunc(100*time.Millisecond, func() { second.ListenAndServe(addr) })
	if err := ask(); err != nil {
		return err
	}
	fmt.Fprintln(w, "client:", <-states)
	return nil
}
