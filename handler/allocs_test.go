//go:build unix && !race

package handler_test

import (
	"context"
	"math"
	"net"
	"os"
	"runtime"
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
			near := serve(t, thin{}, 8)
			answer := make([]byte, 1<<10)
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

// serve returns the client's end of a connection that a handler serves, once the hellos are over.
func serve(t *testing.T, codec transport.Codec[base.Result, base.Cmd[World]], commands int) (near net.Conn) {
	t.Helper()
	near, far := newPipe(t)
	pool := handler.NewPool()
	h := handler.New(handler.Conf[World]{
		Codec: codec, Invoker: handler.NewInvoker(World{}), MaxInFlight: commands, MaxRunning: commands, MaxConnBytes: 1 << 20, MaxBytes: 1 << 20,
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
	t.Cleanup(func() { c.Close(nil, 0); pool.Close(time.Second); h.Close() })
	near.Read(make([]byte, 1<<10)) // the server's hello
	return near
}

// A command that waits, sends a small result and returns does without another stack than the one
// that its goroutine begins with: many at once take that much less memory, and time.
func TestACommandIsContentWithASmallStack(t *testing.T) {
	const most = 2600 // bytes; a goroutine begins with 2048, and the next size is 4096
	least := math.MaxInt
	for range 5 { // the runtime now and then has new goroutines begin with more
		if least = min(least, stackOfCommands(t, 1000)); least <= most {
			return
		}
	}
	t.Errorf("each command has %d bytes of stack", least)
}

// The goroutine that waits for what a connection brings does without another stack, too: it is
// most of what an idle connection costs.
func TestALeaderThatWaitsIsContentWithASmallStack(t *testing.T) {
	const conns, most = 100, 2600
	least := math.MaxInt
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range conns {
			serve(t, thin{}, 8)
		}
		time.Sleep(10 * time.Millisecond)
		runtime.ReadMemStats(&after)
		if least = min(least, int(after.StackInuse-before.StackInuse)/conns); least <= most {
			return
		}
	}
	t.Errorf("each leader has %d bytes of stack", least)
}

// stackOfCommands returns how many bytes of stack each of n commands has, all of which have waited
// and have sent their result.
func stackOfCommands(t *testing.T, n int) int {
	var m runtime.MemStats
	stacks := func() uint64 {
		runtime.ReadMemStats(&m)
		return m.StackInuse
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // who writes for the others needs more: so few do
	w := &waits{make(chan struct{}), make(chan struct{}), make(chan struct{}, 1)}
	near := serve(t, w, n)
	before := stacks()
	for slot := range n {
		near.Write(frame(wire.KindCommand, 0, slot, []byte("x")))
	}
	for _, all := range []chan struct{}{w.begin, w.end} {
		for range n {
			<-w.waits
		}
		if all == w.end {
			before = stacks() - before
		}
		close(all)
	}
	return int(before) / n
}

// waits is a codec and its command, which waits before it sends its result, and after it.
type waits struct{ begin, end, waits chan struct{} }

func (w *waits) Exec(_ context.Context, _ time.Time, seq base.Seq, _ World, proxy base.Proxy) error {
	w.waits <- struct{}{}
	<-w.begin
	err := proxy.Send(seq, thin{})
	w.waits <- struct{}{}
	<-w.end
	return err
}

func (w *waits) Decode(r transport.Reader) (base.Cmd[World], error) {
	_, err := r.ReadByte()
	return w, err
}

func (*waits) Encode(_ base.Result, w transport.Writer) error { return w.WriteByte('y') }

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
