package cmdstream_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/transport"
)

// BenchmarkEcho sends 32 bytes there and back over one TCP connection on
// loopback, from 1, 64 and 1024 callers at once, by a codec that allocates
// nothing. BenchmarkPingPong is the limit for one caller: the same bytes over a
// bare TCP connection.
func BenchmarkEcho(b *testing.B) {
	for _, wire := range []struct {
		name    string
		factory transport.Factory
	}{{"framed", transport.Framed}, {"plain", transport.Plain}} {
		for _, callers := range []int{1, 64, 1024} {
			b.Run(fmt.Sprintf("%s/callers=%d", wire.name, callers), func(b *testing.B) {
				benchmarkEcho(b, callers, client.Conf{Transport: wire.factory}, server.Conf[nothing]{Transport: wire.factory})
			})
		}
	}
}

// BenchmarkTimeout is BenchmarkEcho with a deadline for every command.
func BenchmarkTimeout(b *testing.B) {
	for _, callers := range []int{64, 1024} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			benchmarkEcho(b, callers, client.Conf{Timeout: 5 * time.Second}, server.Conf[nothing]{})
		})
	}
}

// BenchmarkSession is BenchmarkEcho with a session.
func BenchmarkSession(b *testing.B) {
	for _, callers := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			benchmarkEcho(b, callers, client.Conf{Session: true}, server.Conf[nothing]{})
		})
	}
}

func benchmarkEcho(b *testing.B, callers int, clientConf client.Conf, serverConf server.Conf[nothing]) {
	codec := echoCodec{pool: &sync.Pool{New: func() any { return new(echo) }}}
	c := benchmarkClient(b, clientEchoCodec{codec}, serverEchoCodec{codec}, clientConf, serverConf)
	ctx := context.Background()
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			var cmd echo
			for i := caller; i < b.N; i += callers {
				binary.LittleEndian.PutUint64(cmd.data[:], uint64(i))
				result, err := c.Do(ctx, &cmd)
				if err != nil {
					b.Error(err)
					return
				}
				answer := result.(*echo)
				if answer.data != cmd.data {
					b.Error("a wrong answer")
					return
				}
				codec.pool.Put(answer)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
}

// benchmarkClient returns a client, over TCP on loopback, of a server that runs until the
// benchmark ends.
func benchmarkClient(b *testing.B, clientCodec client.Codec[nothing], serverCodec server.Codec[nothing], clientConf client.Conf, serverConf server.Conf[nothing]) *client.Client[nothing] {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s, err := server.New(serverCodec, nothing{}, serverConf)
	if err != nil {
		b.Fatal(err)
	}
	go s.Serve(listener)
	b.Cleanup(func() { s.Close() })
	c, err := client.NewReconnect(context.Background(), clientCodec, client.TCP(listener.Addr().String()), clientConf)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c
}

// BenchmarkSend is one goroutine that has 200 commands open by Send.
func BenchmarkSend(b *testing.B) {
	codec := echoCodec{pool: &sync.Pool{New: func() any { return new(echo) }}}
	c := benchmarkClient(b, clientEchoCodec{codec}, serverEchoCodec{codec}, client.Conf{}, server.Conf[nothing]{})
	cmds := make([]echo, 200)
	results := make(chan base.AsyncResult, len(cmds))
	take := func() (answered *echo) {
		result := <-results
		if result.Err != nil {
			b.Fatal(result.Err)
		}
		answer := result.Result.(*echo)
		answered = &cmds[binary.LittleEndian.Uint64(answer.data[8:])]
		if answer.data != answered.data {
			b.Fatal("a wrong answer")
		}
		codec.pool.Put(answer)
		return answered
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		var cmd *echo
		if i < len(cmds) {
			cmd = &cmds[i]
			binary.LittleEndian.PutUint64(cmd.data[8:], uint64(i))
		} else {
			cmd = take()
		}
		binary.LittleEndian.PutUint64(cmd.data[:], uint64(i))
		if _, err := c.Send(cmd, results); err != nil {
			b.Fatal(err)
		}
	}
	for range min(b.N, len(cmds)) {
		take()
	}
	b.StopTimer()
}

// BenchmarkResults is one command with many results; an operation is a result.
func BenchmarkResults(b *testing.B) {
	codec := numberCodec{pool: &sync.Pool{New: func() any { return new(number) }}}
	c := benchmarkClient(b, clientNumberCodec{codec}, serverNumberCodec{codec}, client.Conf{}, server.Conf[nothing]{})
	b.ReportAllocs()
	b.ResetTimer()
	var next uint64
	var count number
	count.set(uint64(b.N))
	for result, err := range c.Results(context.Background(), &count) {
		if err != nil {
			b.Fatal(err)
		}
		n := result.(*number)
		if n.value() != next {
			b.Fatalf("result %d is %d", next, n.value())
		}
		next++
		codec.pool.Put(n)
	}
	b.StopTimer()
	if next != uint64(b.N) {
		b.Fatalf("%d results instead of %d", next, b.N)
	}
}

// BenchmarkPingPong is what a bare TCP connection does.
func BenchmarkPingPong(b *testing.B) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		buffer := make([]byte, 32)
		for {
			if _, err := io.ReadFull(conn, buffer); err != nil {
				return
			}
			if _, err := conn.Write(buffer); err != nil {
				return
			}
		}
	}()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	buffer := make([]byte, 32)
	for b.Loop() {
		if _, err := conn.Write(buffer); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(conn, buffer); err != nil {
			b.Fatal(err)
		}
	}
}

type nothing struct{}

// echo is command and result in one.
type echo struct{ data [32]byte }

func (e *echo) Exec(_ context.Context, _ time.Time, seq base.Seq, _ nothing, proxy base.Proxy) error {
	return proxy.Send(seq, e)
}

func (*echo) LastOne() bool { return true }

type echoCodec struct{ pool *sync.Pool }

func (c echoCodec) encode(e *echo, w transport.Writer) error {
	_, err := w.Write(e.data[:])
	return err
}

func (c echoCodec) decode(r transport.Reader) (*echo, error) {
	e := c.pool.Get().(*echo)
	_, err := io.ReadFull(r, e.data[:])
	return e, err
}

type clientEchoCodec struct{ echoCodec }

func (c clientEchoCodec) Encode(cmd base.Cmd[nothing], w transport.Writer) error {
	return c.encode(cmd.(*echo), w)
}
func (c clientEchoCodec) Decode(r transport.Reader) (base.Result, error) { return c.decode(r) }
func (c clientEchoCodec) Size(base.Cmd[nothing]) int                     { return 32 }

type serverEchoCodec struct{ echoCodec }

func (c serverEchoCodec) Encode(result base.Result, w transport.Writer) error {
	e := result.(*echo)
	defer c.pool.Put(e)
	return c.encode(e, w)
}

func (c serverEchoCodec) Decode(r transport.Reader) (base.Cmd[nothing], error) { return c.decode(r) }

// number is a command that is answered by so many results, and each of these.
type number struct {
	data [32]byte
	more bool
}

func (n *number) value() uint64     { return binary.LittleEndian.Uint64(n.data[:]) }
func (n *number) set(number uint64) { binary.LittleEndian.PutUint64(n.data[:], number) }

func (n *number) Exec(_ context.Context, _ time.Time, seq base.Seq, _ nothing, proxy base.Proxy) error {
	var result number
	for i, count := uint64(0), n.value(); i < count; i++ {
		result.set(i)
		result.more = i+1 < count
		if err := proxy.Send(seq, &result); err != nil {
			return err
		}
	}
	return nil
}

func (n *number) LastOne() bool { return !n.more }

type numberCodec struct{ pool *sync.Pool }

func (c numberCodec) decode(r transport.Reader) (*number, error) {
	n := c.pool.Get().(*number)
	_, err := io.ReadFull(r, n.data[:])
	return n, err
}

type clientNumberCodec struct{ numberCodec }

func (c clientNumberCodec) Encode(cmd base.Cmd[nothing], w transport.Writer) error {
	_, err := w.Write(cmd.(*number).data[:])
	return err
}
func (c clientNumberCodec) Decode(r transport.Reader) (base.Result, error) { return c.decode(r) }
func (c clientNumberCodec) Size(base.Cmd[nothing]) int                     { return 32 }

type serverNumberCodec struct{ numberCodec }

func (c serverNumberCodec) Encode(result base.Result, w transport.Writer) error {
	_, err := w.Write(result.(*number).data[:])
	return err
}

func (c serverNumberCodec) Decode(r transport.Reader) (base.Cmd[nothing], error) {
	return c.decode(r)
}
