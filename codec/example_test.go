package codec_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
)

// Greeter is the receiver of the commands.
type Greeter struct{ Greeting string }

// Greet is a command with one result.
type Greet struct{ Name string }

// Run greets.
func (c Greet) Run(_ context.Context, greeter Greeter) (string, error) {
	return greeter.Greeting + ", " + c.Name, nil
}

// Wave is a command that one side lacks.
type Wave struct{ Times int }

// Run waves.
func (c Wave) Run(context.Context, Greeter) (bool, error) { return true, nil }

// A set is built once, and gives codecs to clients and servers.
func Example() {
	set := codec.NewSet[Greeter](json.Format{})
	codec.Unary[Greet](set, 1)

	cmd := base.Unary[Greeter, string, Greet]{Cmd: Greet{"world"}} // cmdstream.Do makes it
	var connection bytes.Buffer
	client, server := set.Client(), set.Server()
	fmt.Println(client.Encode(cmd, &connection))
	fmt.Printf("%q\n", connection.String())
	fmt.Println(server.Decode(&connection))

	fmt.Println(server.Encode(base.Value[string]{V: "Hello, world"}, &connection))
	fmt.Println(client.DecodeFor(cmd, &connection))
	// Output:
	// <nil>
	// "\x01\x10{\"Name\":\"world\"}"
	// {{world}} <nil>
	// <nil>
	// {Hello, world} <nil>
}

// A server that lacks a command says so, and the command has not run.
func ExampleServerCodec_Decode() {
	older, newer := codec.NewSet[Greeter](json.Format{}), codec.NewSet[Greeter](json.Format{})
	codec.Unary[Greet](older, 1)
	codec.Unary[Greet](newer, 1)
	codec.Unary[Wave](newer, 2)

	var connection bytes.Buffer
	if err := newer.Client().Encode(base.Unary[Greeter, bool, Wave]{}, &connection); err != nil {
		panic(err)
	}
	_, err := older.Server().Decode(&connection)
	fmt.Println(err)
	fmt.Println(errors.Is(err, base.ErrUnknownCmd), base.OutcomeOf(err))
	// Output:
	// cmdstream: the set has no command with the tag 2
	// true rejected
}

// A tag names one command only.
func ExampleUnary() {
	defer func() { fmt.Println(recover()) }()
	set := codec.NewSet[Greeter](json.Format{})
	codec.Unary[Greet](set, 1)
	codec.Unary[Wave](set, 1)
	// Output:
	// codec: codec_test.Greet and codec_test.Wave have the same tag 1
}
