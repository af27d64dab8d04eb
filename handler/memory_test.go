package handler_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/wire"
)

// noMemory begins the refusal of a body.
const noMemory = "there is no memory at the moment for a body of "

// chunk sends a piece of a command; total is that of its first one.
func (v *visitor) chunk(kind wire.Kind, slot, total, size int, more bool) {
	v.host.t.Helper()
	var payload []byte
	if total > 0 {
		payload = wire.AppendUvarint(nil, uint64(total))
	}
	var flags wire.Flags
	if more {
		flags = wire.FlagMore
	}
	v.write(frame(kind, flags, slot, append(payload, strings.Repeat("x", size)...)))
}

// long is a codec's command of any length whose body is one letter, again and again.
func long(exec func(c call) error) func(conf *handler.Conf[World]) {
	return func(conf *handler.Conf[World]) {
		conf.Codec = inputCodec{codec{decode: func(name string) (base.Cmd[World], error) { return cmd{name, exec}, nil }}}
		conf.MaxConnBytes, conf.MaxBytes = 250_000, 350_000
	}
}

// C13: a command in chunks for which there is no memory is refused at its first one,
// alone, and what it announced costs nothing.
func TestACommandWithoutMemoryIsRefused(t *testing.T) {
	withHost(t, nil, long(sleeper), func(t *testing.T, h *host) {
		v, w := h.guest(), h.guest()
		v.chunk(wire.KindCommand, 0, 200_000, 50_000, true)
		settle()
		if n := h.Bytes(); n != 200_000 {
			t.Errorf("%d bytes are held", n)
		}
		v.chunk(wire.KindCommand, 1, 100_000, 50_000, true) // above the connection's limit
		w.chunk(wire.KindCommand, 0, 200_000, 50_000, true) // above the server's
		for _, refused := range []*visitor{v, w} {
			if got := refused.take(); len(got) != 1 || !strings.Contains(got[0], ": rejected, busy: ") {
				t.Errorf("heard %q", got)
			}
		}
		v.chunk(wire.KindCommand, 1, 0, 50_000, false) // C9
		w.chunk(wire.KindCommand, 0, 0, 0, false)
		w.chunk(wire.KindCommand, 0, 100_000, 50_000, true) // there is room for this
		w.chunk(wire.KindCommand, 0, 0, 50_000, false)
		for range 2 {
			v.chunk(wire.KindCommand, 0, 0, 60_000, true)
		}
		v.chunk(wire.KindCommand, 0, 0, 30_000, false)
		v.command(2, "short")
		time.Sleep(time.Second)
		v.expect("0: slept.", "2: slept.")
		w.expect("0: slept.")
		if n := h.Bytes(); n != 0 || h.Counters.NoMemory.Load() != 2 {
			t.Errorf("%d bytes are held, %d refusals are counted", n, h.Counters.NoMemory.Load())
		}
	})
}

// A command in one frame is held against the limits too, unless it is small.
func TestMemoryOfCommandsInOneFrame(t *testing.T) {
	withHost(t, nil, long(sleeper), func(t *testing.T, h *host) {
		v, w := h.guest(), h.guest()
		body := strings.Repeat("x", 60_000)
		for slot := range 5 { // the fifth is above the connection's limit
			v.command(slot, body)
		}
		v.expect("4: rejected, busy: " + noMemory + "60000 bytes")
		w.command(0, body)
		w.command(1, body)
		w.expect("1: rejected, busy: " + noMemory + "60000 bytes") // above the server's
		w.command(1, body[:4<<10])
		time.Sleep(time.Second)
		v.expect("0: slept.", "1: slept.", "2: slept.", "3: slept.")
		w.expect("0: slept.", "1: slept.")
		if n := h.Counters.NoMemory.Load(); n != 2 {
			t.Errorf("%d refusals are counted", n)
		}
	})
}

// C13: a command whose input finds no memory fails, alone.
func TestAnInputWithoutMemory(t *testing.T) {
	withHost(t, nil, long(waiter), func(t *testing.T, h *host) {
		v := h.guest()
		for slot := range 3 {
			v.command(slot, "x")
		}
		settle() // each of them has started: else it would be rejected
		body := strings.Repeat("x", 60_000)
		for range 4 {
			v.input(0, body)
		}
		v.input(1, body)
		v.expect("1: failed, busy: " + noMemory + "60000 bytes")
		v.chunk(wire.KindInput, 2, 100_000, 50_000, true)
		if got := v.take(); len(got) != 1 || !strings.HasPrefix(got[0], "2: failed, busy: ") {
			t.Errorf("heard %q", got)
		}
		v.chunk(wire.KindInput, 2, 0, 0, false)
		if n := h.Counters.NoMemory.Load(); n != 2 || h.Bytes() != 240_000 {
			t.Errorf("%d refusals are counted, %d bytes held", n, h.Bytes())
		}
		v.cancel(0)
		settle()
		if n := h.Bytes(); n != 0 {
			t.Errorf("%d bytes are held", n)
		}
	})
}

// Memory is given back when what is held by it is over: half a command of a connection
// that was cut, of one that is canceled half-way, of one that is refused for another
// reason, of an input that nobody takes.
func TestMemoryIsGivenBack(t *testing.T) {
	for name, act := range map[string]func(h *host, v *visitor){
		"cut half-way": func(_ *host, v *visitor) {
			v.chunk(wire.KindCommand, 0, 200_000, 50_000, true)
			settle()
			v.cut()
		},
		"canceled half-way": func(_ *host, v *visitor) {
			v.chunk(wire.KindCommand, 0, 200_000, 50_000, true)
			v.cancel(0)
			v.chunk(wire.KindCommand, 0, 0, 0, false)
		},
		"while the server drains": func(_ *host, v *visitor) {
			v.conn.Drain(0)
			v.command(0, strings.Repeat("x", 60_000))
			v.chunk(wire.KindCommand, 1, 100_000, 50_000, true)
			v.chunk(wire.KindCommand, 1, 0, 50_000, false)
		},
		"of an input for nobody": func(_ *host, v *visitor) {
			v.chunk(wire.KindInput, 0, 100_000, 50_000, true)
			v.chunk(wire.KindInput, 0, 0, 50_000, false)
		},
		"in the queue": func(h *host, v *visitor) {
			other := h.guest()
			other.command(0, "x")
			settle()
			v.command(0, strings.Repeat("x", 60_000))
			settle()
			v.cancel(0)
		},
		"of what was shed": func(h *host, v *visitor) {
			v.command(0, "x")
			v.extras(1, wire.Extras{Timeout: 1}, strings.Repeat("x", 60_000))
			time.Sleep(time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			withHost(t, nil, func(conf *handler.Conf[World]) {
				long(waiter)(conf)
				conf.MaxRunning = 1
			}, func(t *testing.T, h *host) {
				act(h, h.guest())
				settle()
				if n := h.Bytes(); n != 0 {
					t.Errorf("%d bytes are held", n)
				}
			})
		})
	}
}

// A4: pings have a budget of a thousand, and a hundred a second.
func TestPingsHaveABudget(t *testing.T) {
	withHost(t, nil, nil, func(t *testing.T, h *host) {
		v, w := h.guest(), h.guest()
		v.write(make([]byte, 1000))
		settle()
		for range 20 {
			time.Sleep(time.Second)
			v.write(make([]byte, 100))
		}
		settle()
		if v.end() != nil {
			t.Fatalf("the connection ended by %v", v.end())
		}
		v.write(make([]byte, 200))
		h.broken("3001 pings came within 20")
		w.write(make([]byte, 900))
		time.Sleep(time.Hour) // the budget is whole again, and no more than that
		w.write(make([]byte, 1))
		settle()
		w.write(make([]byte, 1000))
		if w.end() != nil || h.Counters.Floods.Load() != 1 {
			t.Errorf("the connection ended by %v, %d floods are counted", w.end(), h.Counters.Floods.Load())
		}
		w.write(make([]byte, 1))
		h.broken("1001 pings came within ")
	})
}

// S6: credits for one command are no more than its results and a thousand.
func TestCreditsHaveABudget(t *testing.T) {
	withHost(t, commands{"wait": waiter}, nil, func(t *testing.T, h *host) {
		v := h.guest()
		v.command(0, "wait")
		for range 1000 {
			v.credit(0, 1)
		}
		if v.end() != nil {
			t.Errorf("the connection ended by %v", v.end())
		}
		v.credit(0, 1)
		h.broken("1001 credits came for the command on slot 0")
		if h.Counters.Floods.Load() != 1 || h.Counters.Breaches.Load() != 0 {
			t.Error("it is not counted as a flood")
		}
	})
}

// Bodies of which a part has come when the connection ends are gone with it, though its session stays.
func TestAHalfBodyIsGoneWithItsConnection(t *testing.T) {
	const slots, size, part = 7, 1 << 20, 60_000
	withHost(t, commands{"wait": waiter}, nil, func(t *testing.T, h *host) {
		v := h.open(1)
		v.send(7, 1, 1, "wait") // refers to the connection over which it came
		settle()
		before := heap()
		for slot := range slots {
			var first []byte
			first = wire.AppendExtras(first, wire.Extras{Seq: uint64(slot + 2)})
			first = wire.AppendUvarint(first, size)
			v.write(frame(wire.KindCommand, wire.FlagExtras|wire.FlagMore, slot, append(first, 'x')))
			for range 15 {
				v.chunk(wire.KindCommand, slot, 0, part, true)
			}
		}
		settle()
		if n := h.Bytes(); n != slots*size {
			t.Errorf("%d bytes are held", n)
		}
		if grown := heap() - before; grown < slots*15*part {
			t.Errorf("%d bytes have come: this test shows nothing", grown)
		}
		v.cut()
		if n := h.Bytes(); n != 0 {
			t.Errorf("%d bytes are held after the end", n)
		}
		if grown := heap() - before; grown > size/2 {
			t.Errorf("%d bytes are still there", grown)
		}
	})
}

// A whole body is gone, too, whose command breaks a rule.
func TestABodyThatBreaksARuleIsGoneWithItsConnection(t *testing.T) {
	const size, rounds = 1_000_000, 7
	withHost(t, commands{"fail": func(call) error { return errors.New("on purpose") }}, nil, func(t *testing.T, h *host) {
		v := h.open(1)
		before := heap()
		var list []wire.ClientSlot
		for slot := range rounds {
			v.send(slot, uint64(slot+10), 1, "fail") // its record refers to the connection until the client acknowledges it
			settle()
			first := wire.AppendExtras(nil, wire.Extras{Seq: 1}) // which is too old
			first = wire.AppendUvarint(first, size)
			v.write(frame(wire.KindCommand, wire.FlagExtras|wire.FlagMore, slot, append(first, make([]byte, size/20)...)))
			for n := range 19 {
				v.chunk(wire.KindCommand, slot, 0, size/20, n < 18)
			}
			v.take()
			list = append(list, stands(uint64(slot), uint64(slot+10), 0, 1))
			v.resume(list...)
		}
		v.cut()
		v.take()
		v.forgetResults()
		if n := h.Counters.Breaches.Load(); n != rounds {
			t.Errorf("%d rules were broken", n)
		}
		if grown := heap() - before; grown > size {
			t.Errorf("%d bytes are still there", grown)
		}
	})
}

// Nor do the records of a burst stay, whatever comes after it.
func TestTheRecordsOfABurstDoNotStay(t *testing.T) {
	const burst = 1000
	body := strings.Repeat("x", 4000)
	for name, after := range map[string]func(v *visitor, finish func()){
		"pings": func(v *visitor, finish func()) {
			finish()
			for range 3 {
				time.Sleep(2 * time.Second)
				v.write([]byte{wire.Ping})
			}
		},
		"small commands": func(v *visitor, finish func()) {
			finish()
			for n := range 300 {
				time.Sleep(10 * time.Millisecond)
				v.send(0, uint64(10_000+n), 1, "echo")
			}
		},
		"nothing": func(v *visitor, finish func()) {
			v.cancel(burst)
			time.Sleep(10 * time.Second)
			finish()
			time.Sleep(time.Minute)
		},
		"the end of the connection": func(v *visitor, finish func()) {
			v.cut()
			finish()
			time.Sleep(time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var answer, gate chan struct{}
			withHost(t, commands{"wait": waiter, "echo": echo, body: func(c call) error {
				<-answer
				err := c.last("")
				<-gate
				return err
			}}, func(conf *handler.Conf[World]) {
				answer, gate = make(chan struct{}), make(chan struct{})
				conf.MaxInFlight = burst + 1
			}, func(t *testing.T, h *host) {
				v := h.open(1)
				v.send(burst, 1, 1, "wait")
				settle()
				before := heap()
				for slot := range burst {
					v.send(slot, uint64(slot+2), 1, body)
				}
				settle()
				if grown := heap() - before; grown < burst*4000 {
					t.Errorf("the burst has %d bytes: this test shows nothing", grown)
				}
				close(answer)
				settle()
				after(v, func() { close(gate); settle() })
				v.forgetResults()
				if grown := heap() - before; grown > burst*2000 {
					t.Errorf("%d bytes are still there", grown)
				}
			})
		})
	}
}
