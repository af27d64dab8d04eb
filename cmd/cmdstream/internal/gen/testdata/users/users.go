// Package users is the example of the issue.
package users

import (
	"context"
	"errors"
	"iter"
)

// Users are the users.
type Users interface {
	// Get returns a user, or ErrNotFound.
	Get(ctx context.Context, id int) (User, error)
	List(ctx context.Context, q Query) iter.Seq2[User, error]
	Delete(ctx context.Context, ids ...int) error
	// Swap is for what has several results.
	Swap(ctx context.Context, a, b string) (first, second string, err error)
	Close() error
}

// User is one.
type User struct {
	ID   int
	Name string
}

// Query chooses some.
type Query struct{ Prefix string }

// ErrNotFound says that there is no such user.
var ErrNotFound = errors.New("no such user")
