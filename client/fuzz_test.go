package client_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/wire"
)

// script is a net.Conn that reads what a fuzzer made up, and then ends.
type script struct {
	r      io.Reader
	closed chan struct{}
}

func (s *script) Read(b []byte) (int, error) { return s.r.Read(b) }

func (s *script) Write(b []byte) (int, error) {
	select {
	case <-s.closed:
		return 0, net.ErrClosed
	default:
		return len(b), nil
	}
}

func (s *script) Close() error {
	select {
	case <-s.closed:
		return net.ErrClosed
	default:
		close(s.closed)
		return nil
	}
}

func (s *script) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// Whatever a server says, the client neither panics nor hangs, and each command
// ends.
func FuzzServerBytes(f *testing.F) {
	hello, err := wire.AppendServerHello(nil, wire.ServerHello{Info: []byte("default"), MaxInFlight: 4})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(false, []byte{})
	f.Add(true, []byte("\x01\x01\x05\x00\x00\x02\x00\x01\x00"))
	f.Add(false, appendFrame(nil, kindResult, wire.FlagLast, 0, encodeResult(result{N: 1, Last: true})))
	chunks := appendFrame(nil, kindResult, wire.FlagMore, 1, []byte{3, 1})
	f.Add(false, appendFrame(chunks, kindResult, wire.FlagLast, 1, []byte{5, 0}))
	f.Add(false, appendFrame(nil, kindFailure, 0, 0, wire.AppendFailure(nil, wireFailure(base.Rejected, base.ErrDraining))))
	f.Add(false, append(appendFrame(nil, kindGoaway, 0, 0, wire.AppendGoaway(nil, wire.Goaway{Reason: "bye"})), 0, 0xff))
	f.Fuzz(func(t *testing.T, plain bool, b []byte) {
		conf := client.Conf{
			Logger: quiet, MaxResultSize: 1 << 10, MaxInFlight: 4, Timeout: 10 * time.Second,
			UnexpectedResultCallback: func(base.Seq, base.Result) {},
		}
		opening := hello
		if plain {
			conf.Transport, opening = wires["plain"], []byte("\x07default")
		}
		r, w := io.Pipe()
		defer r.Close()
		go w.Write(opening)
		c, err := client.New(context.Background(), codec{}, &script{r: r, closed: make(chan struct{})}, conf)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		// Two commands are open when the bytes come, and others begin meanwhile.
		results := make(chan base.AsyncResult, 1)
		forgotten := mustSend(t, c, command{}, results)
		mustSend(t, c, command{}, results)
		c.Forget(forgotten)
		go func() {
			w.Write(b)
			w.Close()
		}()
		done := start(context.Background(), c, command{Body: make([]byte, 70<<10)})
		for _, err := range c.Results(context.Background(), command{}) {
			if err != nil {
				break
			}
		}
		<-done
		for last := false; !last; {
			r := <-results
			last = r.Err != nil || r.Result.LastOne()
		}
		<-c.Done()
	})
}
