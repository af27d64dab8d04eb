// Package store is an interface with methods of many shapes, an implementation of it, and
// what `cmdstream gen` makes of it: the tests run one suite on both.
package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

//go:generate go run github.com/cmdstream/cmdstream/cmd/cmdstream gen -type Store

// Store keeps users.
type Store interface {
	Get(ctx context.Context, id int) (User, error)
	Save(ctx context.Context, user *User) (id int, created bool, err error)
	Delete(ctx context.Context, ids ...int) error
	List(ctx context.Context, q Query) iter.Seq2[User, error]
	Count(ctx context.Context) (int, error)
	Tags(ctx context.Context, id int) ([]string, map[string]int, *time.Time, error)
	Rename(context.Context, int, string) error
	Ping() error
	Pages(ctx context.Context, err int, yield []byte) Pages
	Page(ctx context.Context, page Page[User]) (Page[*User], error)
	Wait(ctx context.Context) error
	Any(ctx context.Context, value any) (any, error)
	Failing
}

// Failing is embedded.
type Failing interface {
	Fail(ctx context.Context, how string) error
	Panic(ctx context.Context) (string, error)
}

// User is one of them.
type User struct {
	ID      int
	Name    string
	Born    time.Time
	Manager *User
	Labels  map[string][]string
	Photo   []byte
}

// Query chooses users.
type Query struct {
	Prefix string
	Fail   string // after the users, the error
}

// Page is some of many.
type Page[T any] struct {
	Items []T
	Next  Cursor
}

// Cursor is an alias.
type Cursor = cursor

type cursor string

// Pages is an iterator type of its own.
type Pages iter.Seq2[Page[User], error]

// The errors.
var (
	ErrNotFound = errors.New("no such user")
	errLocked   = errors.New("the store is locked")
)

// ErrText is an error that is a constant.
const ErrText = Text("some text")

// Text is an error.
type Text string

func (t Text) Error() string { return string(t) }

// QuotaError is an error with data.
type QuotaError struct{ Limit, Used int }

func (e *QuotaError) Error() string { return fmt.Sprintf("%d of %d are used", e.Used, e.Limit) }

// CauseError can't travel whole.
type CauseError struct{ Cause error }

func (e CauseError) Error() string { return "because of " + e.Cause.Error() }

// Unwrap returns the cause.
func (e CauseError) Unwrap() error { return e.Cause }

// Memory is a Store in memory.
type Memory struct {
	mu    sync.Mutex
	users map[int]User
	last  int
	// Left is told when a loop over List ends early.
	Left chan struct{}
}

// NewMemory returns an empty one.
func NewMemory() *Memory {
	return &Memory{users: make(map[int]User), Left: make(chan struct{}, 10)}
}

// Get returns a user.
func (m *Memory) Get(_ context.Context, id int) (User, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	user, ok := m.users[id]
	if !ok {
		return User{}, fmt.Errorf("user %d: %w", id, ErrNotFound)
	}
	return user, nil
}

// Save keeps a user; nil: none.
func (m *Memory) Save(_ context.Context, user *User) (id int, created bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if user == nil {
		return 0, false, nil
	}
	saved := *user
	if saved.ID == 0 {
		m.last++
		saved.ID, created = m.last, true
	}
	m.users[saved.ID] = saved
	return saved.ID, created, nil
}

// Delete deletes users.
func (m *Memory) Delete(_ context.Context, ids ...int) error {
	if ids == nil {
		return errors.New("nothing to delete")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		delete(m.users, id)
	}
	return nil
}

// List yields users in the order of their ids.
func (m *Memory) List(_ context.Context, q Query) iter.Seq2[User, error] {
	return func(yield func(User, error) bool) {
		m.mu.Lock()
		ids := slices.Sorted(maps.Keys(m.users))
		m.mu.Unlock()
		for _, id := range ids {
			user, err := m.Get(context.Background(), id)
			if err == nil && strings.HasPrefix(user.Name, q.Prefix) && !yield(user, nil) {
				m.Left <- struct{}{}
				return
			}
		}
		if q.Fail != "" {
			yield(User{}, m.Fail(context.Background(), q.Fail))
		}
	}
}

// Count counts.
func (m *Memory) Count(context.Context) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.users), nil
}

// Tags returns nothing but nils for 0, what is empty for 1, and something for others.
func (m *Memory) Tags(_ context.Context, id int) ([]string, map[string]int, *time.Time, error) {
	switch id {
	case 0:
		return nil, nil, nil, nil
	case 1:
		return []string{}, map[string]int{}, new(time.Unix(0, 0).UTC()), nil
	}
	return []string{"a"}, map[string]int{"a": id}, new(time.Date(2025, 1, 2, 3, 4, 5, 6, time.UTC)), nil
}

// Rename renames a user.
func (m *Memory) Rename(ctx context.Context, id int, name string) error {
	user, err := m.Get(ctx, id)
	if err != nil {
		return err
	}
	user.Name = name
	_, _, err = m.Save(ctx, &user)
	return err
}

// Ping does nothing.
func (m *Memory) Ping() error { return nil }

// Pages yields as many pages as it is told, each with a user who has the photo.
func (m *Memory) Pages(_ context.Context, n int, photo []byte) Pages {
	return func(yield func(Page[User], error) bool) {
		for i := range n {
			if !yield(Page[User]{Items: []User{{ID: i, Photo: photo}}, Next: Cursor(fmt.Sprint(i + 1))}, nil) {
				return
			}
		}
	}
}

// Page turns users into pointers, and one without an id into nil.
func (m *Memory) Page(_ context.Context, page Page[User]) (Page[*User], error) {
	out := Page[*User]{Next: page.Next}
	for _, user := range page.Items {
		if user.ID == 0 {
			out.Items = append(out.Items, nil)
			continue
		}
		out.Items = append(out.Items, &user)
	}
	return out, nil
}

// Wait waits for the end of ctx.
func (m *Memory) Wait(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// Any returns what it gets.
func (m *Memory) Any(_ context.Context, value any) (any, error) { return value, nil }

// Fail fails.
func (m *Memory) Fail(_ context.Context, how string) error {
	switch how {
	case "not found":
		return ErrNotFound
	case "locked":
		return fmt.Errorf("at this time:\n%w", errLocked)
	case "both":
		return errors.Join(ErrNotFound, errLocked)
	case "text":
		return ErrText
	case "quota":
		return fmt.Errorf("saving: %w", &QuotaError{Limit: 3, Used: 3})
	case "cause":
		return CauseError{ErrNotFound}
	case "deadline":
		return fmt.Errorf("the disk: %w", context.DeadlineExceeded)
	case "empty":
		return errors.New("")
	}
	return errors.New(how)
}

// Panic panics.
func (m *Memory) Panic(context.Context) (string, error) { panic("out of order") }
