//go:build !race

package debug_test

import (
	"context"
	"iter"
	"net"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/debug"
	"github.com/cmdstream/cmdstream/handler"
)

type nothing struct{}

func (nothing) Exec(context.Context, time.Time, base.Seq, World, base.Proxy) error { return nil }

type proxy struct {
	base.Proxy
	addr net.Addr
}

func (p *proxy) RemoteAddr() net.Addr { return p.addr }

type empty struct{}

func (empty) Do(context.Context, base.Cmd[World]) (base.Result, error) { return nil, nil }
func (empty) Results(context.Context, base.Cmd[World]) iter.Seq2[base.Result, error] {
	return func(func(base.Result, error) bool) {}
}

// A command that succeeds costs no memory.
func TestAllocations(t *testing.T) {
	page := debug.New()
	invoker := debug.Server[World](page)(handler.NewInvoker(World{}))
	from := &proxy{addr: &net.TCPAddr{}}
	c := debug.Client[World](page)(empty{})
	var cmd base.Cmd[World] = base.Unary[World, string, Work]{}
	var own base.Cmd[World] = nothing{}
	ctx := t.Context()
	for name, one := range map[string]func(){
		"at a server": func() { invoker.Invoke(ctx, time.Now(), 1, own, from) },
		"at a client": func() { c.Do(ctx, cmd) },
	} {
		if n := testing.AllocsPerRun(1000, one); n != 0 {
			t.Errorf("%s a command allocates %v times", name, n)
		}
	}
}

func BenchmarkServer(b *testing.B) {
	page := debug.New()
	invoker := debug.Server[World](page)(handler.NewInvoker(World{}))
	from := &proxy{addr: &net.TCPAddr{}}
	var cmd base.Cmd[World] = nothing{}
	at := time.Now()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			invoker.Invoke(context.Background(), at, 1, cmd, from)
		}
	})
}
