package handler

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/internal/wheel"
	"github.com/cmdstream/cmdstream/transport"
	"github.com/cmdstream/cmdstream/wire"
)

func newBareSession() *Session[int] {
	return &Session[int]{ctx: context.Background(), handler: &Handler[int]{wheel: wheel.New()}}
}

// A timer may fire at the moment in which its command ends; its record may be
// another command's when Fire runs.
func TestATimerThatFiresLateHitsNoOtherCommand(t *testing.T) {
	for _, timeout := range []time.Duration{0, time.Hour} {
		x := newCommand(newBareSession())
		x.seq, x.ctx.at, x.ctx.timeout, x.running, x.ended = 2, time.Now(), timeout, true, false
		x.expire()
		if x.ended || x.ctx.Err() != nil {
			t.Errorf("with the timeout %v the command has ended", timeout)
		}
	}
}

// A failure may be under way for a command whose record is another's meanwhile.
func TestAFailureOfAnEarlierCommand(t *testing.T) {
	x := newCommand(newBareSession())
	x.seq, x.running, x.ended = 2, true, false
	x.end(1, &base.Error{})
	x.cancel(1, base.ErrCanceled, &base.Error{})
	if x.ended || x.ctx.Err() != nil {
		t.Error("the command has ended")
	}
}

// What is started for a command does not outlive it: its client may have given it a year.
func TestATimerIsStoppedWithItsCommand(t *testing.T) {
	s := newBareSession()
	x, _, err := s.record(&transport.Message{Seq: 1}, true)
	if err != nil {
		t.Fatal(err)
	}
	x.running, x.ctx.at, x.ctx.timeout = true, time.Now(), 365*24*time.Hour
	x.mu.Lock()
	x.arm()
	x.mu.Unlock()
	s.finish(x)
	if s.handler.wheel.Stop(&x.timer) {
		t.Error("the timer of a command that has returned runs on")
	}
}

func TestAnOutgrownBodyIsLetGo(t *testing.T) {
	s := newBareSession()
	x, _, err := s.record(&transport.Message{Seq: 1}, true)
	if err != nil {
		t.Fatal(err)
	}
	x.body = make([]byte, keepBody+1)
	s.finish(x)
	if x.body != nil {
		t.Error("the record keeps a large body")
	}
}

// A command may be given up between its frame and its start: it is not run then,
// and its client may send it again.
func TestACommandThatIsGivenUpBeforeItStarts(t *testing.T) {
	near, far := memnet.Pipe()
	defer near.Close()
	conn := transport.NewConn(far, transport.Framed(transport.Options{Server: true}), nil, 0)
	defer conn.Fail(net.ErrClosed)
	x := newCommand(newBareSession())
	x.link, x.seq, x.granted, x.running, x.ended = conn, 1, 1, true, false
	failure := &base.Error{Outcome: base.Unknown, Code: base.ErrCanceled}
	x.cancel(1, context.Canceled, failure)
	if failure.Outcome != base.Rejected {
		t.Errorf("the client is told %v", failure.Outcome)
	}
	if err := x.start(1, turn{}); !errors.Is(err, base.ErrCommandEnded) {
		t.Errorf("start returned %v", err)
	}
}

// A record whose slot is another's serves again once its command has returned.
func TestRecordsAreUsedAgain(t *testing.T) {
	s := newBareSession()
	record := func(slot int, seq base.Seq) *command[int] {
		x, _, err := s.record(&transport.Message{Slot: slot, Seq: seq}, true)
		if err != nil {
			t.Fatal(err)
		}
		x.slot, x.seq, x.running = slot, seq, true
		return x
	}
	first := record(0, 1)
	second, third := record(0, 2), record(0, 3)
	if first == second || second == third {
		t.Error("a running command's record was used again")
	}
	s.finish(first)
	s.finish(second)
	if x, y := record(1, 4), record(2, 5); x != second || y != first {
		t.Error("records were not used again")
	}
	third.ctx.Done()
	if s.finish(third); len(s.free) != 0 {
		t.Error("a record is kept that can't serve again")
	}
	if record(0, 6) == third {
		t.Error("a record whose ctx may be in use was used again")
	}
	if len(s.left) != 0 || len(s.free) != 0 {
		t.Errorf("%d left, %d free", len(s.left), len(s.free))
	}
}

// So the commands that a leader runs one after another have one record, whatever slots
// they are on.
func TestARecordServesTheNextCommand(t *testing.T) {
	s := newBareSession()
	first, _, err := s.record(&transport.Message{Slot: 0, Seq: 1}, true)
	if err != nil {
		t.Fatal(err)
	}
	first.seq, first.running, first.ended = 1, true, true
	s.finish(first)
	if x, _, err := s.record(&transport.Message{Slot: 5, Seq: 2}, true); x != first || err != nil {
		t.Errorf("another record, or %v", err)
	}
	var rule *wire.RuleError
	if _, _, err := s.record(&transport.Message{Slot: 0, Seq: 1}, true); !errors.As(err, &rule) {
		t.Errorf("a command that is over came again: %v", err)
	}
}

// Of the records of a burst those go that nobody has used from one trim to the next, though commands run.
func TestTheRecordsOfABurstAreLetGo(t *testing.T) {
	const burst, wave = 10 * keepFree, 3 * keepFree
	s := newBareSession()
	s.running = 1
	seq := base.Seq(0)
	run := func(n int) {
		var commands []*command[int]
		for slot := range n {
			seq++
			x, _, err := s.record(&transport.Message{Slot: slot, Seq: seq}, true)
			if err != nil {
				t.Fatal(err)
			}
			x.slot, x.seq, x.running, x.ended = slot, seq, true, true
			commands = append(commands, x)
		}
		for _, x := range commands {
			s.finish(x)
		}
	}
	run(burst)
	for i, want := range []int{burst, wave, wave, keepFree, keepFree} {
		if s.trim(); len(s.free) != want || slices.Contains(s.free, nil) {
			t.Errorf("%d records are kept after %d trims, want %d", len(s.free), i+1, want)
		}
		if i < 2 {
			run(wave)
		}
	}
	if cap(s.free) > 2*keepFree {
		t.Errorf("there is room for %d records", cap(s.free))
	}
	s.rest()
	run(wave)
	if s.trim(); len(s.free) != wave {
		t.Errorf("%d records are kept of those that were used since a rest", len(s.free))
	}
}

// The records of those that run when a session goes to rest are let go with them, until a command
// comes.
func TestARestingSessionKeepsNoRecord(t *testing.T) {
	s := newBareSession()
	record := func(slot int) *command[int] {
		x, _, err := s.record(&transport.Message{Slot: slot, Seq: base.Seq(slot + 1)}, true)
		if err != nil {
			t.Fatal(err)
		}
		x.slot, x.seq, x.running, x.ended = slot, base.Seq(slot+1), true, true
		return x
	}
	first, second := record(0), record(1)
	s.rest()
	if s.finish(first); len(s.free) != 0 {
		t.Errorf("%d records are kept", len(s.free))
	}
	third := record(2)
	s.finish(second)
	if s.finish(third); len(s.free) != 2 {
		t.Errorf("%d records are kept after a command has come", len(s.free))
	}
}

// A connection that has nothing to do does not hold the last large result of each record.
func TestALargeResultIsLetGo(t *testing.T) {
	conn := readConn(t)
	x := newCommand(newBareSession())
	x.link, x.seq, x.granted, x.running, x.ended = conn, 1, 1, true, false
	x.scratch.B, x.packed.B = make([]byte, 1<<20), make([]byte, 1<<19)
	x.large = len(x.scratch.B)
	if _, err := x.send(1, true); err != nil {
		t.Fatal(err)
	}
	if x.message.Body != nil || x.scratch.B != nil || x.packed.B != nil {
		t.Error("the record holds the result")
	}
}

// Nor does a session's, where the result is small, and what was made for the one before is not.
func TestASmallAnswerHoldsNoLargeMemory(t *testing.T) {
	conn := readConn(t)
	s := newBareSession()
	s.named, s.small.floor = true, 100
	x, _, err := s.record(&transport.Message{Seq: 1}, true)
	if err != nil {
		t.Fatal(err)
	}
	x.seq, x.link, x.granted, x.running, x.ended = 1, conn, 1, true, false
	x.scratch.B = append(make([]byte, 0, 1<<20), "small"...)
	if _, err := x.keepResult(1, 1, true); err != nil {
		t.Fatal(err)
	}
	if cap(x.scratch.B) > keepBody || len(x.kept.items) != 1 || cap(x.kept.items[0].body) > keepBody {
		t.Error("the record holds the memory of a large result")
	}
}

// gate is a compression, and a codec for inputs, of which the former waits.
type gate struct {
	transport.Compression
	transport.Codec[base.Result, base.Cmd[int]]
	entered, open chan struct{}
	decoded       base.Cmd[int]
}

func (g *gate) Decompress(_, body []byte, _ int) ([]byte, error) {
	close(g.entered)
	<-g.open
	return body, nil
}

func (g *gate) DecodeInput(cmd base.Cmd[int], _ transport.Reader) (any, error) {
	g.decoded = cmd
	return "input", nil
}

type anyCommand struct{ base.Cmd[int] }

// A Receive that the command has left behind decodes its input for that command, though it
// has returned meanwhile and its record is free.
func TestAReceiveLeftBehind(t *testing.T) {
	g := &gate{entered: make(chan struct{}), open: make(chan struct{})}
	s := newBareSession()
	s.compression, s.handler.Codec, s.handler.MaxCmdSize = g, g, 100
	x, _, err := s.record(&transport.Message{Seq: 1}, true)
	if err != nil {
		t.Fatal(err)
	}
	memory := &Memory{limit: 1 << 20, all: &memory{limit: 1 << 20}}
	next := input{compressed: true, memory: memory}
	next.body.Set([]byte("x"))
	x.seq, x.running, x.ended, x.cmd = 1, true, false, anyCommand{}
	x.inputs = &inputs{queue: []input{next}}
	received := make(chan error)
	go func() {
		_, err := x.Receive(1)
		received <- err
	}()
	<-g.entered
	x.ended = true
	s.finish(x)
	close(g.open)
	if err := <-received; err != nil || g.decoded != (anyCommand{}) {
		t.Errorf("an input was decoded for %v, %v", g.decoded, err)
	}
}

func newContext() *commandContext { return &newCommand(newBareSession()).ctx }

func (c *commandContext) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancel(err, nil)
}

func TestAFunctionOfTheCtxIsStopped(t *testing.T) {
	ctx := newContext()
	stop := ctx.AfterFunc(func() { t.Error("it was called") })
	if !stop() || stop() {
		t.Error("it can't be stopped, or twice")
	}
	ctx.end(context.Canceled)
}

func TestAfterFuncOfACtxThatHasEnded(t *testing.T) {
	ctx := newContext()
	ctx.end(context.Canceled)
	called := make(chan struct{})
	stop := ctx.AfterFunc(func() { close(called) })
	<-called
	if stop() {
		t.Error("it could be stopped")
	}
}

// Somebody may ask a ctx for its Done just as its record is taken for another command: he gets
// that of the one that has ended.
func TestACtxThatIsAskedAsItIsTakenAgain(t *testing.T) {
	ctx := newContext()
	ctx.end(context.Canceled)
	if !ctx.mayServe() {
		t.Fatal("nobody has touched it")
	}
	<-ctx.Done()
	ctx.mu.Lock()
	ctx.serve(base.ID{}, false, nil, time.Time{}, 0)
	ctx.mu.Unlock()
	done := ctx.Done()
	select {
	case <-done:
		t.Error("the next command has ended")
	default:
	}
	if ctx.Err() != nil {
		t.Errorf("the next command has ended by %v", ctx.Err())
	}
	ctx.end(context.Canceled)
	<-done
	if ctx.mayServe() {
		t.Error("it may serve again though it was touched")
	}
}

// A ctx that somebody has kept beyond its command ends, too, where the next command of its record
// is refused.
func TestTheCtxOfARefusedCommandHasEnded(t *testing.T) {
	conn := readConn(t)
	x := newCommand(newBareSession())
	x.ctx.end(context.Canceled)
	if !x.mayServe() {
		t.Fatal("nobody holds on to it")
	}
	x.refuse(conn, &transport.Message{Seq: 2}, &base.Error{Outcome: base.Rejected, Code: base.ErrBusy})
	select {
	case <-x.ctx.Done():
	default:
		t.Error("it goes on")
	}
}

// However many results a command sends, what is kept of them takes no more memory than what waits
// to be acknowledged.
func TestWhatIsKeptTakesThePlaceOfWhatIsGone(t *testing.T) {
	const waiting = 100
	s := newBareSession()
	x := newCommand(s)
	x.kept = new(kept)
	k := x.kept
	for n := range 10_000 {
		k.push(keptItem{body: []byte{byte(n), byte(n >> 8)}})
		k.total, k.results, k.sent = n+1, n+1, n+1
		k.acked = max(0, n+1-waiting)
		x.release()
		for i, item := range k.items[k.gone:] {
			want := k.released + i
			if item.body[0] != byte(want) || item.body[1] != byte(want>>8) {
				t.Fatalf("after %d results, item %d is %v", n+1, want, item.body)
			}
		}
		if left := len(k.items) - k.gone; left != min(n+1, waiting) {
			t.Fatalf("after %d results %d are kept", n+1, left)
		}
	}
	if cap(k.items) > 4*waiting {
		t.Errorf("%d results have taken the memory of %d", waiting, cap(k.items))
	}
	if x.letGoLocked(); cap(k.items) > transport.AckAfter {
		t.Errorf("a command that is over holds the memory of %d results", cap(k.items))
	}
}

// bytesCodec encodes a result of so many bytes.
type bytesCodec struct{ gate }

type manyBytes int

func (manyBytes) LastOne() bool { return false }

func (*bytesCodec) Encode(r base.Result, w transport.Writer) error {
	n := r.(manyBytes)
	w.Write(make([]byte, n))
	if n == unfit {
		return io.ErrShortBuffer
	}
	return nil
}

// unfit is a large result that can't be encoded.
const unfit = manyBytes(1<<20 + 1)

// sending returns the record of a command that runs and may send so many results, to a client
// that reads.
func sending(t *testing.T, granted int) *command[int] {
	near, far := memnet.Pipe()
	go io.Copy(io.Discard, near)
	conn := transport.NewConn(far, transport.Framed(transport.Options{Server: true}), nil, 0)
	t.Cleanup(func() { conn.Fail(net.ErrClosed) })
	s := newBareSession()
	s.handler.Codec = new(bytesCodec)
	x := newCommand(s)
	x.link, x.seq, x.granted, x.running, x.started, x.ended = conn, 1, granted, true, true, false
	return x
}

// A Send that waits for credit holds no large result beside its user's, but for the first one of
// a record, and none once its command has ended.
func TestASendThatWaitsHoldsNoLargeResult(t *testing.T) {
	for _, first := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			x := sending(t, 1)
			if first {
				x.granted = 0
			} else if err := x.Send(1, manyBytes(1<<20)); err != nil {
				t.Fatal(err)
			}
			sent := make(chan error)
			go func() { sent <- x.Send(1, manyBytes(1<<20)) }()
			synctest.Wait()
			if held := cap(x.scratch.B) > keepBody; held != first {
				t.Errorf("first: %v; a result of %d bytes waits for credit", first, cap(x.scratch.B))
			}
			x.cancel(1, context.Canceled, &base.Error{Outcome: base.Unknown, Code: base.ErrCanceled})
			if err := <-sent; !errors.Is(err, base.ErrCommandEnded) {
				t.Errorf("got %v", err)
			}
			if cap(x.scratch.B) > keepBody || x.message.Body != nil {
				t.Error("the record holds the result")
			}
		})
	}
}

// A record holds no large memory between two results, whatever became of the one before.
func TestARecordHoldsNoLargeResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := sending(t, 100)
		x.session.maxResultSize = 3 << 20
		for _, test := range []struct {
			result manyBytes
			fits   bool
		}{{1 << 20, true}, {10, true}, {1 << 20, true}, {unfit, false}, {4 << 20, false}, {10, true}} {
			if err := x.Send(1, test.result); (err == nil) != test.fits {
				t.Errorf("%d bytes: %v", test.result, err)
			}
			if held := cap(x.scratch.B) + cap(x.packed.B) + cap(x.message.Body); held > 3*keepBody {
				t.Errorf("after a result of %d bytes %d are held", test.result, held)
			}
		}
	})
}

// A result takes its credit when it goes, however often it is tried.
func TestAResultWithoutRoomTakesNoCredit(t *testing.T) {
	near, far := memnet.Pipe() // of which nobody reads
	defer near.Close()
	conn := transport.NewConn(far, transport.Framed(transport.Options{Server: true}), nil, 0)
	defer conn.Fail(net.ErrClosed)
	x := newCommand(newBareSession())
	x.link, x.seq, x.granted, x.running, x.ended = conn, 1, 1, true, false
	for err := error(nil); err == nil; {
		_, err = conn.Append(&transport.Message{Kind: transport.Result, Body: make([]byte, 4<<10)})
	}
	for range 3 {
		if _, err := x.send(1, false); err != transport.ErrNoRoom {
			t.Fatalf("got %v", err)
		}
	}
	if x.results != 0 {
		t.Errorf("%d results count", x.results)
	}
}

// An answer that is left on its slot when its session ends counts no more, whichever is first.
func TestAnAnswerAtTheEndOfItsSession(t *testing.T) {
	for _, first := range []string{"the answer", "the end", "both at once"} {
		near, far := memnet.Pipe()
		go io.Copy(io.Discard, near)
		conn := transport.NewConn(far, transport.Framed(transport.Options{Server: true}), nil, 0)
		s := newBareSession()
		s.named = true
		s.small.floor = 100
		x, _, err := s.record(&transport.Message{Seq: 1}, true)
		if err != nil {
			t.Fatal(err)
		}
		x.seq, x.link, x.granted, x.running, x.ended = 1, conn, 1, true, false
		x.scratch.B = []byte("answer")
		s.last.Store(conn)
		if _, err := x.keepResult(1, 1, true); err != nil || s.small.n.Load() != 6 {
			t.Fatalf("%v, %d bytes are kept", err, s.small.n.Load())
		}
		end := func() { s.endCommands(io.ErrClosedPipe) }
		var both sync.WaitGroup
		switch first {
		case "the answer":
			s.finish(x)
			if len(s.free) != 1 || s.table[0] != nil {
				t.Error("the record is not free")
			}
			end()
		case "the end":
			s.ended.Store(true) // the steps of endCommands, with the answer in between
			s.seenAll()
			s.finish(x)
			x.lose(io.ErrClosedPipe)
		default:
			both.Go(func() { s.finish(x) })
			both.Go(end)
			both.Wait()
		}
		if n := s.small.n.Load(); n != 0 {
			t.Errorf("%s first: %d bytes are kept", first, n)
		}
		conn.Fail(net.ErrClosed)
	}
}

// Nor does it put off the end of the next command's time in the queue.
func TestATimerThatFiresLateInTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := readConn(t)
		s := newBareSession()
		defer s.handler.wheel.Close()
		s.handler.admitted = admission[int]{maxRunning: 1, maxQueued: 10, maxWait: time.Second, since: time.Now(), wheel: s.handler.wheel}
		var records []*command[int]
		for seq := range base.Seq(2) {
			x, _, err := s.record(&transport.Message{Slot: int(seq), Seq: seq + 1}, true)
			if err != nil {
				t.Fatal(err)
			}
			x.begin(conn, &transport.Message{Slot: int(seq), Seq: seq + 1, Timeout: time.Hour}, turn{})
			s.handler.admitted.admit(x, time.Hour)
			records = append(records, x)
		}
		records[1].expire()
		time.Sleep(1100 * time.Millisecond)
		if s.handler.Counters.Shed.Load() != 1 {
			t.Error("a command waits for longer than any may")
		}
		s.handler.admitted.leave(records[0])
		s.finish(records[0])
	})
}
