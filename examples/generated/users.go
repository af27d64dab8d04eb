package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
)

//go:generate go run ../../cmd/cmdstream gen -type Users

// Users is the service, as its callers see it. `go generate ./examples/generated` writes
// users_cmdstream.go from it.
type Users interface {
	// Add adds a user, and returns the user's number.
	Add(ctx context.Context, name string) (int, error)
	// Get returns a user, or ErrNotFound.
	Get(ctx context.Context, id int) (User, error)
	// List yields the users whose names begin with prefix.
	List(ctx context.Context, prefix string) iter.Seq2[User, error]
}

// User is one of them.
type User struct {
	ID   int
	Name string
}

// ErrNotFound says that there is no such user. A caller finds it by errors.Is, wherever the
// users are.
var ErrNotFound = errors.New("no such user")

// local is the service itself.
type local struct {
	mu    sync.Mutex
	names []string
}

// NewLocal returns Users in memory.
func NewLocal() Users { return &local{} }

func (l *local) Add(_ context.Context, name string) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names = append(l.names, name)
	return len(l.names), nil
}

func (l *local) Get(_ context.Context, id int) (User, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if id < 1 || id > len(l.names) {
		return User{}, fmt.Errorf("user %d: %w", id, ErrNotFound)
	}
	return User{id, l.names[id-1]}, nil
}

func (l *local) List(ctx context.Context, prefix string) iter.Seq2[User, error] {
	return func(yield func(User, error) bool) {
		for id := 1; ; id++ {
			user, err := l.Get(ctx, id)
			if err != nil {
				return // that was the last one
			}
			if strings.HasPrefix(user.Name, prefix) && !yield(user, nil) {
				return
			}
		}
	}
}
