package client_test

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/wire"
)

// N5: while a write to the old connection has not returned, though it has ended, the
// client does not say what it knows of its commands.
func TestTheOldWriterEndsFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := memnet.Listen()
		var late atomic.Bool
		accepted := make(chan *peer, 1)
		go func() {
			p := acceptRaw(t, l)
			p.hello(wire.ServerHello{SessionTime: sessionTime})
			accepted <- p
		}()
		c := redial(t, func(ctx context.Context) (net.Conn, error) {
			nc, err := l.Dial(ctx)
			return &slowWriter{nc, &late}, err
		}, client.Conf{Session: true})
		p := <-accepted
		late.Store(true)
		done := start(t.Context(), c, command{N: 1})
		p.expect(kindCommand) // the server has it, the client does not know yet
		late.Store(false)
		begin := time.Now()
		p.nc.Cut(memnet.FIN)
		p = acceptRaw(t, l)
		if took := time.Since(begin); took < slowWrite {
			t.Errorf("the client dials after %v, when its old writer still writes", took)
		}
		p.hello(wire.ServerHello{SessionTime: sessionTime})
		wantList(t, p.list(), wire.ClientSlot{Slot: 0, Seq: 1, Credit: 1})
		p.stand(wire.ServerSlot{Slot: 0, Seen: true})
		p.answer(0, 5)
		if o := <-done; o.n != 5 || o.err != nil {
			t.Errorf("got %+v", o)
		}
	})
}

// slowWriter's writes reach the peer at once, but while late is set they return much
// later.
type slowWriter struct {
	net.Conn
	late *atomic.Bool
}

const slowWrite = 3 * time.Second

func (w *slowWriter) Write(b []byte) (int, error) {
	late := w.late.Load()
	n, err := w.Conn.Write(b)
	if late {
		time.Sleep(slowWrite)
	}
	return n, err
}

// N9: how many slots there are is said once, when the session is opened.
func TestTheSlotsOfASessionAreThoseOfItsOpening(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := memnet.Listen()
		accepted := make(chan *peer, 1)
		go func() {
			p := acceptRaw(t, l)
			p.hello(wire.ServerHello{SessionTime: sessionTime, MaxInFlight: 2})
			accepted <- p
		}()
		c := redial(t, l.Dial, client.Conf{Session: true})
		p := <-accepted
		for n := range 2 {
			start(t.Context(), c, command{N: n})
			p.expect(kindCommand)
		}
		p.nc.Cut(memnet.RST)
		p = acceptRaw(t, l)
		p.hello(wire.ServerHello{SessionTime: sessionTime, MaxInFlight: 100})
		p.list()
		p.stand(wire.ServerSlot{Slot: 0, Seen: true}, wire.ServerSlot{Slot: 1, Seen: true})
		third := start(t.Context(), c, command{N: 3})
		synctest.Wait()
		p.answer(1, 1)
		if f := p.expect(kindCommand); f.Slot != 1 {
			t.Errorf("a third command is open, on slot %d", f.Slot)
		}
		p.answer(1, 3)
		<-third
	})
}

// I1: eight inputs go out, and then as many as the server says.
func TestInputsWaitForCredit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newPeer(t, client.Conf{})
		call := open(t, c, command{N: 1})
		p.expect(kindCommand)
		sent := 0
		go func() {
			for i := range 12 {
				if err := call.Send([]byte{'a' + byte(i)}); err != nil {
					return
				}
				sent++
			}
			call.CloseSend()
		}()
		synctest.Wait()
		if sent != 8 {
			t.Errorf("%d inputs were sent before any credit", sent)
		}
		p.inputs("abcdefgh")
		p.credit(0, 3)
		synctest.Wait()
		if sent != 11 {
			t.Errorf("%d inputs were sent, with credit for 11", sent)
		}
		p.inputs("ijk")
		p.credit(0, 1)
		p.inputs("l")
		if f := p.expect(kindInput); f.Flags&wire.FlagLast == 0 || f.Length != 0 { // needs no credit
			t.Errorf("got %+v, want the end", f)
		}
		p.answer(0, 1)
		if _, err := call.Receive(); err != nil {
			t.Error(err)
		}
		if err := call.Send([]byte("m")); err != io.EOF {
			t.Errorf("after the end: %v", err)
		}
	})
}

// I7: a command that ends half-way through an input: what was begun is ended, by an
// empty last chunk, before the slot is another's.
func TestAnInputIsGivenUpWithItsCommand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const size = 300 << 10
		c, p := slowly(t, client.Conf{MaxInFlight: 1})
		call := open(t, c, command{N: 1})
		p.expect(kindCommand)
		sent := make(chan error, 1)
		go func() { sent <- call.Send(make([]byte, size)) }()
		synctest.Wait()
		p.answer(0, 1)
		if _, err := call.Receive(); err != nil {
			t.Error(err)
		}
		next := start(t.Context(), c, command{N: 2})
		f := p.expect(kindInput)
		n := f.Length
		for f.Flags&wire.FlagMore != 0 {
			f = p.expect(kindInput)
			n += f.Length
		}
		if f.Length != 0 || n >= size {
			t.Errorf("%d bytes came, the last chunk has %d", n, f.Length)
		}
		<-sent
		if f := p.expect(kindCommand); f.Slot != 0 || f.Payload[0] != 2 {
			t.Errorf("got %+v", f)
		}
		p.answer(0, 2)
		<-next
	})
}
