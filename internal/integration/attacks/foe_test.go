package attacks

import (
	"bufio"
	"context"
	"io"
	"net"

	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/wire"
)

// foe is a server made of bytes: it says whatever it likes.
type foe struct {
	a  *arena
	nc net.Conn
	r  *bufio.Reader
}

// foe starts one, and returns the client's end of its connection.
func (a *arena) foe(script func(*foe)) net.Conn {
	near, far := memnet.Pipe()
	a.atEnd(func() {
		near.Close()
		far.Close()
	})
	go script(&foe{a, far, bufio.NewReader(far)})
	return near
}

// over makes a client over a connection. The error is seen.
func (a *arena) over(nc net.Conn, conf client.Conf) (*client.Client[*world], error) {
	conf.Logger = quiet
	c, err := client.New(context.Background(), clientCodec{}, nc, conf)
	a.made(c, err)
	if err == nil {
		a.atEnd(func() { c.Close() })
	}
	return c, err
}

func (f *foe) hearHello() { readHello(f.r) }

// hello says hello.
func (f *foe) hello(h wire.ServerHello) {
	f.hearHello()
	if h.Info == nil {
		h.Info = []byte("default")
	}
	b, err := wire.AppendServerHello(nil, h)
	if err != nil {
		f.a.t.Error(err)
	}
	f.nc.Write(b)
}

// command returns the next command's slot, and its payload; false: there is none.
func (f *foe) command() (slot int, payload []byte, ok bool) {
	for {
		h, payload, err := readFrame(f.r)
		if err != nil {
			return 0, nil, false
		}
		if h.Kind == wire.KindCommand {
			return int(h.Slot), payload, true
		}
	}
}

func (f *foe) send(kind wire.Kind, flags wire.Flags, slot int, payload []byte) {
	f.nc.Write(frame(kind, flags, slot, payload))
}

// answer sends the last result.
func (f *foe) answer(slot int) {
	f.send(wire.KindResult, wire.FlagLast, slot, appendResult(nil, result{Last: true}))
}

// rest reads until the connection ends.
func (f *foe) rest() { io.Copy(io.Discard, f.r) }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
