//go:build unix && !race

package handler_test

import (
	"context"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/delegate"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/transport"
	"github.com/cmdstream/cmdstream/wire"
)

// A command costs the server no memory, whether it has a deadline or not. Its
// Exec and its codec are the user's: these need none either.
func TestACommandAllocatesNothing(t *testing.T) {
	for name, e := range map[string]wire.Extras{"plainly": {}, "with a deadline": {Timeout: 10_000_000}} {
		t.Run(name, func(t *testing.T) {
			near, far := newPipe(t)
			pool := handler.NewPool()
			h := handler.New(handler.Conf[World]{
				Codec: thin{}, Invoker: handler.NewInvoker(World{}), MaxInFlight: 8, MaxRunning: 8, MaxConnBytes: 1 << 20, MaxBytes: 1 << 20,
			}, pool)
			hello, _ := wire.AppendClientHello(nil, wire.ClientHello{})
			near.Write(hello)
			conn, said, _, err := delegate.Accept(context.Background(), far, delegate.ServerConf{})
			if err != nil {
				t.Fatal(err)
			}
			session, _, _ := h.Open(context.Background(), &said, "", nil)
			c, _ := session.Attach(conn, &said, h.NewMemory())
			c.Start(func(error) {})
			defer func() { c.Close(nil, 0); pool.Close(time.Second); h.Close() }()
			answer := make([]byte, 1<<10)
			near.Read(answer) // the server's hello
			payload := append(wire.AppendExtras(nil, e), 'x')
			var flags wire.Flags
			if len(payload) > 1 {
				flags = wire.FlagExtras
			}
			command := frame(wire.KindCommand, flags, 0, payload)
			allocated := testing.AllocsPerRun(2000, func() {
				near.Write(command)
				if n, _ := near.Read(answer); n != 4 {
					t.Fatalf("the answer has %d bytes", n)
				}
			})
			if allocated != 0 {
				t.Errorf("%v allocations", allocated)
			}
		})
	}
}

// thin is a codec, and its command and result, that allocate nothing.
type thin struct{}

func (thin) LastOne() bool { return true }

func (thin) Exec(_ context.Context, _ time.Time, seq base.Seq, _ World, proxy base.Proxy) error {
	return proxy.Send(seq, thin{})
}

func (thin) Encode(_ base.Result, w transport.Writer) error { return w.WriteByte('y') }

func (thin) Decode(r transport.Reader) (base.Cmd[World], error) {
	_, err := r.ReadByte()
	return thin{}, err
}

// newPipe returns the ends of a connection of the kernel's, which are written to
// without waiting.
func newPipe(t *testing.T) (near, far net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "")
		if ends[i], err = net.FileConn(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	t.Cleanup(func() { ends[0].Close() })
	return ends[0], ends[1]
}
