package client_test

import (
	"bufio"
	"context"
	"net"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/transport"
	"github.com/cmdstream/cmdstream/wire"
)

// fixed is a codec that allocates nothing; one is what it decodes.
type fixed struct{}

var one base.Result = result{N: 1, Last: true}

func (fixed) Encode(_ base.Cmd[receiver], w transport.Writer) error { return w.WriteByte(7) }
func (fixed) Size(base.Cmd[receiver]) int                           { return 1 }

func (fixed) Decode(r transport.Reader) (base.Result, error) {
	_, err := r.ReadByte()
	return one, err
}

// A command that ends well costs the client no allocation, with a Timeout or
// without. This is measured over a real socket, to which the client writes without
// a goroutine between.
func TestDoDoesNotAllocate(t *testing.T) {
	if race {
		t.Skip("the race detector allocates")
	}
	for name, conf := range map[string]client.Conf{"plainly": {}, "with Timeout": {Timeout: time.Minute}} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go answerAll(t, l)
		conn, err := client.TCP(l.Addr().String())(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c, err := client.New(t.Context(), fixed{}, conn, conf)
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		var cmd base.Cmd[receiver] = command{}
		got := testing.AllocsPerRun(1000, func() {
			if _, err := c.Do(ctx, cmd); err != nil {
				t.Fatal(err)
			}
		})
		if got != 0 {
			t.Errorf("Do %s: %v allocations", name, got)
		}
		c.Close()
	}
}

// answerAll answers each command on l's first connection, on the slot 0, without
// allocating: by one frame with a result of one byte.
func answerAll(t testing.TB, l net.Listener) {
	nc, err := l.Accept()
	l.Close()
	if err != nil {
		t.Error(err)
		return
	}
	defer nc.Close()
	p := &peer{t: t, r: bufio.NewReader(nc)}
	p.hearHello()
	hello, err := wire.AppendServerHello(nil, wire.ServerHello{Info: []byte("default")})
	if err != nil {
		t.Error(err)
	}
	nc.Write(hello)
	answer := appendFrame(nil, kindResult, wire.FlagLast, 0, []byte{1})
	for {
		kind, err := p.r.ReadByte()
		if err != nil {
			return
		}
		p.r.ReadByte() // the slot
		length, err := p.r.ReadByte()
		if err != nil {
			return
		}
		p.r.Discard(int(length))
		if wire.Kind(kind>>4) == kindCommand {
			nc.Write(answer)
		}
	}
}
