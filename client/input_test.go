package client_test

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/wire"
)

const kindInput = wire.KindInput

// open opens a command that can be sent inputs, until the test's end.
func open(t *testing.T, c *client.Client[receiver], cmd command) base.Call {
	t.Helper()
	call, err := c.Open(t.Context(), cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { call.Close() })
	return call
}

// sendInputs sends inputs of one byte each.
func sendInputs(t *testing.T, call base.Call, text string) {
	t.Helper()
	for i := range text {
		if err := call.Send([]byte(text[i : i+1])); err != nil {
			t.Errorf("input %q: %v", text[i], err)
		}
	}
}

// inputs checks which inputs come next.
func (p *peer) inputs(want string) {
	p.t.Helper()
	got := ""
	for range want {
		got += string(p.expect(kindInput).Payload)
	}
	if got != want {
		p.t.Errorf("the inputs are %q, want %q", got, want)
	}
}

func (p *peer) credit(slot, n uint64) {
	p.send(kindCredit, 0, slot, wire.AppendUvarint(nil, n))
}

// An answer of which the last item breaks a rule has no effect at all: the server that
// says otherwise over the next connection is believed in all.
func TestAnAnswerThatBreaksARuleChangesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p, l, session := openSession(t, client.Conf{})
		call := open(t, c, command{N: 1})
		p.expect(kindCommand)
		sendInputs(t, call, "abcde")
		p.inputs("abcde")
		plain := start(t.Context(), c, command{N: 2})
		p.expect(kindCommand)
		results := make(chan base.AsyncResult, 4)
		mustSend(t, c, command{N: 3}, results)
		p.item(p.expect(kindCommand).Slot, 1)
		<-results
		p.nc.Cut(memnet.FIN)

		p, _ = resumed(t, l, session, 2)
		p.stand(
			wire.ServerSlot{Slot: 0, Seen: true, Inputs: 5, Credit: 8}, // it has taken all five
			wire.ServerSlot{Slot: 1},
			wire.ServerSlot{Slot: 2}, // of which it has sent a result
		)
		p.ended()

		p, list := resumed(t, l, session, 3)
		wantList(
			t, list,
			wire.ClientSlot{Slot: 0, Seq: 1, Credit: 64, Inputs: 5},
			wire.ClientSlot{Slot: 1, Seq: 2, Credit: 1},
			wire.ClientSlot{Slot: 2, Seq: 3, Seen: 1, Credit: 4},
		)
		p.stand(
			wire.ServerSlot{Slot: 0, Seen: true, Inputs: 2, Credit: 6},
			wire.ServerSlot{Slot: 1, Seen: true},
			wire.ServerSlot{Slot: 2, Seen: true},
		)
		p.inputs("cde")
		p.answer(1, 9)
		if o := <-plain; o.n != 9 || o.err != nil {
			t.Errorf("got %+v", o)
		}
		p.answer(2, 2)
		<-results
		p.answer(0, 3)
		if r, err := call.Receive(); err != nil || r.(result).N != 3 {
			t.Errorf("got %v, %v", r, err)
		}
	})
}

// Whatever a server says to have taken: an input that was not sent is sent.
func TestCreditForInputsThatWereNotSent(t *testing.T) {
	t.Run("in the list", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			c, p, l, session := openSession(t, client.Conf{})
			call := open(t, c, command{N: 1})
			p.expect(kindCommand)
			sendInputs(t, call, "abcde")
			p.inputs("abcde")
			p.nc.Cut(memnet.FIN)
			p, _ = resumed(t, l, session, 2)
			p.stand(wire.ServerSlot{Slot: 0, Seen: true, Inputs: 1, Credit: 100})
			p.inputs("bcde")
			p.nc.Cut(memnet.FIN) // and if they were lost, they are there still
			p, _ = resumed(t, l, session, 3)
			p.stand(wire.ServerSlot{Slot: 0, Seen: true, Inputs: 1, Credit: 100})
			p.inputs("bcde")
		})
	})
	t.Run("before they were sent", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			c, p, l, session := openSession(t, client.Conf{})
			call := open(t, c, command{N: 1})
			p.expect(kindCommand)
			sent := make(chan error, 1)
			go func() { sent <- call.Send(body(2 << 20)) }()
			p.wholeInput()
			if err := <-sent; err != nil {
				t.Error(err)
			}
			sendInputs(t, call, "b")
			p.inputs("b")
			p.nc.Cut(memnet.FIN)
			p, _ = resumed(t, l, session, 2)
			p.stand(wire.ServerSlot{Slot: 0, Seen: true, Credit: 8})
			synctest.Wait() // the large one is under way
			p.credit(0, 100)
			synctest.Wait()
			p.wholeInput()
			p.inputs("b")
		})
	})
}

// wholeInput reads an input, in chunks or not.
func (p *peer) wholeInput() {
	p.t.Helper()
	for f := p.expect(kindInput); f.Flags&wire.FlagMore != 0; f = p.expect(kindInput) {
	}
}

// The end of the connection, or of a body, is not that of the results.
func TestAnEndThatIsNotThatOfTheResults(t *testing.T) {
	for name, act := range map[string]func(p *peer){
		"of the connection": func(p *peer) { p.nc.Cut(memnet.FIN) },
		"of a body":         func(p *peer) { p.send(kindResult, wire.FlagLast, 0, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c, p := newPeer(t, client.Conf{})
				call := open(t, c, command{N: 1})
				p.expect(kindCommand)
				act(p)
				if _, err := call.Receive(); err == nil || errors.Is(err, io.EOF) {
					t.Errorf("Receive returned %v", err)
				}
			})
		})
	}
}

// L3: a server that gives credit for inputs before it has answered for them is wrong.
func TestCreditForInputsBeforeTheAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p, l, session := openSession(t, client.Conf{})
		call := open(t, c, command{N: 1})
		p.expect(kindCommand)
		sendInputs(t, call, "abc")
		p.inputs("abc")
		p.nc.Cut(memnet.FIN)
		p, _ = resumed(t, l, session, 2)
		p.credit(0, 3)
		p.ended()
		p, _ = resumed(t, l, session, 3)
		p.stand(wire.ServerSlot{Slot: 0, Seen: true, Credit: 8})
		p.inputs("abc")
	})
}
