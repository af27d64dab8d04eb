// Keepalive shows pings. While the client has nothing to say it sends one zero
// byte every now and then, and gets one back: so the server knows that the
// client is there, and the client that the server is.
//
//	go run ./examples/keepalive
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

// Echo is a command. It needs nothing of its receiver.
type Echo struct{ Text string }

// Run runs at the server.
func (c Echo) Run(context.Context, struct{}) (string, error) { return c.Text, nil }

const (
	// patience is how long the server keeps a client that says nothing at all.
	patience = 600 * time.Millisecond
	// idle is how long the client says nothing before it pings, interval the time
	// from one ping to the next, and that in which the answer must come.
	idle, interval = 200 * time.Millisecond, 200 * time.Millisecond
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(w io.Writer) error {
	set := codec.NewSet[struct{}](json.Format{})
	codec.Unary[Echo](set, 1)

	listener, err := net.Listen("tcp", "127.0.0.1:0") // a free port
	if err != nil {
		return err
	}
	s, err := server.New(set.Server(), struct{}{}, server.Conf[struct{}]{ReceiveTimeout: patience})
	if err != nil {
		return err
	}
	go s.Serve(listener) // until Close
	defer s.Close()

	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return err
	}
	counting := &countingConn{Conn: conn}
	ctx := context.Background()
	c, err := client.New(ctx, set.Client(), counting, client.Conf{KeepaliveTime: idle, KeepaliveIntvl: interval})
	if err != nil {
		return err
	}
	defer c.Close()

	echo := func(text string) error {
		answer, err := cmdstream.Do(ctx, c, Echo{text})
		if err == nil {
			fmt.Fprintln(w, "the server says:", answer)
		}
		return err
	}
	if err := echo("hello"); err != nil {
		return err
	}
	time.Sleep(patience * 3 / 2) // without a command
	if pings, pongs := counting.pings.Load(), counting.pongs.Load(); pings < 3 || pongs < 3 {
		return fmt.Errorf("there were only %d pings and %d pongs", pings, pongs)
	}
	fmt.Fprintln(w, "there were at least 3 pings, and 3 answers to them")

	// Without the pings the server would have closed the connection by now.
	return echo("still here")
}
