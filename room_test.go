package cmdstream_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/cmdstreamtest"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/server"
)

// Page is a result of Size letters.
type Page struct{ Size int }

func (p Page) Run(context.Context, Room) (string, error) { return strings.Repeat("p", p.Size), nil }

// Book is Pages results of Size letters.
type Book struct{ Pages, Size int }

func (b Book) Stream(_ context.Context, _ Room, send func(string) error) error {
	for range b.Pages {
		if err := send(strings.Repeat("b", b.Size)); err != nil {
			return err
		}
	}
	return nil
}

// Where a session may keep next to nothing, commands wait for each other, and none for ever:
// with small results and large ones, streams whose users are slow, and while the connection is cut.
func TestASessionWithLittleRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := codec.NewSet[Room](json.Format{})
		codec.Unary[Page](set, 1)
		codec.Stream[Book](set, 2)
		network := cmdstreamtest.NewReconnect(t, set.Client(), set.Server(), Room{}, cmdstreamtest.Conf[Room]{
			Client: client.Conf{Session: true},
			Server: server.Conf[Room]{Sessions: server.Sessions{MaxBytes: 1}},
		})
		var all sync.WaitGroup
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for i := range 600 {
			size := 900
			if i%10 == 0 {
				size = 20_000
			}
			all.Go(func() {
				for range 5 {
					if p, err := cmdstream.Do(ctx, network.Client, Page{size}); err != nil || len(p) != size {
						t.Errorf("%d letters, %v", len(p), err)
					}
				}
			})
		}
		for i := range 300 {
			size := 900
			if i%10 == 0 {
				size = 3000
			}
			all.Go(func() {
				pages := 0
				for p, err := range cmdstream.Results(ctx, network.Client, Book{50, size}) {
					if err != nil || len(p) != size {
						t.Errorf("%d letters, %v", len(p), err)
						return
					}
					pages++
					time.Sleep(10 * time.Millisecond)
				}
				if pages != 50 {
					t.Errorf("%d pages", pages)
				}
			})
		}
		for range 20 {
			time.Sleep(20 * time.Millisecond)
			network.Cut()
		}
		all.Wait()
	})
}
