package main

import (
	"context"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/client"
)

// newClient uses the set of today.
func newClient(ctx context.Context, addr string) (Greeting, error) {
	c, err := client.NewReconnect(ctx, newSet().Client(), client.TCP(addr), client.Conf{})
	if err != nil {
		return Greeting{}, err
	}
	defer c.Close()
	return cmdstream.Do(ctx, c, Greet{FirstName: "Grace", LastName: "Hopper"})
}
