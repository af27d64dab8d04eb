package main

import (
	"context"
	"errors"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
)

// OldGreet is what the command was when this client was written.
type OldGreet struct{ Name string }

// CommandName is the name that it has in common with the server's: a command is its tag,
// its name and its fields. Without it that is the name of the Go type.
func (OldGreet) CommandName() string { return "GreetV1" }

// Run is never called at a client. It says that the result is a string.
func (OldGreet) Run(context.Context, Greeter) (string, error) {
	return "", errors.New("this is the client")
}

// oldClient has a set of its own time, with the one tag of then.
func oldClient(ctx context.Context, addr string) (string, error) {
	set := codec.NewSet[Greeter](json.Format{})
	codec.Unary[OldGreet](set, 1)

	c, err := client.NewReconnect(ctx, set.Client(), client.TCP(addr), client.Conf{})
	if err != nil {
		return "", err
	}
	defer c.Close()
	return cmdstream.Do(ctx, c, OldGreet{Name: "Ada"})
}
