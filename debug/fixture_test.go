package debug_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/cmdstreamtest"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/debug"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/server"
)

// World is the receiver: what a command of Work does, by its name.
type World map[string]func(ctx context.Context) error

// Work takes so long, and does what the World says.
type Work struct {
	Name string
	Took time.Duration
}

func (w Work) Run(ctx context.Context, world World) (string, error) {
	time.Sleep(w.Took)
	if does := world[w.Name]; does != nil {
		return w.Name, does(ctx)
	}
	return w.Name, nil
}

// Count sends numbers, and ends as the World says of "count".
type Count struct{ To int }

func (c Count) Stream(ctx context.Context, world World, send func(int) error) error {
	for n := range c.To {
		if err := send(n); err != nil {
			return err
		}
	}
	if does := world["count"]; does != nil {
		return does(ctx)
	}
	return nil
}

func newSet() *codec.Set[World] {
	set := codec.NewSet[World](json.Format{})
	codec.Unary[Work](set, 1)
	codec.Stream[Count](set, 2)
	return set
}

// connect returns a client whose commands a page sees, at both sides.
func connect(t testing.TB, page *debug.Page, world World) (cmdstream.Client[World], *client.Client[World]) {
	t.Helper()
	set := newSet()
	conn := cmdstreamtest.New(t, set.Client(), set.Server(), world, cmdstreamtest.Conf[World]{Server: server.Conf[World]{
		Use:     []handler.Middleware[World]{debug.Server[World](page)},
		OnPanic: func(handler.Panic) {},
	}})
	return cmdstream.Use(conn, debug.Client[World](page)), conn
}

// find returns what the page shows of a type of commands.
func find(t testing.TB, page *debug.Page, side, name string) debug.CommandInfo {
	t.Helper()
	for _, c := range page.Snapshot().Commands {
		if c.Side == side && c.Name == name {
			return c
		}
	}
	t.Fatalf("the page shows no %s at the %s", name, side)
	return debug.CommandInfo{}
}

// both are the sides of a command.
var both = []string{debug.ServerSide, debug.ClientSide}

// bubble runs a test with a clock of its own, in which all waits take no time.
func bubble(t *testing.T, test func(t *testing.T)) { synctest.Test(t, test) }

func goexit(context.Context) error { runtime.Goexit(); return nil }
