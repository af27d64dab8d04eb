// Package codec has names that those of the written file could clash with.
package codec

import (
	"context"
	. "errors"
	htmltemplate "html/template"
	iterators "iter"
	storage "net/netip"
	. "time"

	lib "github.com/cmdstream/cmdstream/cmd/cmdstream/internal/gen/testdata/clash/lib"
)

// Store has methods, parameters and types with names that mean something else elsewhere.
type Store interface {
	Get(ctx context.Context, nil int, string string, error bool) (int, error)
	GetCommand(_ context.Context, _ int, _ string) (_ int, err error)
	GetResult(first context.Context, c, r, err, yield, receiver int) (set, send string, format error)
	Client(ctx context.Context, client, cmdstream, stub, codec, context int) error
	client(time Time, template htmltemplate.HTML) (Duration, error)
	client_(ctx context.Context, Store, storeClient, storeErrors int) error
	Errors(ctx context.Context, iter, iter2 int) iterators.Seq2[c, error]
	Own(context.Context, *stub, []cmdstream, map[ctx]*c) (*c, [2]ctx, error)
	Template(htmltemplate.JS, *struct{ A, B lib.Name }) (lib.Name, error)
	StoreCommands(_ context.Context, p2 int, _ int) error
	lib.Store[[]*lib.Pair[Time, storage.Addr]]
	Same
	Other
}

// Same and Other overlap.
type (
	Same interface {
		Ping(ctx context.Context, in ...[]byte) error
	}
	Other interface {
		Ping(context.Context, ...[]byte) error
		Stats(ctx context.Context) (struct {
			Running int `json:"running"`
			hidden  int `json:"-"`
		}, error)
	}
)

type (
	c      struct{ C *c }
	ctx    string
	format interface {
		Format(ctx context.Context) error
	}
	stub        = int
	cmdstream   struct{ At Time }
	storeClient struct{}
)

func (c) private() int { return struct{ hidden int }{}.hidden }

var (
	_ = c{}.private
	_ = storeClient{}
	_ = storage.ParseAddr

	set, err       = New("set"), New("err")
	ErrB     error = Hidden{}
	changed        = New("changed")
	handed         = New("handed")
	unset    error
)

// Hidden is an error that no client could know.
type Hidden struct{ cause error }

// Error returns the cause.
func (h Hidden) Error() string { return h.cause.Error() }

// Generic is an error type that has no one name.
type Generic[T any] struct{ V T }

// Error returns nothing.
func (Generic[T]) Error() string { return "" }

func change() (*error, error) {
	changed = New("another")
	return &handed, unset
}

var _ = change

func max(a, b int) int { return a }

var _ = max
