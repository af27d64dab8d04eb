// Mus shows MUS, a format of few bytes: in a set of typed commands, and in the codecs of
// the command form.
//
//	go run ./examples/mus
//
// commands.go has the receiver and the commands, serializers.go turns them into bytes.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/mus"
	"github.com/cmdstream/cmdstream/server"
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(w io.Writer) error {
	if err := typed(w); err != nil {
		return err
	}
	return commandForm(w)
}

// newSet lists the typed commands that client and server share. Strings and the like have
// serializers anyhow.
func newSet() *codec.Set[Greeter] {
	set := codec.NewSet[Greeter](mus.NewFormat(mus.For[Greet](greetSer{})))
	codec.Stream[Greet](set, 1)
	return set
}

func typed(w io.Writer) error {
	set := newSet()
	c, stop, err := connect(set.Client(), set.Server())
	if err != nil {
		return err
	}
	defer stop()
	for text, err := range cmdstream.Results(context.Background(), c, Greet{Names: []string{"Ada", "Bob"}}) {
		if err != nil {
			return err
		}
		fmt.Fprintln(w, text)
	}
	return nil
}

// newCodec lists the commands and results of the command form, each under its tag.
func newCodec() *mus.Codec[Greeter] {
	return mus.NewCodec(
		mus.Command[Greeter](1, greetCmdSer{}),
		mus.Result[Greeter](1, greetingSer{}),
	)
}

func commandForm(w io.Writer) error {
	codec := newCodec()
	c, stop, err := connect(codec.Client(), codec.Server())
	if err != nil {
		return err
	}
	defer stop()
	cmd := GreetCmd{Greet{Names: []string{"Ada", "Bob"}, Loud: true}}
	fmt.Fprintln(w, "a command of", codec.Client().Size(cmd), "bytes")
	for result, err := range c.Results(context.Background(), cmd) {
		if err != nil {
			return err
		}
		if !result.LastOne() {
			fmt.Fprintln(w, result)
		}
	}
	return nil
}

// connect starts a server on a free port, and a client of it.
func connect(clientCodec client.Codec[Greeter], serverCodec server.Codec[Greeter]) (c *client.Client[Greeter], stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	s := server.NewDef(serverCodec, Greeter{Greeting: "Hello"})
	go s.Serve(listener) // until Close
	c, err = client.NewReconnect(context.Background(), clientCodec, client.TCP(listener.Addr().String()), client.Conf{})
	if err != nil {
		s.Close()
		return nil, nil, err
	}
	return c, func() { c.Close(); s.Close() }, nil
}
