package server_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/transport"
	"github.com/cmdstream/cmdstream/wire"
)

// raw is a client whose frames the test writes by hand.
type raw struct {
	h       *house
	nc      *memnet.Conn
	session wire.Session
}

// open opens a session.
func (h *house) open() *raw {
	h.t.Helper()
	r := &raw{h: h, session: wire.Session{ID: wire.SessionID{7}, Epoch: 1}}
	r.connect(wire.StatusOK)
	return r
}

// connect says the session's hello over a connection of its own.
func (r *raw) connect(want wire.Status) {
	r.h.t.Helper()
	r.nc = r.h.dial()
	b, err := wire.AppendClientHello(nil, wire.ClientHello{Session: &r.session})
	if err != nil {
		r.h.t.Fatal(err)
	}
	r.nc.Write(b)
	// The hello is read byte by byte, for what comes behind it is frames.
	hello := make([]byte, 0, 1<<10)
	for {
		hello = append(hello, r.byte())
		_, length, n, err := wire.ParsePrefix(hello)
		if err != nil || len(hello) < n+length {
			continue
		}
		answer, err := wire.ParseServerHello(hello[n:])
		if err != nil || answer.Status != want {
			r.h.t.Errorf("the server answers %+v, %v, want the status %d", answer, err, want)
		}
		return
	}
}

// resume cuts the connection, and resumes the session over another one.
func (r *raw) resume(slots ...wire.ClientSlot) {
	r.h.t.Helper()
	r.nc.Close()
	r.session.Resume = true
	r.session.Epoch++
	r.connect(wire.StatusOK)
	r.list(slots...)
}

func (r *raw) list(slots ...wire.ClientSlot) {
	var payload []byte
	for _, s := range slots {
		payload = wire.AppendClientSlot(payload, s)
	}
	r.frame(wire.KindResume, wire.FlagLast, 0, payload)
}

func (r *raw) byte() byte {
	var b [1]byte
	if _, err := io.ReadFull(r.nc, b[:]); err != nil {
		r.h.t.Helper()
		r.h.t.Fatalf("the connection ended: %v", err)
	}
	return b[0]
}

func (r *raw) frame(kind wire.Kind, flags wire.Flags, slot int, payload []byte) {
	b := wire.AppendHeader(nil, wire.Header{Kind: kind, Flags: flags, Slot: uint64(slot), Length: len(payload)})
	r.nc.Write(append(b, payload...))
}

// command sends a command, with credit for so many results.
func (r *raw) command(slot int, seq, credit uint64, name string) {
	payload := wire.AppendExtras(nil, wire.Extras{Seq: seq, Credit: credit})
	r.frame(wire.KindCommand, wire.FlagExtras, slot, append(payload, name+"\n"...))
}

func (r *raw) number(kind wire.Kind, slot int, n uint64) {
	r.frame(kind, 0, slot, wire.AppendUvarint(nil, n))
}

// next tells the next frame in words.
func (r *raw) next() string {
	r.h.t.Helper()
	var b []byte
	for {
		b = append(b, r.byte())
		h, _, err := wire.ParseHeader(b)
		if err == wire.ErrShort {
			continue
		}
		if err != nil {
			r.h.t.Fatal(err)
		}
		payload := make([]byte, h.Length)
		for i := range payload {
			payload[i] = r.byte()
		}
		switch h.Kind {
		case wire.KindPing:
			return "pong"
		case wire.KindResult:
			return fmt.Sprintf("%d: %s", h.Slot, bytes.TrimSpace(payload))
		case wire.KindFailure:
			f, _ := wire.ParseFailure(payload)
			return fmt.Sprintf("%d: %v %s", h.Slot, base.Outcome(f.Outcome), f.Code)
		case wire.KindCredit:
			n, _ := wire.ParseCredit(payload)
			return fmt.Sprintf("%d: credit %d", h.Slot, n)
		case wire.KindResume:
			text := "list"
			for len(payload) > 0 {
				var s wire.ServerSlot
				s, payload, _ = wire.CutServerSlot(payload)
				text += fmt.Sprintf(" %d:%v", s.Slot, s.Seen)
				if s.Inputs > 0 {
					text += fmt.Sprintf("(%d inputs, %d more)", s.Inputs, s.Credit)
				}
			}
			return text
		}
		return h.Kind.String()
	}
}

// expect checks the next frames: in order on each slot, while commands of
// different slots end in any order.
func (r *raw) expect(frames ...string) {
	r.h.t.Helper()
	got := make([]string, len(frames))
	for i := range got {
		got[i] = r.next()
	}
	slot := func(frame string) string { slot, _, _ := strings.Cut(frame, ": "); return slot }
	bySlot := func(a, b string) int { return strings.Compare(slot(a), slot(b)) }
	want := slices.Clone(frames)
	from := 0
	if strings.HasPrefix(want[0], "list") {
		from = 1 // it comes before all
	}
	slices.SortStableFunc(got[from:], bySlot)
	slices.SortStableFunc(want[from:], bySlot)
	if !slices.Equal(got, want) {
		r.h.t.Errorf("got %q, want %q", got, want)
	}
}

// quiet checks that nothing more comes.
func (r *raw) quiet() {
	r.h.t.Helper()
	settle()
	r.nc.SetReadDeadline(time.Now())
	defer r.nc.SetReadDeadline(time.Time{})
	if n, _ := r.nc.Read(make([]byte, 1)); n > 0 {
		r.h.t.Error("something more came")
	}
}

// broken checks that the connection was ended for a rule.
func (r *raw) broken(rule string) {
	r.h.t.Helper()
	io.Copy(io.Discard, r.nc)
	r.h.expectLog("a connection ended", rule)
}

// numbers sends 1, 2, 3 … as text, so many; the last is the last.
func numbers(n int, size int) func(context.Context, func(string, bool) error) error {
	return func(_ context.Context, send func(string, bool) error) error {
		for i := range n {
			if err := send(fmt.Sprint(i+1)+strings.Repeat("x", size), i+1 == n); err != nil {
				return err
			}
		}
		return nil
	}
}

func saw(slot, seq, seen, credit uint64) wire.ClientSlot {
	return wire.ClientSlot{Slot: slot, Seq: seq, Seen: seen, Credit: credit}
}

// L6, L7: results go on after the last that was seen, with the credit that is left.
func TestResultsGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{}, commands{"five": numbers(5, 0), "fail": func(_ context.Context, send func(string, bool) error) error {
			send("1", false)
			return errors.New("failed")
		}})
		r := h.open()
		r.command(0, 1, 2, "five")
		r.command(3, 2, 9, "fail")
		r.command(5, 3, 1, "echo")
		settle()
		r.resume(saw(0, 1, 1, 1), saw(3, 2, 0, 9), saw(5, 3, 0, 1))
		r.expect("list 0:true 3:true 5:true", "0: 2+", "3: 1+", "3: failed exec", "5: echo.")
		r.quiet() // no credit
		r.number(wire.KindCredit, 0, 1)
		r.expect("0: 3+")
		r.resume(saw(0, 1, 2, 3)) // with credit that was lost
		r.expect("list 0:true", "0: 3+", "0: 4+", "0: 5.")
		r.resume(saw(0, 1, 4, 1))
		r.expect("list 0:true", "0: 5.")
		r.resume()
		r.expect("list")
		r.command(0, 4, 1, "echo")
		r.expect("0: echo.")
	})
}

// L4, L8: what did not come whole, and what was rejected, is unseen, and comes again.
func TestWhatIsUnseen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{}, nil)
		r := h.open()
		r.frame(wire.KindCommand, wire.FlagMore, 0, append([]byte{5}, "ec"...)) // seq 1
		r.command(1, 2, 1, "unknown")
		r.expect("1: rejected decode")
		r.resume(saw(0, 1, 0, 1), saw(1, 2, 0, 1), saw(2, 3, 0, 1))
		r.expect("list 0:false 1:false 2:false")
		r.command(0, 1, 1, "echo")
		r.command(1, 2, 1, "echo") // S3: a rejected one does not count
		r.command(2, 3, 1, "echo")
		r.expect("0: echo.", "1: echo.", "2: echo.")
		// Slot 1 was used before: its next command is unseen.
		r.resume(saw(1, 9, 0, 1))
		r.expect("list 1:false")
	})
}

func TestBrokenLists(t *testing.T) {
	for name, test := range map[string]struct {
		act  func(r *raw)
		rule string
	}{
		"a list on a new session": {func(r *raw) { r.list() }, "has resumed no session here"},
		"a second list": {func(r *raw) {
			r.resume(saw(0, 1, 0, 1))
			r.list()
		}, "has resumed no session here"},
		"a command before it": {func(r *raw) {
			r.nc.Close()
			r.session.Resume = true
			r.session.Epoch++
			r.connect(wire.StatusOK)
			r.nc.Write([]byte{0}) // a ping may come
			r.command(3, 9, 1, "echo")
		}, "begins with the list"},
		"a lower seq":          {func(r *raw) { r.resume(saw(0, 1, 0, 1), saw(1, 1, 0, 1)) }, "command 1 is listed on slot 1, where command 2 has come"},
		"a higher seq":         {func(r *raw) { r.resume(saw(0, 8, 0, 1)) }, "command 8 is listed on slot 0, where command 1 is open"},
		"an open one left out": {func(r *raw) { r.resume(saw(1, 2, 0, 1)) }, "command 1 on slot 0 is open, and not in the client's list"},
		"the last left out":    {func(r *raw) { r.resume() }, "command 1 on slot 0 is open"},
		"seen too much":        {func(r *raw) { r.resume(saw(0, 1, 1, 1)) }, "has seen 1 results, of 0 to 0"},
		"seen too little": {func(r *raw) {
			r.command(2, 3, 1, "two")
			r.expect("2: 1+")
			r.number(wire.KindCredit, 2, 1)
			r.expect("2: 2.")
			r.number(wire.KindAck, 2, 1)
			settle() // so that the cut does not overtake it
			r.resume(saw(0, 1, 0, 1), saw(2, 3, 0, 1))
		}, "has seen 0 results, of 1 to 2"},
		"an ack for nothing":  {func(r *raw) { r.number(wire.KindAck, 9, 1) }, "where nothing was sent"},
		"an ack for too much": {func(r *raw) { r.number(wire.KindAck, 0, 1) }, "an ack of 1 results came on slot 0, where 0 were sent"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := start(t, server.Conf[World]{}, commands{"wait": wait, "two": numbers(2, 0)})
				r := h.open()
				r.command(0, 1, 1, "wait")
				r.command(1, 2, 1, "echo")
				r.expect("1: echo.")
				test.act(r)
				r.broken(test.rule)
				if s := h.Stats(); s.Breaches != 1 || s.Sessions != 1 || s.Running != 1 {
					t.Errorf("got %+v", s) // the session outlives it
				}
			})
		})
	}
}

// A cancel that the client could not send is in its list.
func TestACanceledCommandInTheList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{}, commands{"wait": wait, "big": numbers(3, 20_000)})
		r := h.open()
		r.command(0, 1, 1, "wait")
		r.command(1, 2, 9, "big")
		settle()
		canceled := saw(0, 1, 0, 1)
		canceled.Canceled = true
		ended := saw(1, 2, 0, 9)
		ended.Canceled = true // it has ended before: nothing changes
		r.resume(canceled, ended)
		r.expect("list 0:true 1:true")
		got := map[string]bool{}
		for range 4 {
			text := r.next()
			got[text[:min(len(text), 5)]] = true
		}
		for _, want := range []string{"0: un", "1: 1x", "1: 2x", "1: 3x"} {
			if !got[want] {
				t.Errorf("%q is missing among %v", want, got)
			}
		}
	})
}

// Q2, Q5: a server keeps no more than it will, and goes on when the client has
// acknowledged.
func TestAServerKeepsNoMoreThanItWill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{Sessions: server.Sessions{MaxBytes: 5000}}, commands{"big": numbers(4, 2000), "small": numbers(4, 10)})
		r := h.open()
		r.command(0, 1, 100, "big")
		settle()
		if s := h.Stats(); s.KeptBytes != 4006 {
			t.Errorf("got %+v", s)
		}
		for range 2 {
			r.next()
		}
		r.quiet() // the third one waits
		r.number(wire.KindAck, 0, 1)
		if got := r.next(); !strings.HasPrefix(got, "0: 3x") {
			t.Errorf("got %.10q", got)
		}
		r.number(wire.KindAck, 0, 3)
		if got := r.next(); !strings.HasPrefix(got, "0: 4x") {
			t.Errorf("got %.10q", got)
		}
		settle()
		if s := h.Stats(); s.KeptBytes != 2003 {
			t.Errorf("got %+v", s)
		}
		r.number(wire.KindAck, 0, 4) // also when it has ended
		r.command(1, 2, 100, "small")
		r.expect("1: 1xxxxxxxxxx+", "1: 2xxxxxxxxxx+", "1: 3xxxxxxxxxx+", "1: 4xxxxxxxxxx.")
		settle()
		if s := h.Stats(); s.KeptBytes != 4*13+3*64 {
			t.Errorf("got %+v", s)
		}
	})
}

// Q3: the next command on a slot releases what the slot had. One that waits for room
// ends with its session.
func TestTheNextCommandReleases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{Sessions: server.Sessions{MaxBytes: 2500, Time: time.Second}}, commands{"big": numbers(1, 2000)})
		r := h.open()
		for seq := range uint64(5) {
			r.command(0, seq+1, 1, "big")
			r.next()
		}
		r.command(1, 6, 1, "big")
		r.quiet()
		if s := h.Stats(); s.KeptBytes != 2003 || s.Running != 1 {
			t.Errorf("got %+v", s)
		}
		r.nc.Close()
		time.Sleep(2 * time.Second)
		if s := h.Stats(); s.KeptBytes != 0 || s.Running != 0 || s.SessionsExpired != 1 {
			t.Errorf("got %+v", s)
		}
	})
}

// Above TotalBytes sessions without a connection are given up.
func TestAllSessionsTogetherAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{Sessions: server.Sessions{TotalBytes: 3000}}, commands{"big": numbers(1, 2000)})
		first := h.open()
		first.command(0, 1, 1, "big")
		first.next()
		first.nc.Close()
		settle()
		second := &raw{h: h, session: wire.Session{ID: wire.SessionID{8}, Epoch: 1}}
		second.connect(wire.StatusOK)
		second.command(0, 1, 1, "big")
		second.next()
		settle()
		if s := h.Stats(); s.SessionsEvicted != 1 || s.Sessions != 1 || s.KeptBytes != 2003 {
			t.Errorf("got %+v", s)
		}
	})
}

// Only those are given up that keep more than there is room for in any case: else it would not help.
func TestWhoKeepsLittleIsNotGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{Sessions: server.Sessions{TotalBytes: 3000}}, commands{"small": numbers(1, 1000), "big": numbers(1, 2000)})
		var all []*raw
		for i, name := range []string{"small", "big", "big"} {
			r := &raw{h: h, session: wire.Session{ID: wire.SessionID{byte(i) + 1}, Epoch: 1}}
			r.connect(wire.StatusOK)
			r.command(0, 1, 1, name)
			r.next()
			if all = append(all, r); i < 2 {
				r.nc.Close()
				settle()
			}
		}
		settle()
		if s := h.Stats(); s.SessionsEvicted != 1 || s.DetachedSessions != 1 || s.KeptBytes != 1003+2003 {
			t.Errorf("got %+v", s)
		}
		all[0].resume(saw(0, 1, 0, 1))
		all[0].expect("list 0:true", "0: 1"+strings.Repeat("x", 1000)+".")
	})
}

// What each session has room for in any case is apart from that.
func TestLittleIsKeptForEachSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{Sessions: server.Sessions{TotalBytes: 1}}, commands{"small": numbers(1, 1000)})
		for i := range byte(5) {
			r := &raw{h: h, session: wire.Session{ID: wire.SessionID{i + 1}, Epoch: 1}}
			r.connect(wire.StatusOK)
			r.command(0, 1, 1, "small")
			r.next()
			r.nc.Close()
			settle()
		}
		if s := h.Stats(); s.SessionsEvicted != 0 || s.DetachedSessions != 5 || s.KeptBytes != 5*1003 {
			t.Errorf("got %+v", s)
		}
	})
}

// Large results go out by reference; after a cut they are whole again.
func TestLargeResultsComeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{}, commands{"big": numbers(3, 50_000)})
		r := h.open()
		r.command(0, 1, 9, "big")
		r.next()
		for range 3 {
			r.resume(saw(0, 1, 1, 8))
			r.expect("list 0:true")
			if got := r.next(); !strings.HasPrefix(got, "0: 2x") || len(got) != 50_005 {
				t.Errorf("got %.10q, %d bytes", got, len(got))
			}
		}
		if got := r.next(); !strings.HasPrefix(got, "0: 3x") || !strings.HasSuffix(got, ".") {
			t.Errorf("got %.10q", got)
		}
	})
}

// A cancel of a command whose large result is on its way ends that.
func TestACancelOfALargeResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{}, commands{"big": func(ctx context.Context, send func(string, bool) error) error {
			send(strings.Repeat("x", 3<<20), false)
			<-ctx.Done()
			return ctx.Err()
		}})
		r := h.open()
		r.command(0, 1, 9, "big")
		settle() // the connection is full of it
		r.frame(wire.KindCancel, 0, 0, nil)
		for range 1000 {
			if r.next() == "0: unknown canceled" {
				r.command(0, 2, 1, "echo")
				r.expect("0: echo.")
				return
			}
		}
		t.Error("the failure did not come")
	})
}

// The place of a client that comes back may be another's: it gets one beyond the limit, as
// long as that does not become twice as much. A hello that resumes, and goes no further,
// leaves the session as it was.
func TestAResumeThatGoesNoFurther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{WorkersCount: 1, Sessions: server.Sessions{Time: 10 * time.Second}}, commands{"wait": wait})
		first := &raw{h: h, session: wire.Session{ID: wire.SessionID{1}, Epoch: 1}}
		first.connect(wire.StatusOK)
		first.nc.Close()
		settle()
		r := h.open() // in its place
		r.command(0, 1, 1, "wait")
		settle()
		r.nc.Close()
		settle()
		other := h.client() // takes the only place
		first.resume()      // and this one that beyond
		first.expect("list")
		r.session.Resume = true
		r.session.Epoch++
		r.connect(wire.StatusFull)
		if s := h.Stats(); s.SessionsResumed != 1 {
			t.Errorf("%d sessions were resumed, want 1", s.SessionsResumed)
		}
		other.Close()
		first.nc.Close()
		settle()
		r.resume(saw(0, 1, 0, 1))
		r.expect("list 0:true")
		r.nc.Close()
		time.Sleep(11 * time.Second)
		if s := h.Stats(); s.Sessions != 0 || s.SessionsExpired != 2 || s.Running != 0 {
			t.Errorf("got %+v", s)
		}
	})
}

// An opening hello whose answer can't be written leaves no session behind.
func TestAnOpeningThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{}, nil)
		nc := h.dial()
		b, _ := wire.AppendClientHello(nil, wire.ClientHello{Session: &wire.Session{ID: wire.SessionID{1}, Epoch: 1}})
		nc.Write(b[:len(b)-1])
		settle()
		nc.Cut(memnet.RST)
		settle()
		if s := h.Stats(); s.Sessions != 0 || s.FailedHellos != 1 || s.Connections != 0 {
			t.Errorf("got %+v", s)
		}
	})
}

// inputsCodec is a serverCodec whose commands are sent lines.
type inputsCodec struct{ serverCodec }

func (inputsCodec) DecodeInput(_ base.Cmd[World], r transport.Reader) (any, error) {
	text, err := line(r)
	switch text {
	case "refused":
		return nil, errors.New("refused on purpose")
	case "panic":
		panic("on purpose")
	}
	return text, err
}

// startInputs is start for commands with inputs: each is called with its proxy.
func startInputs(t *testing.T, conf server.Conf[World], exec func(ctx context.Context, receive func() (any, error), send func(string, bool) error) error) *house {
	t.Helper()
	conf.Invoker = invoker(func(ctx context.Context, seq base.Seq, proxy base.Proxy) error {
		return exec(ctx, func() (any, error) { return proxy.(base.Inputs).Receive(seq) }, func(text string, last bool) error {
			return proxy.Send(seq, result{text, last})
		})
	})
	return startWith(t, conf, inputsCodec{serverCodec{commands{"run": echo}}})
}

type invoker func(ctx context.Context, seq base.Seq, proxy base.Proxy) error

func (i invoker) Invoke(ctx context.Context, _ time.Time, seq base.Seq, _ base.Cmd[World], proxy base.Proxy) error {
	return i(ctx, seq, proxy)
}

// repeat sends back what it receives.
func repeat(_ context.Context, receive func() (any, error), send func(string, bool) error) error {
	for {
		input, err := receive()
		if err == io.EOF {
			return send("end", true)
		}
		if err != nil {
			return err
		}
		if err := send(fmt.Sprint(input), false); err != nil {
			return err
		}
	}
}

func (r *raw) input(slot int, text string) { r.frame(wire.KindInput, 0, slot, []byte(text+"\n")) }

// I3, I4 and inputs across a resume.
func TestInputsGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startInputs(t, server.Conf[World]{}, repeat)
		r := h.open()
		r.command(0, 1, 100, "run")
		for i := range 3 {
			r.input(0, fmt.Sprint(i))
			r.expect(fmt.Sprintf("0: %d+", i))
		}
		r.input(0, "3")
		r.expect("0: credit 4", "0: 3+")
		s := saw(0, 1, 4, 96)
		s.Inputs = 6 // two were lost
		r.resume(s)
		r.expect("list 0:true(4 inputs, 8 more)")
		r.input(0, "4")
		r.expect("0: 4+")
		r.frame(wire.KindInput, wire.FlagLast, 0, nil)
		r.expect("0: end.")
		r.input(0, "crossed the end") // S6
		r.command(0, 2, 1, "run")
		r.frame(wire.KindInput, wire.FlagLast, 0, []byte("the last\n"))
		r.expect("0: the last+")
	})
}

func TestBrokenInputs(t *testing.T) {
	for name, test := range map[string]struct {
		act  func(r *raw)
		rule string
	}{
		"beyond the credit": {func(r *raw) {
			for range 9 {
				r.input(0, "x")
			}
		}, "9 inputs came on slot 0, where there was credit for 8"},
		"after the last": {func(r *raw) {
			r.frame(wire.KindInput, wire.FlagLast, 0, nil)
			r.input(0, "x")
		}, "after the last one"},
		"more than were sent": {func(r *raw) {
			r.input(0, "x")
			settle()
			r.resume(saw(0, 1, 0, 1))
		}, "has got 1 inputs, the client says to have sent 0"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := startInputs(t, server.Conf[World]{}, func(ctx context.Context, _ func() (any, error), _ func(string, bool) error) error {
					<-ctx.Done()
					return ctx.Err()
				})
				r := h.open()
				r.command(0, 1, 1, "run")
				test.act(r)
				r.broken(test.rule)
			})
		})
	}
}

// What can't be taken of an input fails its command alone.
func TestInputsThatFailTheirCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startInputs(t, server.Conf[World]{ServerSettings: server.Settings{MaxCmdSize: 30_000}, MaxConnBytes: 20_000}, repeat)
		r := h.open()
		for seq, test := range []struct{ input, want string }{
			{"refused", "0: failed decode"},
			{"panic", "0: failed panic"},
			{strings.Repeat("x", 40_000), "0: failed too_large_cmd"},
			{strings.Repeat("x", 25_000), "0: failed busy"},
			{strings.Repeat("x", 10_000), "0: " + strings.Repeat("x", 10_000) + "+"},
		} {
			r.command(0, uint64(seq+1), 1, "run")
			r.input(0, test.input)
			if got := r.next(); got != test.want {
				t.Errorf("%.10q: got %.30q, want %.30q", test.input, got, test.want)
			}
		}
		settle()
		if s := h.Stats(); s.Bytes != 0 || s.NoMemory != 1 || s.Panics != 1 {
			t.Errorf("got %+v", s)
		}
	})
}

// Receive ends with the command, and what was not taken is given back.
func TestInputsEndWithTheirCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ends := make(chan error, 1)
		h := startInputs(t, server.Conf[World]{}, func(ctx context.Context, receive func() (any, error), send func(string, bool) error) error {
			if _, err := receive(); err != nil {
				return err
			}
			<-ctx.Done()
			_, err := receive()
			ends <- err
			return nil
		})
		r := h.open()
		r.command(0, 1, 1, "run")
		r.input(0, "first")
		r.input(0, strings.Repeat("x", 10_000))
		settle()
		if s := h.Stats(); s.Bytes != 10_001 {
			t.Errorf("got %+v", s)
		}
		r.frame(wire.KindCancel, 0, 0, nil)
		r.expect("0: unknown canceled")
		if err := <-ends; !errors.Is(err, base.ErrCommandEnded) {
			t.Errorf("got %v", err)
		}
		settle()
		if s := h.Stats(); s.Bytes != 0 {
			t.Errorf("got %+v", s)
		}
	})
}

// A codec without DecodeInput says so to the command.
func TestACodecWithoutInputs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := make(chan error, 1)
		h := start(t, server.Conf[World]{Invoker: invoker(func(_ context.Context, seq base.Seq, proxy base.Proxy) error {
			_, err := proxy.(base.Inputs).Receive(seq)
			got <- err
			return err
		})}, nil)
		h.run(h.client(), "echo")
		if err := <-got; !errors.Is(err, base.ErrUnsupported) {
			t.Errorf("got %v", err)
		}
	})
}

// S6: credits that come one by one, and more of them than results.
func TestAFloodOfCredits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{}, commands{"wait": wait})
		r := h.open()
		r.command(0, 1, 1, "wait")
		for range 1001 {
			r.number(wire.KindCredit, 0, 1)
		}
		r.broken("1001 credits came for the command on slot 0")
		if s := h.Stats(); s.Floods != 1 || s.Breaches != 0 {
			t.Errorf("got %+v", s)
		}
	})
}

// S6: acks that say nothing new.
func TestAFloodOfAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{}, nil)
		r := h.open()
		r.command(0, 1, 1, "echo")
		r.expect("0: echo.")
		for range 1 + 1001 + 64 { // the first one is right
			r.number(wire.KindAck, 0, 1)
		}
		r.broken("1065 acks, cancels, credits and inputs came that say nothing, with 1 commands")
		if s := h.Stats(); s.Floods != 1 || s.Breaches != 0 {
			t.Errorf("got %+v", s)
		}
	})
}

// lingering is a wire whose reader takes its time to notice the end.
type lingering struct {
	transport.Transport
	gate <-chan struct{}
}

func (l lingering) Read(r *bufio.Reader, m *transport.Message) error {
	err := l.Transport.Read(r, m)
	if err != nil {
		<-l.gate
	}
	return err
}

// N4: nobody reads from the old connection any more when the resume is answered.
func TestTheOldReaderEndsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		h := start(t, server.Conf[World]{Transport: func(o transport.Options) transport.Transport {
			return lingering{transport.Framed(o), gate}
		}}, nil)
		r := h.open()
		settle() // the server reads
		go func() {
			time.Sleep(3 * time.Second)
			close(gate)
		}()
		begin := time.Now()
		r.resume()
		r.expect("list")
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("the answer came after %v", took)
		}
	})
}
