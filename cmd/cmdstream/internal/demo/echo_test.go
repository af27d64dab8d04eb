//go:build !race

package demo

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// bufferProxy encodes results as a server does.
type bufferProxy struct {
	codec echoServerCodec
	out   transport.Buffer
}

func (p *bufferProxy) Send(_ base.Seq, result base.Result) error {
	return p.codec.Encode(result, &p.out)
}
func (p *bufferProxy) LocalAddr() net.Addr  { return nil }
func (p *bufferProxy) RemoteAddr() net.Addr { return nil }

// The measurement is to show what the library costs, not its commands.
func TestEchoAllocatesNothing(t *testing.T) {
	receiver := newEchoServer("")
	proxy := &bufferProxy{codec: echoServerCodec{receiver}}
	var cmd base.Cmd[*echoServer] = &echo{sent: [32]byte{1, 2, 31: 3}}
	var out transport.Buffer
	var in transport.Body
	var clientCodec echoClientCodec
	allocs := testing.AllocsPerRun(1000, func() {
		out.Reset()
		proxy.out.Reset()
		if err := clientCodec.Encode(cmd, &out); err != nil {
			t.Fatal(err)
		}
		in.Set(out.B)
		received, err := proxy.codec.Decode(&in)
		if err != nil {
			t.Fatal(err)
		}
		if err := received.Exec(context.Background(), time.Time{}, 1, receiver, proxy); err != nil {
			t.Fatal(err)
		}
		in.Set(proxy.out.B)
		if _, err := clientCodec.DecodeFor(cmd, &in); err != nil {
			t.Fatal(err)
		}
	})
	if allocs >= 1 {
		t.Errorf("%v allocations", allocs)
	}
	if e := cmd.(*echo); e.got != e.sent {
		t.Errorf("got %x, want %x", e.got, e.sent)
	}
}
