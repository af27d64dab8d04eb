package main

import (
	"context"
	"errors"
	"time"

	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
)

// Calc is the receiver.
type Calc struct{}

// Add is done at once.
type Add struct{ A, B int }

// Run runs at the server.
func (c Add) Run(context.Context, Calc) (int, error) { return c.A + c.B, nil }

// Divide may fail.
type Divide struct{ A, B int }

// Run runs at the server.
func (c Divide) Run(context.Context, Calc) (int, error) {
	if c.B == 0 {
		return 0, errors.New("division by zero")
	}
	return c.A / c.B, nil
}

// Factor takes a while.
type Factor struct{ N, Milliseconds int }

// Run runs at the server.
func (c Factor) Run(ctx context.Context, _ Calc) ([]int, error) {
	select {
	case <-time.After(time.Duration(c.Milliseconds) * time.Millisecond):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var factors []int
	for n, factor := c.N, 2; n > 1; factor++ {
		for ; n%factor == 0; n /= factor {
			factors = append(factors, factor)
		}
	}
	return factors, nil
}

func newSet() *codec.Set[Calc] {
	set := codec.NewSet[Calc](json.Format{})
	codec.Unary[Add](set, 1)
	codec.Unary[Divide](set, 2)
	codec.Unary[Factor](set, 3)
	return set
}
