// Multi_result shows a command that sends several results: all but the last say
// that more follow.
//
//	go run ./examples/multi_result
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/transport"
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
	s := server.NewDef[Rocket](ServerCodec{}, Rocket{})
	go s.Serve(listener) // until Close
	defer s.Close()

	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return err
	}
	c, err := client.NewDef[Rocket](ClientCodec{}, conn, nil)
	if err != nil {
		return err
	}
	defer c.Close()

	// The capacity of the channel is how many results may be on their way. When
	// it is full, the server waits before it sends more.
	results := make(chan base.AsyncResult, 2)
	if _, err := c.Send(CountdownCmd{From: 3}, results); err != nil {
		return err
	}
	for {
		// Several results keep their order. An error is always the last one.
		result := <-results
		if result.Err != nil {
			return result.Err
		}
		if result.Result.LastOne() {
			fmt.Fprintln(w, "lift-off")
			return nil
		}
		fmt.Fprintln(w, result.Result)
	}
}

// ClientCodec encodes commands and decodes results, both as one varint.
type ClientCodec struct{}

// Encode writes a command.
func (ClientCodec) Encode(cmd base.Cmd[Rocket], w transport.Writer) error {
	countdown, ok := cmd.(CountdownCmd)
	if !ok {
		return fmt.Errorf("%T is no command here", cmd)
	}
	_, err := w.Write(binary.AppendUvarint(nil, countdown.From))
	return err
}

// Size returns 0, for not known: what Encode wrote is measured instead.
func (ClientCodec) Size(base.Cmd[Rocket]) int { return 0 }

// Decode reads a result.
func (ClientCodec) Decode(r transport.Reader) (base.Result, error) {
	left, err := binary.ReadUvarint(r)
	return Left(left), err
}

// ServerCodec decodes commands and encodes results.
type ServerCodec struct{}

// Decode reads a command.
func (ServerCodec) Decode(r transport.Reader) (base.Cmd[Rocket], error) {
	from, err := binary.ReadUvarint(r)
	return CountdownCmd{from}, err
}

// Encode writes a result.
func (ServerCodec) Encode(result base.Result, w transport.Writer) error {
	left, ok := result.(Left)
	if !ok {
		return fmt.Errorf("a %T is no result of a command here", result)
	}
	_, err := w.Write(binary.AppendUvarint(nil, uint64(left)))
	return err
}
