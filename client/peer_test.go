package client_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"testing"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/wire"
)

// peer is a server's end of a connection whose bytes the test writes by hand.
type peer struct {
	t  testing.TB
	nc *memnet.Conn
	r  *bufio.Reader
}

// frame is a frame that came from the client.
type frame struct {
	wire.Header
	Payload []byte
	Extras  wire.Extras // of a command's first frame
}

// newPeer returns a client and the peer that it is connected with.
func newPeer(t testing.TB, conf client.Conf) (*client.Client[receiver], *peer) {
	t.Helper()
	conn, p := newPipe(t)
	go p.hello(wire.ServerHello{})
	return over(t, conn, codec{}, conf), p
}

func newPipe(t testing.TB) (net.Conn, *peer) {
	conn, nc := memnet.Pipe()
	return conn, onConn(t, nc)
}

func onConn(t testing.TB, nc *memnet.Conn) *peer {
	t.Cleanup(func() { nc.Close() })
	return &peer{t: t, nc: nc, r: bufio.NewReaderSize(nc, 1<<10)}
}

// accept returns the peer of l's next connection, its hello said.
func accept(t testing.TB, l *memnet.Listener) *peer {
	t.Helper()
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	p := onConn(t, nc.(*memnet.Conn))
	p.hello(wire.ServerHello{})
	return p
}

// acceptLater is accept in a goroutine of its own.
func acceptLater(t testing.TB, l *memnet.Listener) <-chan *peer {
	accepted := make(chan *peer, 1)
	go func() { accepted <- accept(t, l) }()
	return accepted
}

// hello reads the client's hello and answers it.
func (p *peer) hello(h wire.ServerHello) wire.ClientHello {
	said := p.hearHello()
	p.answerHello(h)
	return said
}

func (p *peer) answerHello(h wire.ServerHello) {
	if h.Info == nil {
		h.Info = []byte("default")
	}
	b, err := wire.AppendServerHello(nil, h)
	if err != nil {
		p.t.Error(err)
	}
	p.write(b)
}

func (p *peer) hearHello() wire.ClientHello {
	for n := 1; ; n++ {
		b, err := p.r.Peek(n)
		if err != nil {
			p.t.Errorf("the client's hello: %v", err)
			return wire.ClientHello{}
		}
		_, length, m, err := wire.ParsePrefix(b)
		if err == wire.ErrShort {
			continue
		}
		if err != nil {
			p.t.Error(err)
		}
		p.r.Discard(m)
		fields := make([]byte, length)
		io.ReadFull(p.r, fields)
		h, err := wire.ParseClientHello(fields)
		if err != nil {
			p.t.Error(err)
		}
		return h
	}
}

func (p *peer) write(b []byte) {
	p.nc.Write(b) // the client may have closed the connection
}

// read returns the next frame; false at the end of the connection.
func (p *peer) read() (f frame, ok bool) {
	var b []byte
	for {
		c, err := p.r.ReadByte()
		if err != nil {
			return f, false
		}
		b = append(b, c)
		h, _, err := wire.ParseHeader(b)
		if err == wire.ErrShort {
			continue
		}
		if err != nil {
			p.t.Error(err)
			return f, false
		}
		f.Header = h
		break
	}
	f.Payload = make([]byte, f.Length)
	if _, err := io.ReadFull(p.r, f.Payload); err != nil {
		return f, false
	}
	if f.Kind == wire.KindCommand && f.Flags&wire.FlagExtras != 0 {
		var err error
		if f.Extras, f.Payload, err = wire.ParseExtras(f.Payload); err != nil {
			p.t.Error(err)
		}
	}
	return f, true
}

// expect returns the next frame, which must be of the kind. Pings and credit are
// passed over, where they are not what is expected.
func (p *peer) expect(kind wire.Kind) frame {
	p.t.Helper()
	for {
		f, ok := p.read()
		if !ok {
			p.t.Errorf("the connection ended, want a %v", kind)
			return f
		}
		switch f.Kind {
		case kind:
			return f
		case wire.KindPing, wire.KindCredit, wire.KindAck:
			continue
		}
		p.t.Errorf("got a %v, want a %v", f.Kind, kind)
		return f
	}
}

func (p *peer) send(kind wire.Kind, flags wire.Flags, slot uint64, payload []byte) {
	p.write(appendFrame(nil, kind, flags, slot, payload))
}

// answer sends the result n as the last one.
func (p *peer) answer(slot uint64, n int) {
	p.send(wire.KindResult, wire.FlagLast, slot, encodeResult(result{N: n, Last: true}))
}

// item sends the result n, which is not the last.
func (p *peer) item(slot uint64, n int) {
	p.send(wire.KindResult, 0, slot, encodeResult(result{N: n}))
}

func (p *peer) fail(slot uint64, f wire.Failure) {
	p.send(wire.KindFailure, 0, slot, wire.AppendFailure(nil, f))
}

func (p *peer) goaway(reason string) {
	p.send(wire.KindGoaway, 0, 0, wire.AppendGoaway(nil, wire.Goaway{Reason: reason}))
}

// ended checks that the client has closed the connection.
func (p *peer) ended() {
	p.t.Helper()
	for {
		f, ok := p.read()
		if !ok {
			return
		}
		if f.Kind != wire.KindGoaway && f.Kind != wire.KindPing {
			p.t.Errorf("got a %v, want the end of the connection", f.Kind)
		}
	}
}

// outcome is what became of a Do.
type outcome struct {
	n   int
	err error
}

// start does a command in a goroutine of its own.
func start(ctx context.Context, c *client.Client[receiver], cmd command) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		r, err := c.Do(ctx, cmd)
		o := outcome{err: err}
		if err == nil {
			o.n = r.(result).N
		}
		done <- o
	}()
	return done
}

const (
	kindPing    = wire.KindPing
	kindCommand = wire.KindCommand
	kindResult  = wire.KindResult
	kindFailure = wire.KindFailure
	kindCancel  = wire.KindCancel
	kindCredit  = wire.KindCredit
	kindGoaway  = wire.KindGoaway
)

func wireHello(maxCmdSize uint64) wire.ServerHello { return wire.ServerHello{MaxCmdSize: maxCmdSize} }

func wireFailure(outcome base.Outcome, code base.Code) wire.Failure {
	return wire.Failure{Outcome: uint8(outcome), Code: string(code)}
}

func appendFrame(dst []byte, kind wire.Kind, flags wire.Flags, slot uint64, payload []byte) []byte {
	dst = wire.AppendHeader(dst, wire.Header{Kind: kind, Flags: flags, Slot: slot, Length: len(payload)})
	return append(dst, payload...)
}
