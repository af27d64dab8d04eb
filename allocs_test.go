//go:build !race

package cmdstream_test

import (
	"context"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/transport"
)

// What client and server together allocate, over a real socket, with a codec that does
// not: for each command, or each result of a stream.
func TestWhatIsAllocated(t *testing.T) {
	const each, results = 200.0, 2000 // a run
	for _, test := range []struct {
		name string
		conf client.Conf
		size int // of bodies
		most float64
		do   func(t *testing.T, c *client.Client[nothing])
	}{
		{"Do", client.Conf{}, 32, 0.05, doEach(200)},
		{"Do with a timeout", client.Conf{Timeout: time.Minute}, 32, 0.05, doEach(200)},
		{"Do in a session", client.Conf{Session: true}, 32, 0.05, doEach(200)},
		{"Do of 1 KiB", client.Conf{}, 1 << 10, 0.05, doEach(200)},
		{"Do of 10 KiB, by reference", client.Conf{}, 10 << 10, 3.5, doEach(200)},
		{"Do of 60 KiB, by reference", client.Conf{}, 60 << 10, 3.5, doEach(200)},
		{"Results", client.Conf{}, 32, 0.05, func(t *testing.T, c *client.Client[nothing]) {
			n := 0
			for _, err := range c.Results(context.Background(), manyResults) {
				if err != nil {
					t.Fatal(err)
				}
				n++
			}
			if n != results {
				t.Errorf("%d results", n)
			}
		}},
		{"Send", client.Conf{}, 32, 0.05, func(t *testing.T, c *client.Client[nothing]) {
			for range int(each) {
				if _, err := c.Send(oneResult, sent); err != nil {
					t.Fatal(err)
				}
			}
			for range int(each) {
				if r := <-sent; r.Err != nil {
					t.Fatal(r.Err)
				}
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := fixedServer(t, test.size)(test.conf)
			for range 20 {
				test.do(t, c) // buffers and windows grow
			}
			for range 5 { // on a busy machine many commands run at once now and then, and have new records
				got := testing.AllocsPerRun(50, func() { test.do(t, c) }) / each
				if test.name == "Results" {
					got *= each / results
				}
				t.Logf("%.3f allocations", got)
				if got <= test.most {
					return
				}
			}
			t.Errorf("want %v at most", test.most)
		})
	}
}

// A connection has all that it needs after its first command.
func TestTheSecondCommandOfAConnectionAllocatesNothing(t *testing.T) {
	const connections = 50
	dial := fixedServer(t, 32)
	var clients [connections]*client.Client[nothing]
	for i := range clients {
		clients[i] = dial(client.Conf{})
	}
	round := func() float64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for _, c := range clients {
			doEach(1)(t, c)
		}
		runtime.ReadMemStats(&after)
		return float64(after.Mallocs-before.Mallocs) / connections
	}
	first := round()
	second := round()
	t.Logf("%.2f allocations of a first command, and %.2f of a second one", first, second)
	if second > 0.5 { // a few are the runtime's
		t.Error("want none of the second one")
	}
}

// fixedServer starts a server whose bodies have size bytes, and returns what dials it.
func fixedServer(t *testing.T, size int) func(client.Conf) *client.Client[nothing] {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	codec := fixedCodec{body: make([]byte, size), scratch: &sync.Pool{New: func() any { return new([64 << 10]byte) }}}
	s, err := server.New(serverFixedCodec{codec}, nothing{}, server.Conf[nothing]{})
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return func(conf client.Conf) *client.Client[nothing] {
		c, err := client.NewReconnect(t.Context(), clientFixedCodec{codec}, client.TCP(l.Addr().String()), conf)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
}

var sent = make(chan base.AsyncResult, 200)

func doEach(n int) func(t *testing.T, c *client.Client[nothing]) {
	return func(t *testing.T, c *client.Client[nothing]) {
		for range n {
			if _, err := c.Do(context.Background(), oneResult); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// several is a command with so many results; the results are of two kinds.
type several int

var (
	oneResult   base.Cmd[nothing] = several(1)
	manyResults base.Cmd[nothing] = several(2000)

	lastResult  base.Result = further(false)
	otherResult base.Result = further(true)
)

type further bool

func (f further) LastOne() bool { return !bool(f) }

func (n several) Exec(_ context.Context, _ time.Time, seq base.Seq, _ nothing, proxy base.Proxy) error {
	for range n - 1 {
		if err := proxy.Send(seq, otherResult); err != nil {
			return err
		}
	}
	return proxy.Send(seq, lastResult)
}

// fixedCodec encodes a byte that counts, and a body that does not.
type fixedCodec struct {
	body    []byte
	scratch *sync.Pool
}

func (c fixedCodec) encode(first byte, w transport.Writer) error {
	w.WriteByte(first)
	_, err := w.Write(c.body)
	return err
}

func (c fixedCodec) decode(r transport.Reader) (byte, error) {
	first, err := r.ReadByte()
	scratch := c.scratch.Get().(*[64 << 10]byte)
	r.Read(scratch[:])
	c.scratch.Put(scratch)
	return first, err
}

type clientFixedCodec struct{ fixedCodec }

func (c clientFixedCodec) Size(base.Cmd[nothing]) int { return len(c.body) + 1 }

func (c clientFixedCodec) Encode(cmd base.Cmd[nothing], w transport.Writer) error {
	return c.encode(byte(cmd.(several)), w)
}

func (c clientFixedCodec) Decode(r transport.Reader) (base.Result, error) {
	if first, err := c.decode(r); first == 0 || err != nil {
		return lastResult, err
	}
	return otherResult, nil
}

type serverFixedCodec struct{ fixedCodec }

func (c serverFixedCodec) Encode(result base.Result, w transport.Writer) error {
	if result.LastOne() {
		return c.encode(0, w)
	}
	return c.encode(1, w)
}

func (c serverFixedCodec) Decode(r transport.Reader) (base.Cmd[nothing], error) {
	if first, err := c.decode(r); first == 1 || err != nil {
		return oneResult, err
	}
	return manyResults, nil
}
