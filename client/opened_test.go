package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/wire"
)

// A command of Open that met a draining server, or never left, goes out again with what
// it was sent, and whoever is sending or receiving goes on.
func TestOpenGoesOnElsewhere(t *testing.T) {
	for name, test := range map[string]struct {
		before, after string // inputs that are sent before the end, and after it
		receiving     bool   // somebody is in Receive at the end
	}{
		"nothing was sent":     {"", "", true},
		"some inputs were":     {"abc", "d", true},
		"nobody receives":      {"abc", "d", false},
		"a whole window was":   {"abcdefgh", "", false},
		"the end of inputs is": {"abc", ".", false},
	} {
		for how, end := range map[string]func(p *peer, slot uint64){
			"draining": func(p *peer, slot uint64) {
				p.goaway("draining")
				p.fail(slot, wireFailure(base.Rejected, base.ErrDraining))
			},
			"lost, and may run twice": func(p *peer, _ uint64) { p.nc.Close() },
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					c, p, l := openDirect(t)
					var cmd base.Cmd[receiver] = command{N: 1}
					if how != "draining" {
						cmd = harmless{command{N: 1}}
					}
					call, err := c.Open(t.Context(), cmd)
					if err != nil {
						t.Fatal(err)
					}
					defer call.Close()
					f := p.expect(kindCommand)
					sendInputs(t, call, test.before)
					p.inputs(test.before)
					got := make(chan error, 1)
					receive := func() {
						_, err := call.Receive()
						got <- err
					}
					if test.receiving {
						go receive()
					}
					synctest.Wait()
					accepted := acceptLater(t, l)
					end(p, f.Slot)
					synctest.Wait()
					if test.after == "." {
						if err := call.CloseSend(); err != nil {
							t.Error(err)
						}
					} else {
						sendInputs(t, call, test.after)
					}
					if !test.receiving {
						go receive()
					}
					p = <-accepted
					f = p.expect(kindCommand)
					if f.Payload[0] != 1 {
						t.Errorf("command %d came", f.Payload[0])
					}
					if test.after == "." {
						p.inputs(test.before)
						if f := p.expect(kindInput); f.Flags&wire.FlagLast == 0 {
							t.Errorf("got %+v", f)
						}
					} else {
						p.inputs(test.before + test.after)
					}
					p.answer(f.Slot, 7)
					if err := <-got; err != nil {
						t.Error(err)
					}
					if _, err := call.Receive(); err != io.EOF {
						t.Errorf("at the end: %v", err)
					}
				})
			})
		}
	}
}

// openDirect returns a client that reconnects, without a session.
func openDirect(t *testing.T) (*client.Client[receiver], *peer, *memnet.Listener) {
	l := memnet.Listen()
	accepted := acceptLater(t, l)
	c := redial(t, l.Dial, client.Conf{})
	return c, <-accepted, l
}

// The same of one that no connection has taken.
func TestOpenThatNeverLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p, l := openDirect(t)
		stuck := make(chan base.AsyncResult, 16)
		for range 9 { // more than the connection takes
			mustSend(t, c, command{N: 9, Body: body(8000)}, stuck)
		}
		call := open(t, c, command{N: 1})
		sendInputs(t, call, "abc")
		accepted := acceptLater(t, l)
		p.nc.Cut(memnet.RST)
		got := make(chan error, 1)
		go func() {
			_, err := call.Receive()
			got <- err
		}()
		p = <-accepted
		slot, came := uint64(0), ""
		for came != "abc" { // the others that never left come, too
			f, ok := p.read()
			switch {
			case !ok:
				t.Fatalf("of its inputs %q came", came)
			case f.Kind == kindCommand && f.Payload[0] == 1:
				slot = f.Slot
			case f.Kind == kindInput && f.Slot == slot:
				came += string(f.Payload)
			}
		}
		call.Close()
		want(t, <-got, base.Unknown, base.ErrCanceled)
	})
}

// What must not, or can't, go out again ends the Call, and Send says so at once.
func TestOpenThatIsNotSentAgain(t *testing.T) {
	for name, test := range map[string]struct {
		harmless bool
		end      func(t *testing.T, p *peer, l *memnet.Listener, slot uint64)
		results  int
		outcome  base.Outcome
		code     base.Code
	}{
		"refused": {false, func(_ *testing.T, p *peer, _ *memnet.Listener, slot uint64) {
			p.fail(slot, wireFailure(base.Rejected, base.ErrBusy))
		}, 0, base.Rejected, base.ErrBusy},
		"lost": {false, func(_ *testing.T, p *peer, _ *memnet.Listener, _ uint64) {
			p.nc.Close()
		}, 0, base.Unknown, base.ErrConnLost},
		"a result had come": {true, func(_ *testing.T, p *peer, _ *memnet.Listener, slot uint64) {
			p.item(slot, 1)
			time.Sleep(10 * time.Millisecond) // it has come
			p.nc.Close()
		}, 1, base.Unknown, base.ErrConnLost},
		"inputs were taken": {true, func(_ *testing.T, p *peer, _ *memnet.Listener, slot uint64) {
			p.credit(slot, 4)
			time.Sleep(10 * time.Millisecond)
			p.nc.Close()
		}, 0, base.Unknown, base.ErrConnLost},
		"refused when it was sent again": {true, func(t *testing.T, p *peer, l *memnet.Listener, _ uint64) {
			p.nc.Close()
			p = accept(t, l)
			p.fail(p.expect(kindCommand).Slot, wireFailure(base.Rejected, base.ErrBusy))
		}, 0, base.Unknown, base.ErrBusy},
	} {
		for _, receiving := range []bool{true, false} {
			t.Run(fmt.Sprint(name, ", in Receive: ", receiving), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					c, p, l := openDirect(t)
					var cmd base.Cmd[receiver] = command{N: 1}
					if test.harmless {
						cmd = harmless{command{N: 1}}
					}
					call, err := c.Open(t.Context(), cmd)
					if err != nil {
						t.Fatal(err)
					}
					defer call.Close()
					f := p.expect(kindCommand)
					sendInputs(t, call, "abcd")
					p.inputs("abcd")
					got := make(chan error, 2)
					receive := func() {
						for range test.results + 1 {
							_, err := call.Receive()
							got <- err
						}
					}
					if receiving {
						go receive()
						synctest.Wait()
					}
					begin := time.Now()
					ended := make(chan struct{})
					go func() {
						test.end(t, p, l, f.Slot)
						close(ended)
					}()
					for call.Send([]byte("x")) == nil {
						time.Sleep(time.Millisecond)
					}
					if took := time.Since(begin); took > time.Second {
						t.Errorf("Send returned after %v", took)
					}
					if !receiving {
						go receive()
					}
					for range test.results {
						if err := <-got; err != nil {
							t.Error(err)
						}
					}
					want(t, <-got, test.outcome, test.code)
					<-ended
				})
			})
		}
	}
}

// The error of a command of Open that could not be sent once more tells its Seq.
func TestTheErrorOfAnOpenThatIsNotSentAgain(t *testing.T) {
	l := memnet.Listen()
	var dials atomic.Int32
	accepted := acceptLater(t, l)
	c := redial(t, func(ctx context.Context) (net.Conn, error) {
		if dials.Add(1) > 1 {
			return nil, errors.New("no")
		}
		return l.Dial(ctx)
	}, client.Conf{})
	p := <-accepted
	x, err := c.Open(context.Background(), command{})
	if err != nil {
		t.Fatal(err)
	}
	p.expect(kindCommand)
	p.goaway("bye")
	p.fail(0, wire.Failure{Outcome: uint8(base.Rejected), Code: string(base.ErrDraining), Message: "draining"})
	go func() { time.Sleep(200 * time.Millisecond); c.Close() }()
	_, err = x.Receive()
	var e *base.Error
	if !errors.As(err, &e) || e.Seq != x.Seq() {
		t.Errorf("%#v, want Seq %d", e, x.Seq())
	}
}

// The error of a call that was closed, in a session, tells the command's ID.
func TestTheErrorOfAClosedCall(t *testing.T) {
	c, p, _, _ := openSession(t, client.Conf{})
	x, err := c.Open(t.Context(), command{})
	if err != nil {
		t.Fatal(err)
	}
	p.expect(kindCommand)
	x.Close()
	_, err = x.Receive()
	want(t, err, base.Unknown, base.ErrCanceled)
	if e := (*base.Error)(nil); !errors.As(err, &e) || e.ID == (base.ID{}) || e.Seq != x.Seq() {
		t.Errorf("%#v does not tell which command it was", err)
	}
}
