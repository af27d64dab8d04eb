// Max_cmd_size shows a limit of the server that clients keep: a command that is
// too large is refused before anything of it is sent, and the connection goes on.
//
//	go run ./examples/max_cmd_size
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/server"
)

// Printer is the receiver.
type Printer struct{}

// Print is a command. It returns how many bytes it was given.
type Print struct{ Text string }

// Run runs at the server.
func (c Print) Run(context.Context, Printer) (int, error) { return len(c.Text), nil }

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(w io.Writer) error {
	set := codec.NewSet[Printer](json.Format{})
	codec.Unary[Print](set, 1)

	listener, err := net.Listen("tcp", "127.0.0.1:0") // a free port
	if err != nil {
		return err
	}
	// The server tells each client its settings before the first command.
	s, err := server.New(set.Server(), Printer{}, server.Conf[Printer]{
		ServerSettings: server.Settings{MaxCmdSize: 100}, // bytes, encoded
	})
	if err != nil {
		return err
	}
	go s.Serve(listener) // until Close
	defer s.Close()

	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return err
	}
	c, err := client.NewDef(set.Client(), conn, nil)
	if err != nil {
		return err
	}
	defer c.Close()

	ctx := context.Background()
	for _, length := range []int{10, 200, 20} {
		printed, err := cmdstream.Do(ctx, c, Print{strings.Repeat("x", length)})
		switch {
		case errors.Is(err, client.ErrTooLargeCmd):
			fmt.Fprintf(w, "%d bytes of text: too large a command\n", length)
		case err != nil:
			return err
		case printed != length:
			return fmt.Errorf("%d bytes were printed, of %d", printed, length)
		default:
			fmt.Fprintf(w, "%d bytes of text: printed\n", length)
		}
	}
	return nil
}
