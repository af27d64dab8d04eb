package integration_test

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/server"
)

// explode panics.
type explode struct{ Number int }

func (e explode) Run(context.Context, struct{}) (int, error) { panic(e.Number) }

// calm does not.
type calm struct{}

func (calm) Run(context.Context, struct{}) (string, error) { return "alive", nil }

// However many commands panic, the connection and the process live, and nothing of them stays.
// `make panics` has a million do so, for half a minute.
func TestManyCommandsPanic(t *testing.T) {
	count, err := strconv.Atoi(os.Getenv("PANICS"))
	if err != nil {
		count = 20_000
	}
	set := codec.NewSet[struct{}](json.Format{})
	codec.Unary[explode](set, 1)
	codec.Unary[calm](set, 2)
	var heard atomic.Int64
	s, err := server.New(set.Server(), struct{}{}, server.Conf[struct{}]{Logger: quiet, OnPanic: func(handler.Panic) { heard.Add(1) }})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(listener)
	defer s.Close()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(t.Context(), set.Client(), conn, client.Conf{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	before := usageNow()
	var work sync.WaitGroup
	const callers = 32 // each has its next command run before its last one has quite returned
	for caller := range callers {
		work.Go(func() {
			for n := caller; n < count; n += callers {
				_, err := cmdstream.Do(t.Context(), c, explode{n})
				if !errors.Is(err, base.ErrPanic) || base.OutcomeOf(err) != base.Failed {
					t.Errorf("command %d: %v", n, err)
					return
				}
			}
		})
	}
	work.Wait()
	if got, err := cmdstream.Do(t.Context(), c, calm{}); got != "alive" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	eventually(t, "all have returned", func() bool { return s.Stats().Running == 0 }) // a moment after the answer
	if stats := s.Stats(); stats.Panics != uint64(count) || heard.Load() != int64(count) {
		t.Errorf("OnPanic heard of %d; %+v", heard.Load(), stats)
	}
	t.Logf("%d panics", count)
	wantBack(t, before, usageNow, usage{Goroutines: 64}) // those that the pool has parked
}
