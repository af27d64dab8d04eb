// Standard shows the command form: commands that send their results themselves,
// and codecs written by hand.
//
//	go run ./examples/standard
//
// command.go has what is common to both sides: the receiver, the commands and
// their result. codec.go turns them into bytes and back.
package main

import (
	"fmt"
	"io"
	"net"
	"os"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/server"
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(w io.Writer) error {
	// The server runs every command that it receives against one Calculator.
	listener, err := net.Listen("tcp", "127.0.0.1:0") // a free port
	if err != nil {
		return err
	}
	s := server.NewDef[Calculator](ServerCodec{}, Calculator{})
	go s.Serve(listener) // until Close
	defer s.Close()

	// The client sends commands over one connection, which is now its own.
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return err
	}
	c, err := client.NewDef[Calculator](ClientCodec{}, conn, nil)
	if err != nil {
		return err
	}
	defer c.Close()

	// Send does not wait for the result: it comes through the channel, along
	// with the number that Send has returned for the command.
	equations := []struct {
		text string
		cmd  base.Cmd[Calculator]
		want Result
	}{
		{"10 + 4", AddCmd{10, 4}, 14},
		{"10 - 4", SubCmd{10, 4}, 6},
		{"-7 + 7", AddCmd{-7, 7}, 0},
	}
	results := make(chan base.AsyncResult, len(equations))
	for _, equation := range equations {
		seq, err := c.Send(equation.cmd, results)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "sent command %d: %s\n", seq, equation.text)
	}

	// The server runs commands at the same time, so results come in any order.
	answers := make(map[base.Seq]base.Result)
	for range equations {
		result := <-results
		if result.Err != nil {
			return result.Err
		}
		answers[result.Seq] = result.Result
	}
	for i, equation := range equations {
		answer := answers[base.Seq(i+1)]
		if answer != equation.want {
			return fmt.Errorf("%s = %v, which is wrong", equation.text, answer)
		}
		fmt.Fprintf(w, "%s = %v\n", equation.text, answer)
	}
	return nil
}
