package main

import (
	"context"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
)

// For each method of the service there is a command, which calls it at the
// server. The receiver of the commands is the same interface.
type (
	addCmd    struct{ A, B int }
	divideCmd struct{ A, B int }
)

func (c addCmd) Run(ctx context.Context, calculator Calculator) (int, error) {
	return calculator.Add(ctx, c.A, c.B)
}

func (c divideCmd) Run(ctx context.Context, calculator Calculator) (int, error) {
	return calculator.Divide(ctx, c.A, c.B)
}

func newSet() *codec.Set[Calculator] {
	set := codec.NewSet[Calculator](json.Format{})
	codec.Unary[addCmd](set, 1)
	codec.Unary[divideCmd](set, 2)
	return set
}

// Remote is a Calculator whose work is done at a server.
type Remote struct{ client *client.Client[Calculator] }

// NewRemote connects to the server at addr.
func NewRemote(ctx context.Context, addr string) (*Remote, error) {
	c, err := client.NewReconnect(ctx, newSet().Client(), client.TCP(addr), client.Conf{})
	if err != nil {
		return nil, err
	}
	return &Remote{c}, nil
}

// Close ends the connection.
func (r *Remote) Close() error { return r.client.Close() }

// Add adds at the server.
func (r *Remote) Add(ctx context.Context, a, b int) (int, error) {
	return cmdstream.Do(ctx, r.client, addCmd{a, b})
}

// Divide divides at the server. An error of the service comes back with its text.
func (r *Remote) Divide(ctx context.Context, a, b int) (int, error) {
	return cmdstream.Do(ctx, r.client, divideCmd{a, b})
}
