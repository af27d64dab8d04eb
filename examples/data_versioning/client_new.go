package main

import (
	"context"
	"errors"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
)

// newClient uses the set of today. A server of yesterday lacks the new command: the client
// knows that from the hello, refuses it before it is sent, and falls back on the old one.
func newClient(ctx context.Context, addr string) (Greeting, error) {
	c, err := client.NewReconnect(ctx, newSet().Client(), client.TCP(addr), client.Conf{})
	if err != nil {
		return Greeting{}, err
	}
	defer c.Close()
	greeting, err := cmdstream.Do(ctx, c, Greet{FirstName: "Grace", LastName: "Hopper"})
	if errors.Is(err, base.ErrUnknownCmd) {
		greeting.Text, err = cmdstream.Do(ctx, c, GreetV1{Name: "Grace Hopper"})
	}
	return greeting, err
}
