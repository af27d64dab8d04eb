// Package shop is a service whose commands the debug page shows, for its tests and its
// picture.
package shop

import (
	"context"
	"errors"

	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
)

// Shop is the receiver.
type Shop struct{}

// Order succeeds.
type Order struct{ Pieces int }

// Run runs at the server.
func (o Order) Run(context.Context, Shop) (int, error) { return o.Pieces, nil }

// Refund fails, in words of the client's choice.
type Refund struct{ Text string }

// Run runs at the server.
func (r Refund) Run(context.Context, Shop) (int, error) { return 0, errors.New(r.Text) }

// Deliver takes until it is given up.
type Deliver struct{}

// Run runs at the server.
func (Deliver) Run(ctx context.Context, _ Shop) (int, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

// Look is a command whose name is hostile, if T is.
type Look[T any] struct{}

// Run runs at the server.
func (Look[T]) Run(context.Context, Shop) (int, error) { return 0, nil }

// Hostile is for Look.
type Hostile = struct {
	X int `html:"<img src=x onerror=window.harm=1><script>window.harm=1</script>"`
}

// Commands are those of the shop.
func Commands() *codec.Set[Shop] {
	set := codec.NewSet[Shop](json.Format{})
	codec.Unary[Order](set, 1)
	codec.Unary[Refund](set, 2)
	codec.Unary[Deliver](set, 3)
	codec.Unary[Look[Hostile]](set, 4)
	return set
}
