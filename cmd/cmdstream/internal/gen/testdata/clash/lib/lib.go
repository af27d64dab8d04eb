// Package template has the name of two others.
package template

import "context"

// Pair is generic.
type Pair[K comparable, V any] struct {
	Key   K
	Value V
}

// Store is an interface of another package.
type Store[T any] interface {
	Load(ctx context.Context, key string) (T, error)
	Keep(ctx context.Context, key string, value T, more ...Pair[string, T]) error
}

// Name is an alias of what is not exported.
type Name = name

type name string
