// Protobuf shows typed commands that are made of protobuf messages.
//
//	go run ./examples/protobuf
//
// calcpb has the messages, as protoc-gen-go makes them. This file makes commands of them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/protobuf"
	"github.com/cmdstream/cmdstream/examples/protobuf/calcpb"
	"github.com/cmdstream/cmdstream/server"
)

//go:generate protoc --go_out=calcpb --go_opt=paths=source_relative --proto_path=calcpb calc.proto

// Calc is the receiver: the part of the server that commands work with.
type Calc struct{}

func (Calc) Add(a, b int64) int64 { return a + b }

// Add is a command: the message that travels, and what to do with it.
type Add struct{ *calcpb.AddRequest }

// Run runs at the server.
func (c Add) Run(_ context.Context, calc Calc) (*calcpb.Sum, error) {
	return &calcpb.Sum{Value: calc.Add(c.A, c.B)}, nil
}

// Count is a command with many results.
type Count struct{ *calcpb.CountRequest }

// Stream runs at the server. An error of send says that nobody wants more.
func (c Count) Stream(_ context.Context, _ Calc, send func(*calcpb.Sum) error) error {
	if c.To < 1 {
		return errors.New("there is nothing to count")
	}
	for n := range int64(c.To) {
		if err := send(&calcpb.Sum{Value: n + 1}); err != nil {
			return err
		}
	}
	return nil
}

// newSet lists the commands that client and server share.
func newSet() *codec.Set[Calc] {
	set := codec.NewSet[Calc](protobuf.Format{})
	codec.Unary[Add](set, 1)
	codec.Stream[Count](set, 2)
	return set
}

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(w io.Writer) error {
	set := newSet()
	listener, err := net.Listen("tcp", "127.0.0.1:0") // a free port
	if err != nil {
		return err
	}
	s := server.NewDef(set.Server(), Calc{})
	go s.Serve(listener) // until Close
	defer s.Close()

	ctx := context.Background()
	c, err := client.NewReconnect(ctx, set.Client(), client.TCP(listener.Addr().String()), client.Conf{})
	if err != nil {
		return err
	}
	defer c.Close()

	sum, err := cmdstream.Do(ctx, c, Add{&calcpb.AddRequest{A: 2, B: 3}}) // a *calcpb.Sum
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "2 + 3 =", sum.Value)

	for n, err := range cmdstream.Results(ctx, c, Count{&calcpb.CountRequest{To: 3}}) {
		if err != nil {
			return err
		}
		fmt.Fprintln(w, "counted", n.Value)
	}

	// The error of a command comes as it was, here as the only pair of the loop.
	for n, err := range cmdstream.Results(ctx, c, Count{&calcpb.CountRequest{}}) {
		if err == nil {
			return fmt.Errorf("counting to 0 gave %d", n.Value)
		}
		fmt.Fprintln(w, "failed:", err)
	}

	// A command without its message never leaves.
	_, err = cmdstream.Do(ctx, c, Add{})
	if err == nil {
		return errors.New("a command without a message was sent")
	}
	fmt.Fprintln(w, "failed:", err)
	return nil
}
