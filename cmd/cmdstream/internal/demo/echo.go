package demo

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// echo is a command whose result is the bytes that it carries. It is in the
// command form, which leaves room to allocate nothing: a caller sends the same
// record again and again, and the server takes its records from a pool.
type echo struct {
	sent, got [32]byte
}

// echoServer is the receiver of echo.
type echoServer struct {
	fault Fault
	ran   atomic.Int64 // counted for the fault only
	pool  sync.Pool    // of *echo
}

func newEchoServer(fault Fault) *echoServer {
	return &echoServer{fault: fault, pool: sync.Pool{New: func() any { return new(echo) }}}
}

// Exec sends the command back as its own result.
func (e *echo) Exec(_ context.Context, _ time.Time, seq base.Seq, receiver *echoServer, proxy base.Proxy) error {
	if receiver.fault == FaultEcho && receiver.ran.Add(1) == 100 {
		e.got[7]++
	}
	err := proxy.Send(seq, e)
	receiver.pool.Put(e) // a result may be changed again once it was sent
	return err
}

// LastOne is true: there is one result.
func (e *echo) LastOne() bool { return true }

// echoClientCodec is the client's side of the wire.
type echoClientCodec struct{}

func (echoClientCodec) Encode(cmd base.Cmd[*echoServer], w transport.Writer) error {
	_, err := w.Write(cmd.(*echo).sent[:])
	return err
}

func (echoClientCodec) Size(base.Cmd[*echoServer]) int { return len(echo{}.sent) }

func (c echoClientCodec) Decode(r transport.Reader) (base.Result, error) {
	return c.DecodeFor(new(echo), r)
}

// DecodeFor puts the answer into the command that asked for it.
func (echoClientCodec) DecodeFor(cmd base.Cmd[*echoServer], r transport.Reader) (base.Result, error) {
	e := cmd.(*echo)
	return e, readEcho(r, &e.got)
}

// echoServerCodec is the server's side of the wire.
type echoServerCodec struct{ receiver *echoServer }

func (c echoServerCodec) Decode(r transport.Reader) (base.Cmd[*echoServer], error) {
	e := c.receiver.pool.Get().(*echo)
	return e, readEcho(r, &e.got)
}

func (echoServerCodec) Encode(result base.Result, w transport.Writer) error {
	_, err := w.Write(result.(*echo).got[:])
	return err
}

// readEcho reads the bytes, and sees that there are no more.
func readEcho(r transport.Reader, to *[32]byte) error {
	if _, err := io.ReadFull(r, to[:]); err != nil {
		return err
	}
	if _, err := r.ReadByte(); err != io.EOF {
		return errors.New("an echo has 32 bytes, here are more")
	}
	return nil
}
