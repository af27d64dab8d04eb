package handler_test

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/internal/deck"
	"github.com/cmdstream/cmdstream/internal/frugal"
	"github.com/cmdstream/cmdstream/transport"
	"github.com/cmdstream/cmdstream/wire"
)

// The limits of the server that is fuzzed: they are small, so that they are met.
const (
	foeSlots     = 4
	foeCmdSize   = 4 << 10
	foeConnBytes = 16 << 10
	foeBytes     = 24 << 10
	foeKept      = 8 << 10
	foeAllKept   = 20 << 10
	foeSessions  = 3
	foeResult    = 3000
)

func foeConf(conf *handler.Conf[World], c codec) {
	conf.Codec = inputCodec{c}
	conf.MaxInFlight, conf.MaxRunning, conf.MaxQueued, conf.MaxQueueTime = foeSlots, 6, 4, time.Second
	conf.MaxConnBytes, conf.MaxBytes, conf.MaxCmdSize, conf.BodyTimeout = foeConnBytes, foeBytes, foeCmdSize, time.Minute
	conf.Sessions = handler.SessionConf{Time: time.Minute, Max: foeSessions, MaxBytes: foeKept, TotalBytes: foeAllKept}
	conf.OnPanic = func(handler.Panic) {}
}

// FuzzClientBytes has several connections say what the fuzzer made up: to sessions,
// behind a hello that is right, or not even that.
func FuzzClientBytes(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x00\x01\x10\x00\x04echo\x02\x03\x84\x00\x00"))
	f.Add([]byte("\x10\x01\x12\x00\x07\x05\x01\x03count0\x02\x0e\x84\x00\x06\x00\x01\x01\x02\x00\x00\x70\x00\x01\x01"))
	f.Add([]byte("\x20\x03" + "\xc5cmd\x01\x00\x11\x01\x03\x05ab\x10\x01\x03cde\x00"))
	f.Add([]byte("\x10\x00\x10\x01\x06take 1\x60\x01\x02hi\x64\x01\x00\x40\x01\x00\x50\x01\x01\x07"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4<<10 {
			t.Skip()
		}
		thrifty(t, 8<<20+2000*len(b), func() {
			x := &foe{Deck: deck.Deck{B: b}, raw: true}
			withHost(t, nil, func(conf *handler.Conf[World]) { foeConf(conf, x.codec()) }, func(t *testing.T, h *host) {
				x.t, x.host = t, h
				x.open(nil)
				for range 8 {
					said := x.Take(16 * (1 + x.Pick(64)))
					if len(said) == 0 {
						break
					}
					if said[0]%4 == 3 { // without our hello
						x.connection(x.newSession(), nil)
					}
					x.say(said)
					x.sleep()
					x.cut()
					x.hello(x.current, true)
				}
			})
		})
	})
}

// thrifty runs a program that may allocate so many bytes, and must end.
func thrifty(t *testing.T, limit int, run func()) {
	t.Helper()
	stacks := make([]byte, 1<<20)
	hangs := time.AfterFunc(20*time.Second, func() {
		panic(fmt.Sprintf("it hangs:\n%s", stacks[:runtime.Stack(stacks, true)]))
	})
	defer hangs.Stop()
	frugal.Check(t, limit, run)
}

// foe is a client that does what a fuzzer wants, with sessions and without. What it
// knows of them it knows from what it has said, and what the server has.
type foe struct {
	deck.Deck
	t         *testing.T
	host      *host
	opened    int  // sessions
	wrong     bool // the next thing is what no honest client does
	dishonest bool // it has done such a thing, or worse
	raw       bool // what it says is not known
	tries     int  // to open one, which tell the lives of a session apart
	current   *foeSession

	mu  sync.Mutex
	ran map[string]int // by session, slot and seq
}

// foeSession is what the foe knows of a session.
type foeSession struct {
	visitor *visitor
	number  int
	epoch   uint64
	seq     uint64 // the highest that was sent
	last    uint64 // the last one over this connection
	conn    int    // counts the connections
	gone    bool   // the newest one has ended; under mu
	lost    bool   // the server does not hold the session; under mu

	mu    sync.Mutex
	slots [foeSlots]foeSlot
}

type foeSlot struct {
	open, canceled        bool
	rejected              bool
	seq, seen             uint64
	credit                uint64 // that it was ever given
	inputs, allowed       uint64 // that were sent, and that may be
	inputsEnded           bool
	partial               wire.Kind // of a body of which the last chunk is to come; 0: none
	resultSeq, resultItem int       // of the result that came last over this connection
}

// codec is that of the foe's commands: a name and a slot.
func (x *foe) codec() codec {
	x.ran = make(map[string]int)
	return codec{decode: func(body string) (base.Cmd[World], error) {
		name, slot, ok := strings.Cut(body, " ")
		exec := foeCommands[name]
		if !ok || exec == nil || len(slot) != 1 {
			return nil, &base.Error{Outcome: base.Rejected, Code: base.ErrUnknownCmd}
		}
		return cmd{name, func(c call) error {
			number, _ := c.ctx.Value(sessionKey{}).(int)
			id, _ := base.CommandID(c.ctx)
			if id.Session[0] != foreign && number != 0 {
				key := fmt.Sprintf("%d/%s/%d", number, slot, c.seq)
				x.mu.Lock()
				x.ran[key]++
				twice := x.ran[key] > 1 && !x.raw
				x.mu.Unlock()
				if twice {
					x.t.Errorf("the command %s ran twice", key)
				}
			}
			return exec(c, fmt.Sprintf("%s/%d/", slot, c.seq))
		}}, nil
	}}
}

type sessionKey struct{}

// foreign is how the id of a session begins that a command's origin names.
const foreign = 0xff

// foeCommands are the commands. Each of their results begins with where it belongs.
var foeCommands = map[string]func(c call, who string) error{
	"count": func(c call, who string) error {
		for i := range 4 {
			if err := c.Send(c.seq, result{text: fmt.Sprint(who, i+1), last: i == 3}); err != nil {
				return err
			}
		}
		return nil
	},
	"big": func(c call, who string) error {
		for i := range 3 {
			text := fmt.Sprint(who, i+1, " ")
			if err := c.Send(c.seq, result{text: text + strings.Repeat("x", foeResult-len(text)), last: i == 2}); err != nil {
				return err
			}
		}
		return nil
	},
	"huge": func(c call, who string) error {
		return c.last(fmt.Sprint(who, "1 ", strings.Repeat("y", 100<<10)))
	},
	"same": func(c call, _ string) error { return c.last(strings.Repeat("z", 2000)) }, // it is compressed
	"wait": func(c call, _ string) error { return waiter(c) },
	"take": func(c call, who string) error {
		for i := 1; ; i++ {
			_, err := c.receive()
			if err == io.EOF {
				return c.last(fmt.Sprint(who, i))
			}
			if err == nil {
				err = c.send(fmt.Sprint(who, i))
			}
			if err != nil {
				return err
			}
		}
	},
	"slow": func(c call, who string) error {
		time.Sleep(time.Second)
		return c.last(who + "1")
	},
	"fail":  func(call, string) error { return io.ErrNoProgress },
	"panic": func(call, string) error { panic("on purpose") },
}

var foeNames = []string{"count", "big", "wait", "take", "slow", "fail", "same", "huge", "panic", "none"}

// bounded checks that the server holds no more than it may.
func (x *foe) bounded() {
	x.t.Helper()
	if n := x.host.Bytes(); n > foeBytes || n < 0 {
		x.t.Errorf("%d bytes of commands are held", n)
	}
	// Of each session one result may be above its bound, and those that have a
	// connection are never given up.
	all, detached := x.host.SessionCount()
	if n := x.host.KeptBytes(); n > max(foeAllKept, all*(foeKept+100<<10)) || n < 0 {
		x.t.Errorf("%d bytes of results are kept, for %d sessions", n, all)
	}
	if detached > foeSessions {
		x.t.Errorf("%d sessions without a connection are kept", detached)
	}
}

// hear reads what the server says over a connection, and checks that each result
// belongs where it comes, and comes in its turn.
func (x *foe) hear(s *foeSession, number int, r io.Reader) {
	of := transport.Framed(transport.Options{MaxBody: 1 << 20, MaxSlots: foeSlots})
	in := newReader(r)
	var hello transport.Hello
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.gone = s.gone || s.conn == number
	}()
	if err := of.ReadHello(in, &hello); err != nil {
		return
	}
	if hello.Status == transport.SessionLost {
		s.mu.Lock()
		s.lost = true
		s.mu.Unlock()
	}
	for {
		m := transport.Message{}
		if err := of.Read(in, &m); err != nil {
			return
		}
		if m.Pieces != nil {
			var body transport.Body
			body.SetPieces(m.Pieces)
			m.Body = body.Bytes()
		}
		s.mu.Lock()
		if s.conn == number && !x.raw {
			x.heard(s, &m)
		}
		s.mu.Unlock()
	}
}

func (x *foe) heard(s *foeSession, m *transport.Message) {
	k := &s.slots[m.Slot]
	switch m.Kind {
	case transport.Resume:
		for _, state := range m.Slots {
			k := &s.slots[state.Slot]
			k.allowed = uint64(state.Inputs + state.Credit)
			if state.Unseen {
				k.open, k.resultSeq, k.resultItem = false, 0, 0
				k.rejected = true // it may be sent once more
			}
		}
	case transport.Credit:
		k.allowed += uint64(m.Credit)
	case transport.Failure:
		k.open = false
		k.rejected = m.Err.Outcome == base.Rejected
	case transport.Result:
		k.seen++
		k.open = k.open && !m.Last
		if m.Compressed {
			return
		}
		var slot, seq, item int
		n, _ := fmt.Sscanf(string(m.Body[:min(len(m.Body), 40)]), "%d/%d/%d", &slot, &seq, &item)
		switch {
		case n != 3:
			if !bytes.HasPrefix(m.Body, []byte("z")) {
				x.t.Errorf("a result came on slot %d: %.40q", m.Slot, m.Body)
			}
			return
		case slot != m.Slot:
			x.t.Errorf("a result of slot %d came on slot %d", slot, m.Slot)
		case seq < k.resultSeq, seq == k.resultSeq && item != k.resultItem+1, seq > k.resultSeq && item != 1:
			x.t.Errorf("on slot %d result %d of command %d came after result %d of command %d", slot, item, seq, k.resultItem, k.resultSeq)
		}
		k.resultSeq, k.resultItem = seq, item
	}
}

// say writes to the connection of the moment; it may have ended.
func (x *foe) say(b []byte) {
	if x.current.visitor.peer != nil {
		x.current.visitor.peer.conn.Write(b)
	}
	settle()
}

func (x *foe) cut() {
	if x.current.visitor.peer != nil {
		x.current.visitor.cut()
	}
}

// sleep lets time pass, which wakes those commands that wait for nothing else.
func (x *foe) sleep() {
	time.Sleep([]time.Duration{0, time.Millisecond, time.Second, 50 * time.Second}[x.Pick(4)])
}

// session is what the hello asks for.
func (s *foeSession) session(resume bool) *wire.Session {
	return &wire.Session{Resume: resume, ID: wire.SessionID{byte(s.number), 1}, Epoch: s.epoch}
}
