package main

import (
	"context"
	"errors"
)

// Calculator is the service, as its callers see it. Each method has a ctx and an
// error: what is remote can be slow, and can fail.
type Calculator interface {
	Add(ctx context.Context, a, b int) (int, error)
	Divide(ctx context.Context, a, b int) (int, error)
}

type local struct{}

// NewLocal returns a Calculator that calculates here.
func NewLocal() Calculator { return local{} }

func (local) Add(_ context.Context, a, b int) (int, error) { return a + b, nil }

func (local) Divide(_ context.Context, a, b int) (int, error) {
	if b == 0 {
		return 0, errors.New("division by zero")
	}
	return a / b, nil
}
