package group_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/group"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/transport"
)

// lean is a command, its own result, and the codec of both: one byte, and no allocation.
type lean struct{}

func (lean) Exec(_ context.Context, _ time.Time, seq base.Seq, _ int, proxy base.Proxy) error {
	return proxy.Send(seq, done)
}

func (lean) LastOne() bool { return true }

func (lean) Key() string { return "key" }

var done base.Result = lean{}

type leanClient struct{}

func (leanClient) Encode(_ base.Cmd[int], w transport.Writer) error { return w.WriteByte(7) }
func (leanClient) Size(base.Cmd[int]) int                           { return 1 }

func (leanClient) Decode(r transport.Reader) (base.Result, error) {
	_, err := r.ReadByte()
	return done, err
}

type leanServer struct{}

func (leanServer) Encode(_ base.Result, w transport.Writer) error { return w.WriteByte(7) }

func (leanServer) Decode(r transport.Reader) (base.Cmd[int], error) {
	_, err := r.ReadByte()
	return lean{}, err
}

// A command that ends well costs a group no allocation, whatever its strategy, and the
// servers none either. This is measured over real sockets.
func TestDoDoesNotAllocate(t *testing.T) {
	if race {
		t.Skip("the race detector allocates")
	}
	var addresses []string
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := server.NewDef(leanServer{}, 0)
		go s.Serve(l)
		defer s.Close()
		addresses = append(addresses, l.Addr().String())
	}
	for _, strategy := range []group.Strategy{group.RoundRobin, group.LeastInFlight, group.Sticky} {
		g, err := group.New(t.Context(), leanClient{}, group.Conf{
			Servers: group.Static(addresses...), Strategy: strategy, Client: client.Conf{Timeout: time.Minute},
		})
		if err != nil {
			t.Fatal(err)
		}
		var cmd base.Cmd[int] = lean{}
		got := testing.AllocsPerRun(3000, func() {
			if _, err := g.Do(context.Background(), cmd); err != nil {
				t.Fatal(err)
			}
		})
		if got != 0 {
			t.Errorf("%v: %v allocations", strategy, got)
		}
		g.Close()
	}
}
