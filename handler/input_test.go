package handler_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/transport"
	"github.com/cmdstream/cmdstream/wire"
)

// repeat sends back what it receives.
func repeat(c call) error {
	for {
		input, err := c.receive()
		if err == io.EOF {
			return c.last("end")
		}
		if err != nil {
			return err
		}
		if err := c.send(input.(string)); err != nil {
			return err
		}
	}
}

// deaf takes as many inputs as its gate lets it.
func deaf(gate <-chan struct{}) func(c call) error {
	return func(c call) error {
		for {
			select {
			case <-gate:
			case <-c.ctx.Done():
				return nil
			}
			if _, err := c.receive(); err != nil {
				return err
			}
		}
	}
}

// end says that no input follows.
func (v *visitor) endInputs(slot int, text string) {
	v.host.t.Helper()
	v.write(frame(wire.KindInput, wire.FlagLast, slot, []byte(text)))
}

// I1, I3: inputs come in their order, until the last.
func TestInputsComeInOrder(t *testing.T) {
	withHost(t, commands{"repeat": repeat}, nil, func(t *testing.T, h *host) {
		v := h.guest()
		v.extras(0, wire.Extras{Credit: 100}, "repeat")
		v.input(0, "a")
		v.input(0, "")
		v.input(0, "b")
		v.endInputs(0, "")
		v.inOrder("0: a", "0: ", "0: b", "0: end.")
		v.extras(1, wire.Extras{Credit: 100}, "repeat")
		v.expect()
		v.endInputs(1, "the last") // with a body it is an input
		v.inOrder("1: the last", "1: end.")
	})
}

// I2, I4: eight may come at first, and as many more as the command takes, in halves
// of that. The end needs no credit.
func TestInputsNeedCredit(t *testing.T) {
	gate := make(chan struct{})
	withHost(t, nil, func(conf *handler.Conf[World]) {
		gate = make(chan struct{})
		conf.Codec = inputCodec{codec{commands: commands{"deaf": deaf(gate)}}}
	}, func(t *testing.T, h *host) {
		v := h.guest()
		v.command(0, "deaf")
		for range 8 {
			v.input(0, "x")
		}
		for range 3 {
			gate <- struct{}{}
		}
		v.expect()
		gate <- struct{}{}
		v.expect("0: credit 4")
		for range 4 {
			v.input(0, "x")
		}
		v.endInputs(0, "")
		settle()
		for range 8 {
			gate <- struct{}{}
		}
		v.expect("0: credit 4", "0: credit 4")
	})
}

func TestInputsThatBreakARule(t *testing.T) {
	for rule, act := range map[string]func(v *visitor){
		"9 inputs came on slot 0, where there was credit for 8": func(v *visitor) {
			for range 9 {
				v.input(0, "x")
			}
		},
		"an input came on slot 0 after the last one": func(v *visitor) {
			v.endInputs(0, "x")
			v.endInputs(0, "")
		},
		"command 1 has got 1 inputs, the client says to have sent 0": func(v *visitor) {
			v.input(0, "x")
			settle()
			v.cut()
			v.resume(stands(0, 1, 0, 1))
		},
	} {
		t.Run(rule, func(t *testing.T) {
			withHost(t, commands{"wait": waiter}, nil, func(t *testing.T, h *host) {
				v := h.open(1)
				v.send(0, 1, 1, "wait")
				act(v)
				h.broken(rule)
			})
		})
	}
}

// I5: after a cut the client learns how many have come, the end counted, and how many
// more may.
func TestInputsGoOnAfterAResume(t *testing.T) {
	gate := make(chan struct{})
	withHost(t, nil, func(conf *handler.Conf[World]) {
		gate = make(chan struct{})
		conf.Codec = inputCodec{codec{commands: commands{"deaf": deaf(gate), "repeat": repeat}}}
	}, func(t *testing.T, h *host) {
		v := h.open(1)
		v.send(0, 1, 1, "deaf")
		v.send(1, 2, 9, "repeat")
		for range 5 {
			v.input(0, "x")
		}
		v.input(1, "a")
		v.endInputs(1, "")
		v.expect("1: a", "1: end.")
		v.cut()
		for range 4 { // credit for these goes nowhere
			gate <- struct{}{}
		}
		list := []wire.ClientSlot{stands(0, 1, 0, 1), stands(1, 2, 0, 9)}
		list[0].Inputs, list[1].Inputs = 7, 2 // the last two of the first were lost
		v.resume(list...)
		v.inOrder("list 0:seen,5+7 1:seen,2+6", "1: a", "1: end.")
		for range 7 {
			v.input(0, "x")
		}
		v.expect()
		v.input(0, "x")
		h.broken("13 inputs came on slot 0, where there was credit for 12")
	})
}

// I6: an input that is too large fails its command.
// hooked is a transport that calls a function as it appends the answer to a list.
type hooked struct {
	transport.Transport
	hook func()
}

func (h hooked) Append(dst []byte, m *transport.Message) (out, tail []byte, more bool) {
	if m.Kind == transport.Resume {
		h.hook()
	}
	return h.Transport.Append(dst, m)
}

// Credit for inputs that are taken after the list was made, and before the command goes on, is not
// lost: its client has none else.
func TestInputsThatAreTakenDuringAResume(t *testing.T) {
	gate, took := make(chan struct{}), make(chan struct{})
	withHost(t, commands{"take": func(c call) error {
		<-gate
		for range 8 {
			if _, err := c.receive(); err != nil {
				return err
			}
		}
		took <- struct{}{}
		if _, err := c.receive(); err != nil {
			return err
		}
		return c.last("nine")
	}}, nil, func(t *testing.T, h *host) {
		gate, took = make(chan struct{}), make(chan struct{})
		h.transport = func(o transport.Options) transport.Transport {
			return hooked{transport.Framed(o), func() { gate <- struct{}{}; <-took }}
		}
		v := h.open(1)
		v.send(0, 1, 1, "take")
		for range 8 {
			v.input(0, "x")
		}
		settle()
		v.cut()
		s := stands(0, 1, 0, 1)
		s.Inputs = 8
		v.resume(s)
		v.expect("list 0:seen,8+0", "0: credit 8")
		v.input(0, "x")
		v.expect("0: nine.")
	})
}

func TestAnInputThatIsTooLarge(t *testing.T) {
	var ended error
	withHost(t, commands{"wait": func(c call) error {
		<-c.ctx.Done()
		_, ended = c.receive()
		return nil
	}}, func(conf *handler.Conf[World]) { conf.MaxCmdSize = 100 }, func(t *testing.T, h *host) {
		v := h.guest()
		v.command(0, "wait")
		v.input(0, strings.Repeat("x", 100))
		v.expect()
		v.input(0, strings.Repeat("x", 101))
		if got := v.take(); len(got) != 1 || !strings.HasPrefix(got[0], "0: failed, too_large_cmd") {
			t.Errorf("heard %q", got)
		}
		if !errors.Is(ended, base.ErrCommandEnded) {
			t.Errorf("Receive returned %v", ended)
		}
	})
}

// I7: what comes for a command that has ended is dropped, and what it has not taken is
// given back.
func TestInputsOfACommandThatHasEnded(t *testing.T) {
	withHost(t, commands{"wait": waiter, "gated": func(c call) error {
		time.Sleep(time.Second)
		return c.last("done")
	}}, nil, func(t *testing.T, h *host) {
		for _, v := range []*visitor{h.guest(), h.open(1)} {
			for slot, name := range []string{"wait", "gated"} {
				v.command(slot, name)
				v.input(slot, strings.Repeat("x", 10_000))
			}
			settle()
			if n := h.Bytes(); n != 20_000 {
				t.Errorf("%d bytes are held", n)
			}
			v.cancel(0)
			time.Sleep(2 * time.Second)
			v.expect("0: unknown, canceled: the command was canceled while the server was running it", "1: done.")
			v.input(0, strings.Repeat("x", 10_000))
			v.endInputs(1, "")
			v.input(5, "x") // there was none
			settle()
			if n := h.Bytes(); n != 0 || v.end() != nil {
				t.Errorf("%d bytes are held; the connection ended by %v", n, v.end())
			}
		}
	})
}

// What an input's codec does costs its command, no more.
func TestInputsThatTheCodecRefuses(t *testing.T) {
	withHost(t, commands{"repeat": repeat}, nil, func(t *testing.T, h *host) {
		v := h.guest()
		v.command(0, "repeat")
		v.input(0, "refused")
		v.command(1, "repeat")
		v.input(1, "panic")
		v.command(2, "repeat")
		v.input(2, "fine")
		v.expect("0: failed, decode: the server's codec refused an input: refused on purpose",
			"1: failed, panic: the server's codec panicked: on purpose", "2: fine")
		if n := h.Counters.Panics.Load(); n != 1 {
			t.Errorf("%d panics are counted", n)
		}
	})
}

// I3: only the client says that no input follows. A command whose client dies half-way
// must not take what has come for all.
func TestAnEndThatIsNotThatOfTheInputs(t *testing.T) {
	for name, act := range map[string]func(v *visitor){
		"of the connection": func(v *visitor) { v.peer.conn.Cut(memnet.FIN) },
		"of a frame": func(v *visitor) {
			v.write(frame(wire.KindInput, 0, 0, []byte("abc"))[:4])
			v.peer.conn.Cut(memnet.FIN)
		},
		"by a reset": func(v *visitor) { v.peer.conn.Cut(memnet.RST) },
		"of a body":  func(v *visitor) { v.input(0, "") },
	} {
		t.Run(name, func(t *testing.T) {
			var got []byte
			var end error
			withHost(t, nil, func(conf *handler.Conf[World]) {
				conf.Codec = bytewise{codec{commands: commands{"take": func(c call) error {
					for letter, err := range base.Receive[byte](c.seq, c.Proxy) {
						if end = err; err != nil {
							return err
						}
						got = append(got, letter)
					}
					return c.last("all has come")
				}}}}
			}, func(t *testing.T, h *host) {
				v := h.guest()
				v.command(0, "take")
				v.input(0, "a")
				v.input(0, "b")
				settle()
				act(v)
				settle()
			})
			if string(got) != "ab" || end == nil || errors.Is(end, io.EOF) {
				t.Errorf("the command got %q, and then %v", got, end)
			}
		})
	}
}

// bytewise is a codec whose inputs are a byte each, as a codec reads one.
type bytewise struct{ codec }

func (bytewise) DecodeInput(_ base.Cmd[World], r transport.Reader) (any, error) { return r.ReadByte() }

func TestACodecWithoutDecodeInput(t *testing.T) {
	withHost(t, nil, func(conf *handler.Conf[World]) { conf.Codec = codec{commands: commands{"repeat": repeat}} }, func(t *testing.T, h *host) {
		v := h.guest()
		v.command(0, "repeat")
		v.expect("0: failed, unsupported: the server's codec has no DecodeInput")
	})
}

// A Receive that waits ends with the command, and after its return.
func TestReceiveEndsWithTheCommand(t *testing.T) {
	ends := make(chan error, 2)
	withHost(t, commands{
		"wait": func(c call) error { _, err := c.receive(); ends <- err; return err },
		"leave": func(c call) error {
			go func() { _, err := c.receive(); ends <- err }()
			time.Sleep(time.Second)
			return c.last("left")
		},
		"after": func(c call) error { c.last("done"); _, err := c.receive(); ends <- err; return nil },
	}, func(*handler.Conf[World]) { ends = make(chan error, 2) }, func(t *testing.T, h *host) {
		v := h.guest()
		v.command(0, "wait")
		settle()
		v.cancel(0)
		if err := <-ends; !errors.Is(err, base.ErrCommandEnded) {
			t.Errorf("canceled: %v", err)
		}
		v.extras(0, wire.Extras{Timeout: 1_000_000}, "wait")
		if err := <-ends; !errors.Is(err, base.ErrCommandEnded) {
			t.Errorf("late: %v", err)
		}
		for _, name := range []string{"leave", "after"} {
			v.command(0, name)
			if err := <-ends; !errors.Is(err, base.ErrCommandEnded) {
				t.Errorf("%s: %v", name, err)
			}
			settle()
		}
		v.take()
	})
}

// Inputs that wait are the command's own: what comes after them over the connection is
// elsewhere. Their memory is given back as they are taken.
func TestInputsThatWait(t *testing.T) {
	withHost(t, commands{"later": func(c call) error { time.Sleep(time.Second); return repeat(c) }, "echo": echo}, nil, func(t *testing.T, h *host) {
		v := h.guest()
		v.extras(0, wire.Extras{Credit: 9}, "later")
		for _, text := range []string{"abc", "def", strings.Repeat("x", 10_000)} {
			v.input(0, text)
			settle()
		}
		v.command(1, "echo")
		time.Sleep(2 * time.Second)
		v.inOrder("1: echo.", "0: abc", "0: def", "0: 10000 bytes")
		if n := h.Bytes(); n != 0 || h.Running() != 1 {
			t.Errorf("%d bytes are held", n)
		}
	})
}

// Of a command that has got inputs they are told, too, when it has answered and returned.
func TestInputsOfACommandThatHasAnswered(t *testing.T) {
	withHost(t, commands{"two": func(c call) error {
		for range 2 {
			if _, err := c.receive(); err != nil {
				return err
			}
		}
		return c.last("two")
	}}, nil, func(t *testing.T, h *host) {
		v := h.open(1)
		v.send(0, 1, 1, "two")
		v.input(0, "a")
		v.input(0, "b")
		if got := v.take(); got[len(got)-1] != "0: two." {
			t.Errorf("heard %q", got)
		}
		v.cut()
		listed := stands(0, 1, 0, 1)
		listed.Inputs = 2
		v.resume(listed)
		v.inOrder("list 0:seen,2+6", "0: two.")
	})
}
