package client_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/frugal"
	"github.com/cmdstream/cmdstream/internal/memnet"
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
		frugal.Check(t, 4<<20+2000*len(b), func() { hearBytes(t, hello, plain, b) })
	})
}

// hearBytes has a client hear what a server says.
func hearBytes(t *testing.T, hello []byte, plain bool, b []byte) {
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
}

// FuzzServerSessions has a server say what the fuzzer made up, over one connection after
// the other, to a client with a session or without.
func FuzzServerSessions(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x00\x00\x24\x00\x07\x01\x01\x04\x01\x00\x00\x00"))
	f.Add([]byte("\x00\x01\x20\x00\x07\x00\x02\x04\x01\x00\x00\x00" + "\x84\x00\x10\x00\x01\x00\x08\x01\x00" + "\x01\x90\x00\x02\x00x"))
	f.Add([]byte("\x02\x01\x21\x01\x03\x05ab" + "\x25\x01\x00\x30\x01\x03\x03\x00\x00" + "\x00\x50\x03\x01\x08"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 2<<10 {
			t.Skip()
		}
		lie(t, b, func(x *liar) {
			x.tainted = true
			for range 6 {
				x.user(x.stream)
				x.user(x.do)
				x.send(1)
				x.open()
				x.input(x.Pick(2))
				end, _ := x.end(0)
				if !end.answered {
					if x.Pick(4) != 3 {
						x.answerHello(end, wire.StatusOK)
					}
				}
				said := x.Take(16 * (1 + x.Pick(16)))
				x.say(end, said)
				x.bounded()
				if len(x.Deck.B) == 0 {
					break
				}
				end.nc.Cut(memnet.RST)
				time.Sleep(time.Second)
				synctest.Wait()
			}
		})
	})
}

// FuzzServerFrames has a server say frames that are mostly right, while the client's
// users do all that they can, so that it comes deep into sessions.
func FuzzServerFrames(f *testing.F) {
	for _, seed := range liarSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 512 {
			t.Skip()
		}
		lie(t, b, func(x *liar) {
			for len(x.Deck.B) > 0 && x.c.Err() == nil {
				x.act()
				synctest.Wait()
				x.bounded()
			}
		})
	})
}

// liarSeeds are programs, as act reads them.
var liarSeeds = []string{
	"",
	"\x00\x01\x10\x00\x00\x00\x00\x10\x00\x00\x00\x00\x10\x0a\x00\x01\x10\x00\x00\x00\x00\x1d\x02\x1d\x02\x10\x0c\x00\x10\x00\x00\x01\x00",
	"\x00\x03\x04\x00\x00\x04\x00\x00\x10\x0b\x00\x02\x04\x01\x00\x04\x01\x00\x1d\x02\x1d\x02\x10\x0c\x00\x10\x07\x00\x04\x10\x00\x00\x01\x00",
	"\x04\x00\x02\x01\x05\x10\x04\x00\x00\x06\x10\x05\x00\x00\x10\x0f\x01\x01\x03\x06\x01\x10\x06\x02\x03",
	"\x02\x02\x00\x01\x10\x00\x00\x00\x05\x07\x00\x10\x00\x00\x00\x04\x0a\x00\x10\x08\x00\x00\x00\x1d\x01",
	"\x01\x00\x01\x05\x10\x00\x00\x00\x00\x10\x0a\x00\x00\x1d\x01\x10\x00\x01\x01\x02",
	"\x00\x01\x10\x00\x00\x00\x00\x10\xfa\x00\x01\x1d\x02\x10\xfc\x00\x01\x01\x00\x05\x10\xff\x00",
}

// act does the next thing: the users', or the server's.
func (x *liar) act() {
	synctest.Wait() // the client has dialed, and said its hello
	if end, _ := x.end(0); end.heard && !end.answered {
		status := wire.StatusOK
		if x.Pick(16) == 15 {
			status = wire.Status(x.Pick(9))
		}
		x.answerHello(end, status)
		if x.answers(end) && x.Pick(8) != 7 {
			x.stand(end)
		}
	}
	switch x.Pick(32) {
	case 0:
		x.user(x.do)
	case 1:
		x.user(x.stream)
	case 2:
		x.send(x.Pick(4))
	case 3:
		x.open()
	case 4:
		x.input(x.Pick(3))
	case 5:
		x.user(x.large)
	case 6:
		if n := len(x.cancels); n > 0 {
			x.cancels[x.Pick(n)]()
		}
	case 7:
		if n := len(x.seqs); n > 0 {
			seq := x.seqs[x.Pick(n)]
			x.c.Has(seq)
			x.c.Forget(seq)
		}
	case 8:
		x.input(-1)
	case 9:
		x.input(9 << 10)
	case 10:
		if n := len(x.calls); n > 0 {
			x.calls[x.Pick(n)].Close()
		}
	case 29, 30:
		time.Sleep([]time.Duration{time.Millisecond, time.Second, 6 * time.Second, time.Minute}[x.Pick(4)])
	default:
		x.speak()
	}
}

// speak says something over the newest connection, or the one before.
func (x *liar) speak() {
	what, back := x.Byte(), 0
	if what&0x80 != 0 && what < 0xf0 {
		back = 1
	}
	end, newer := x.end(back)
	if !end.answered || newer != nil && end.table == newer.table {
		return // what it would say is not heard, and the newer one knows better what was
	}
	x.wrong = what >= 0xf0
	x.mu.Lock()
	x.dishonest = x.dishonest || x.wrong
	x.tainted = x.tainted || x.wrong && (end.deaf || end.late) // it speaks of what it has not heard, or will be heard late
	x.mu.Unlock()
	what %= 16
	if x.answers(end) && !x.wrong && what != 10 && what != 11 {
		what = 12 // nothing may come before
	}
	slot := x.Pick(liarSlots)
	for i := 0; !x.wrong && !end.table.slots[slot].open && i < liarSlots; i++ {
		slot = (slot + 1) % liarSlots
	}
	k := &end.table.slots[slot]
	if !x.wrong {
		switch {
		case what == 5 && k.partial == nil, what == 15 && end.hello.Compressions == nil, what == 14:
			return
		case what > 7 && what != 15:
		case !k.open:
			return
		case k.partial != nil && what != 7:
			what = 5
		case k.sent >= k.granted && what != 5 && what != 6 && what != 7:
			return
		}
	}
	switch what {
	case 0, 1, 2, 3: // a result, in one frame
		last := x.lastOne()
		x.say(end, appendFrame(nil, kindResult, last, uint64(slot), x.result(end, slot, last)))
	case 4: // the first chunk of one
		flags := x.lastOne()
		body := x.result(end, slot, flags)
		half := len(body) / 2
		k.partial, k.open = body[half:], true
		k.ends = flags != 0
		x.say(end, appendFrame(nil, kindResult, flags|wire.FlagMore, uint64(slot), append(wire.AppendUvarint(nil, uint64(len(body))), body[:half]...)))
	case 5: // a further chunk
		piece, flags := k.partial, wire.Flags(0)
		switch how := x.Pick(4); {
		case how == 1 && len(piece) > 1:
			piece, flags = piece[:len(piece)/2], flags|wire.FlagMore
			k.partial = k.partial[len(piece):]
		default:
			k.partial = nil
			k.open = !k.ends
		}
		x.say(end, appendFrame(nil, kindResult, flags, uint64(slot), piece))
	case 6:
		k.open = false
		x.say(end, appendFrame(nil, kindFailure, 0, uint64(slot), wire.AppendFailure(nil, wire.Failure{Outcome: x.Byte(), Code: "busy", RetryAfter: x.Number()})))
	case 7:
		n := x.Number()
		if !x.wrong {
			if n = min(n, uint64(k.inputs-k.taken)); n == 0 {
				return
			}
			k.taken += int(n)
		}
		x.say(end, appendFrame(nil, kindCredit, 0, uint64(slot), wire.AppendUvarint(nil, n)))
	case 8:
		x.say(end, appendFrame(nil, kindGoaway, 0, 0, wire.AppendGoaway(nil, wire.Goaway{RetryAfter: x.Number() & 0xff, Reason: "bye"})))
	case 9:
		x.say(end, []byte{wire.Ping})
	case 10: // what it says does not come any more
		end.late = true
		end.nc.Cut(memnet.FIN + memnet.Kind(x.Pick(3)))
	case 11: // what it is told does not come any more
		end.deaf = true
		end.far.Cut(memnet.FIN + memnet.Kind(x.Pick(3)))
	case 12, 13:
		if x.answers(end) || x.wrong {
			x.stand(end)
		}
	case 14:
		x.mu.Lock()
		x.tainted = true
		x.mu.Unlock()
		x.say(end, x.Take(1+x.Pick(32)))
	case 15: // compressed
		last := x.lastOne()
		body, err := packed.Compress(nil, x.result(end, slot, last))
		if err != nil {
			x.t.Fatal(err)
		}
		x.say(end, appendFrame(nil, kindResult, last|wire.FlagCompressed, uint64(slot), body))
	}
}

func (x *liar) lastOne() wire.Flags {
	if x.Pick(4) == 1 {
		return wire.FlagLast
	}
	return 0
}

// result is the next one of the command on a slot.
func (x *liar) result(end *liarEnd, slot int, last wire.Flags) []byte {
	x.mu.Lock()
	defer x.mu.Unlock()
	k := &end.table.slots[slot]
	if k.partial != nil { // this will count as a piece of that
		x.tainted, k.partial = true, nil
	}
	k.sent++
	k.open = last == 0
	size := []int{4, 4, 4, 1000, 3000, 5000, liarResult - 20, liarResult + 1, 70 << 10}[x.Pick(9)]
	body := make([]byte, min(size, 60<<10))
	binary.LittleEndian.PutUint32(body, uint32(k.sent))
	return encodeResult(result{N: k.id, Last: last != 0, Body: body})
}

// answers tells whether the client waits for an answer to its list.
func (x *liar) answers(end *liarEnd) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return end.hello.Session != nil && end.hello.Session.Resume && !end.stood
}

// stand answers the client's list, as is right, or with something wrong.
func (x *liar) stand(end *liarEnd) {
	x.mu.Lock()
	list := end.list
	listed := end.listed
	x.mu.Unlock()
	if !listed && !x.wrong {
		return
	}
	var slots []wire.ServerSlot
	for _, state := range list {
		k := &end.table.slots[state.Slot]
		slots = append(slots, wire.ServerSlot{
			Slot: uint64(state.Slot), Seen: (k.seq == state.Seq) != (x.wrong && x.Pick(4) == 3),
			Inputs: uint64(k.inputs), Credit: uint64(8 + k.taken - min(k.inputs, 8+k.taken)),
		})
	}
	end.stood = true
	if x.wrong {
		for range 1 + x.Pick(2) {
			if len(slots) == 0 {
				slots = append(slots, wire.ServerSlot{Slot: x.Number()})
				continue
			}
			k := &slots[x.Pick(len(slots))]
			switch x.Pick(5) {
			case 0:
				k.Inputs = x.Number()
			case 1:
				k.Credit = x.Number()
			case 2:
				k.Seen = !k.Seen
			case 3:
				k.Slot = x.Number()
			case 4:
				slots = slots[1:]
			}
		}
	}
	var payload []byte
	for _, s := range slots {
		payload = wire.AppendServerSlot(payload, s)
	}
	x.say(end, appendFrame(nil, wire.KindResume, wire.FlagLast, 0, payload))
}
