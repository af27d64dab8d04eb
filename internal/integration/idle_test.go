package integration_test

import (
	"context"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/server"
)

// Letter answers by a text, after a while. It does not touch its ctx, so that its record may
// serve another command.
type Letter struct{ Size int }

func (l Letter) Run(context.Context, struct{}) (string, error) {
	time.Sleep(time.Millisecond)
	return strings.Repeat("d", l.Size), nil
}

// A connection that was busy, and is idle, takes no more memory at the server than one that never
// was, and is as good as before.
func TestABusyConnectionThatIsIdleIsSmall(t *testing.T) {
	const n, together, size = 100, 100, 200
	const least = 40_000 // that it had for 64 commands, and as buffers
	set := codec.NewSet[struct{}](json.Format{})
	codec.Unary[Letter](set, 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := server.NewDef(set.Server(), struct{}{})
	go s.Serve(l)
	defer s.Close()
	var clients []*client.Client[struct{}]
	for range n {
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c, err := client.NewDef(set.Client(), nc, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients = append(clients, c)
	}
	all := func(together int) {
		var calls sync.WaitGroup
		for _, c := range clients {
			for range together {
				calls.Go(func() {
					if text, err := cmdstream.Do(t.Context(), c, Letter{size}); err != nil || len(text) != size {
						t.Errorf("%d letters, %v", len(text), err)
					}
				})
			}
		}
		calls.Wait()
	}
	memory := func() int {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc+m.StackInuse) / n
	}
	all(together)
	busy, idle := memory(), 0
	for range 150 {
		time.Sleep(100 * time.Millisecond)
		if idle = memory(); idle < busy-least {
			break
		}
	}
	t.Logf("both ends of a connection take %d bytes, and %d once they are idle", busy, idle)
	if idle > busy-least {
		t.Errorf("%d bytes of a connection that was busy, %d of one that is idle", busy, idle)
	}
	all(1)
	all(together)
}
