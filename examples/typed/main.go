// Typed shows the typed form: commands that return values, a set that encodes
// them, and calls whose result types the compiler infers.
//
//	go run ./examples/typed
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
	"github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/server"
)

// Calc is the receiver: the part of the server that commands work with.
type Calc struct{}

func (Calc) Add(a, b int) int { return a + b }

// Add is a command with one result: it has a Run method.
type Add struct{ A, B int }

// Run runs at the server.
func (c Add) Run(_ context.Context, calc Calc) (int, error) {
	return calc.Add(c.A, c.B), nil
}

// Count is a command with many results: it has a Stream method.
type Count struct{ To int }

// Stream runs at the server. An error of send says that nobody wants more.
func (c Count) Stream(_ context.Context, _ Calc, send func(int) error) error {
	if c.To < 1 {
		return errors.New("there is nothing to count")
	}
	for n := 1; n <= c.To; n++ {
		if err := send(n); err != nil {
			return err
		}
	}
	return nil
}

// newSet lists the commands that client and server share, each under a tag: its
// name on the wire, which it keeps for good.
func newSet() *codec.Set[Calc] {
	set := codec.NewSet[Calc](json.Format{})
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

	sum, err := cmdstream.Do(ctx, c, Add{2, 3}) // an int
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "2 + 3 =", sum)

	for n, err := range cmdstream.Results(ctx, c, Count{3}) {
		if err != nil {
			return err
		}
		fmt.Fprintln(w, "counted", n)
	}

	// The error of a command comes as it was, here as the only pair of the loop.
	for n, err := range cmdstream.Results(ctx, c, Count{0}) {
		if err == nil {
			return fmt.Errorf("counting to 0 gave %d", n)
		}
		fmt.Fprintln(w, "failed:", err)
	}
	return nil
}
