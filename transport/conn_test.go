package transport

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/internal/memnet"
)

// client returns a client's end over nc.
func client(nc net.Conn, writeTimeout time.Duration) *Conn {
	return NewConn(nc, framedClient(), new(atomic.Int64), writeTimeout)
}

// server returns a server's end over nc.
func server(nc net.Conn) *Conn {
	return NewConn(nc, framedServer(), nil, 0)
}

// pair runs f in a bubble with the two ends of a connection, and closes them.
func pair(t *testing.T, f func(t *testing.T, c, s *Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		near, far := memnet.Pipe()
		c, s := client(near, 0), server(far)
		defer end(c, s)
		f(t, c, s)
	})
}

var errTestOver = errors.New("the test is over")

func end(conns ...*Conn) {
	for _, c := range conns {
		c.Fail(errTestOver)
		c.Join()
	}
}

// send appends m and flushes, waiting for room.
func send(t *testing.T, c *Conn, m *Message) {
	t.Helper()
	flush, err := c.Append(m)
	for err == ErrNoRoom {
		if err = c.Room(t.Context()); err == nil {
			flush, err = c.Append(m)
		}
	}
	if flush {
		c.Flush(true)
	}
	if err != nil {
		t.Errorf("slot %d can't be sent: %v", m.Slot, err)
	}
}

// read returns the next message, with a body of its own.
func read(t *testing.T, c *Conn) Message {
	t.Helper()
	var m Message
	if err := c.Read(&m); err != nil {
		t.Fatal(err)
	}
	return ownBody(m)
}

type seqs struct{ last atomic.Int64 }

func (s *seqs) SetSeq(seq base.Seq) { s.last.Store(int64(seq)) }

func TestConnCarriesBothDirections(t *testing.T) {
	pair(t, func(t *testing.T, c, s *Conn) {
		said := Hello{Info: []byte("me"), MaxResultSize: 7}
		if err := c.SayHello(&said); err != nil {
			t.Fatal(err)
		}
		var heard Hello
		if err := s.HearHello(&heard); err != nil || string(heard.Info) != "me" {
			t.Fatalf("heard %+v, %v", heard, err)
		}
		var learned seqs
		command := Message{Kind: Command, Slot: 4, Body: []byte("ask"), SeqTo: &learned}
		time.Sleep(time.Second)
		send(t, c, &command)
		m := read(t, s)
		if m.Seq != 1 || command.Seq != 1 || learned.last.Load() != 1 || string(m.Body) != "ask" {
			t.Errorf("the server reads %+v; the client was told seq %d", m, learned.last.Load())
		}
		if got := s.At(); !got.Equal(time.Now()) {
			t.Errorf("the command is said to have come at %v, not %v", got, time.Now())
		}
		send(t, s, &Message{Kind: Result, Slot: 4, Last: true, Body: []byte("answer")})
		if m := read(t, c); m.Slot != 4 || !m.Last || string(m.Body) != "answer" {
			t.Errorf("the client reads %+v", m)
		}
		time.Sleep(3 * time.Second)
		if got := c.SinceCommand(); got != 3*time.Second {
			t.Errorf("the last command was sent %v ago", got)
		}
		if got := c.SinceRead(); got != 3*time.Second {
			t.Errorf("the last byte came %v ago", got)
		}
		if c.LocalAddr().String() != s.RemoteAddr().String() || !c.Supports(Cancel) {
			t.Error("the connection does not pass on what it is made of")
		}
	})
}

// A command that can't be written counts no Seq twice, and a later connection of
// the same client goes on counting.
func TestConnsOfOneClientShareSeq(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var last atomic.Int64
		for want := base.Seq(1); want <= 3; want++ {
			near, far := memnet.Pipe()
			c, s := NewConn(near, framedClient(), &last, 0), server(far)
			send(t, c, &Message{Kind: Command})
			if m := read(t, s); m.Seq != want {
				t.Errorf("connection %d: seq %d", want, m.Seq)
			}
			end(c, s)
		}
	})
}

// gate is a net.Conn whose writes wait until they may go on, and are counted.
type gate struct {
	net.Conn
	open   chan struct{}
	writes atomic.Int64
}

func (g *gate) Write(b []byte) (int, error) {
	g.writes.Add(1)
	<-g.open
	return g.Conn.Write(b)
}

func TestFlushIsCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memnet.PipeSize(1 << 20)
		slow := &gate{Conn: near, open: make(chan struct{})}
		c, s := client(slow, time.Hour), server(far)
		defer end(c, s)
		const goroutines, each = 64, 10
		var senders sync.WaitGroup
		for i := range goroutines {
			senders.Go(func() {
				for j := range each {
					send(t, c, &Message{Kind: Command, Slot: i, Body: []byte{byte(j)}})
				}
			})
		}
		senders.Wait()
		synctest.Wait()
		close(slow.open)
		var next [goroutines]byte
		for seq := base.Seq(1); seq <= goroutines*each; seq++ {
			m := read(t, s)
			if m.Seq != seq || m.Body[0] != next[m.Slot] {
				t.Fatalf("seq %d, body %d of slot %d came, want %d, %d", m.Seq, m.Body[0], m.Slot, seq, next[m.Slot])
			}
			next[m.Slot]++
		}
		if n := slow.writes.Load(); n > 2 {
			t.Errorf("%d messages took %d writes: one for the first, one for all that came meanwhile", goroutines*each, n)
		}
	})
}

// While the reader hands out a buffer of messages, what they cause is held back,
// and goes out in one write before the reader waits.
func TestFlushIsHeldForTheReader(t *testing.T) {
	pair(t, func(t *testing.T, c, s *Conn) {
		for slot := range 3 {
			if _, err := c.Append(&Message{Kind: Command, Slot: slot}); err != nil {
				t.Fatal(err)
			}
		}
		c.Flush(false)
		wire := s.nc.(*memnet.Conn)
		for slot := range 3 {
			if m := read(t, s); m.Slot != slot {
				t.Fatalf("slot %d came", m.Slot)
			}
			flush, err := s.Append(&Message{Kind: Result, Slot: slot, Last: true})
			if flush || err != nil {
				t.Errorf("after command %d: flush %v, %v", slot, flush, err)
			}
		}
		synctest.Wait()
		if n := wire.Written(); n != 0 {
			t.Errorf("%d bytes were written while messages were left to hand out", n)
		}
		go s.Read(new(Message))
		for slot := range 3 {
			if m := read(t, c); m.Slot != slot {
				t.Errorf("slot %d was answered", m.Slot)
			}
		}
	})
}

// hold makes s hand out a buffer with more messages in it than it reads.
func hold(t *testing.T, c, s *Conn) {
	t.Helper()
	for range 2 {
		if _, err := c.Append(&Message{Kind: Ping}); err != nil {
			t.Fatal(err)
		}
	}
	c.Flush(false)
	read(t, s)
}

func TestReleaseFlushesALargeMessageToo(t *testing.T) {
	pair(t, func(t *testing.T, c, s *Conn) {
		hold(t, c, s)
		large := &Message{Kind: Result, Slot: 1, Last: true, Body: pattern(LargeBody + 1)}
		if flush, err := s.Append(large); flush || err != nil {
			t.Fatalf("flush %v, %v", flush, err)
		}
		s.Release()
		if err := s.Wait(t.Context(), large); err != nil {
			t.Fatal(err)
		}
		if m := read(t, c); !bytes.Equal(m.Body, large.Body) {
			t.Errorf("%d bytes came", len(m.Body))
		}
	})
}

func TestMuchIsNotHeldBack(t *testing.T) {
	pair(t, func(t *testing.T, c, s *Conn) {
		hold(t, c, s)
		for held := 0; ; held += LargeBody {
			flush, err := s.Append(&Message{Kind: Result, Body: pattern(LargeBody)})
			if err != nil || held > sendBuffer {
				t.Fatalf("%d bytes are held back, %v", held, err)
			}
			if flush {
				s.Flush(false)
				break
			}
		}
		read(t, c)
		s.Release()
	})
}

func TestRoom(t *testing.T) {
	pair(t, func(t *testing.T, c, s *Conn) {
		if err := c.Room(t.Context()); err != nil {
			t.Fatalf("an idle connection has no room: %v", err)
		}
		sent := fill(t, c)
		if sent > sendBuffer+memnet.DefaultSize+2*LargeBody {
			t.Errorf("%d bytes were taken for a peer that does not read", sent)
		}
		ctx, cancel := contextWithCause()
		waited := make(chan error)
		go func() { waited <- c.Room(ctx) }()
		synctest.Wait()
		cancel(errTestOver)
		if err := <-waited; err != errTestOver {
			t.Errorf("Room returned %v, want the cause", err)
		}
		// What is small, and about commands, always finds room.
		if err := c.Post(&Message{Kind: Cancel, Slot: 1}); err != nil {
			t.Errorf("a cancel found no room: %v", err)
		}
		go func() { waited <- c.Room(t.Context()) }()
		synctest.Wait()
		go func() {
			var m Message
			for s.Read(&m) == nil {
			}
		}()
		if err := <-waited; err != nil {
			t.Errorf("the peer reads again, and Room returned %v", err)
		}
	})
}

// fill appends until there is no room, and returns how many bytes that took.
func fill(t *testing.T, c *Conn) (sent int) {
	t.Helper()
	for body := pattern(LargeBody); ; sent += len(body) {
		flush, err := c.Append(&Message{Kind: Command, Body: body})
		if flush {
			c.Flush(false)
		}
		synctest.Wait()
		switch {
		case err == ErrNoRoom:
			return sent
		case err != nil:
			t.Fatal(err)
		}
	}
}

func TestRoomEndsWithTheConnection(t *testing.T) {
	pair(t, func(t *testing.T, c, _ *Conn) {
		fill(t, c)
		waited := make(chan error)
		go func() { waited <- c.Room(t.Context()) }()
		synctest.Wait()
		c.Fail(&base.Error{Code: base.ErrClosed})
		wantCode(t, <-waited, base.ErrClosed)
		_, err := c.Append(&Message{Kind: Command})
		wantCode(t, err, base.ErrClosed)
		wantCode(t, c.Post(&Message{Kind: Ping}), base.ErrClosed)
		wantCode(t, c.Room(t.Context()), base.ErrClosed)
		wantCode(t, c.Read(new(Message)), base.ErrClosed)
	})
}

func TestSlowReaderIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memnet.Pipe()
		c, s := client(near, 7*time.Second), server(far)
		defer end(c, s)
		start := time.Now()
		fill(t, c)
		<-c.Done()
		wantCode(t, c.Err(), base.ErrSlowReader)
		if got := time.Since(start); got != 7*time.Second {
			t.Errorf("it was cut after %v", got)
		}
	})
}

// E2: a server that makes a client answer, and does not read the answers, is cut at once
// when they are more than any honest one causes.
func TestPostIsBounded(t *testing.T) {
	pair(t, func(t *testing.T, c, _ *Conn) {
		posted, reason := 0, string(pattern(30_000))
		for c.Post(&Message{Kind: Goaway, Reason: reason}) == nil {
			if posted += len(reason); posted > mostPosted+2*sendBuffer {
				t.Fatalf("%d bytes were taken", posted)
			}
			synctest.Wait()
		}
		wantCode(t, c.Err(), base.ErrSlowReader)
		if posted < mostPosted {
			t.Errorf("it was cut after %d bytes", posted)
		}
	})
}

// failure is the nth one, of two kilobytes, as errors of users may be.
func failure(n int) *Message {
	return &Message{Kind: Failure, Slot: n % 300, Err: &base.Error{Outcome: base.Failed, Code: base.ErrExec, Message: string(pattern(2000))}}
}

// wantFailures reads so many of them, in order.
func wantFailures(t *testing.T, c *Conn, many int) {
	t.Helper()
	first := read(t, c)
	for n := 1; n < many; n++ {
		if m := read(t, c); m.Kind != Failure || m.Slot != (first.Slot+n)%300 {
			t.Fatalf("message %d is %+v", n, m)
		}
	}
}

// E2: failures, for which nobody gives credit, find room however many come at once: a
// peer that reads gets them all.
func TestFailuresAtOnce(t *testing.T) {
	pair(t, func(t *testing.T, c, s *Conn) {
		s.nc.(*memnet.Conn).SetPlan(memnet.Plan{Delay: 5 * time.Millisecond})
		const many = 3000
		for n := range many {
			if err := s.Post(failure(n)); err != nil {
				t.Fatalf("failure %d: %v", n, err)
			}
		}
		wantFailures(t, c, many)
	})
}

// E2: while so much is to be written a server reads nothing, so that it will not be
// more; the client does not count as silent meanwhile. It is cut if it does not read.
func TestAServerWaitsForItsClientToRead(t *testing.T) {
	for name, reads := range map[string]bool{"reads in time": true, "does not read": false} {
		t.Run(name, func(t *testing.T) {
			pair(t, func(t *testing.T, c, s *Conn) {
				served := make(chan error, 1)
				var handled atomic.Int64
				var waited time.Duration // behind what had come, before it was read
				go func() {
					var m Message
					for {
						if err := s.Read(&m); err != nil {
							served <- err
							return
						}
						handled.Add(1)
						waited = max(waited, s.Seen().Sub(s.At()))
						s.Post(failure(m.Slot))
					}
				}()
				const many = 1000
				for n := range many {
					send(t, c, &Message{Kind: Command, Slot: n % 300})
				}
				time.Sleep(29 * time.Second)
				if pending := int(handled.Load()) * 2000; pending < mostAnswers || pending > 2*mostAnswers+memnet.DefaultSize+4000 || s.SinceRead() != 0 {
					t.Errorf("%d bytes of answers were made, silent for %v", pending, s.SinceRead())
				}
				if !reads {
					wantCode(t, <-served, base.ErrSlowReader)
					return
				}
				wantFailures(t, c, many)
				c.Fail(errTestOver)
				wantCode(t, <-served, base.ErrConnLost)
				if waited < 28*time.Second || waited > 30*time.Second {
					t.Errorf("who reads has seen itself wait for %v", waited)
				}
			})
		})
	}
}

// E2: the write timeout is for each piece: a peer that reads all the time is not cut,
// however much is to be written and however long that takes.
func TestAPeerThatReadsSlowly(t *testing.T) {
	pair(t, func(t *testing.T, c, s *Conn) {
		for n := range 2000 {
			s.Post(failure(n))
		}
		begin := time.Now()
		for range 2000 / 20 {
			time.Sleep(2 * time.Second)
			wantFailures(t, c, 20)
		}
		if took := time.Since(begin); took < 3*time.Minute {
			t.Errorf("all was read within %v: the test tests nothing", took)
		}
	})
}

// The same of a body that goes by reference in one piece.
func TestALargeBodyThatIsReadSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memnet.Pipe()
		c := NewConn(near, Plain(plainOptions(false)), new(atomic.Int64), 0)
		defer end(c)
		const size = 1 << 20
		send(t, c, &Message{Kind: Command, Body: pattern(size)})
		for range size / (1 << 13) {
			time.Sleep(time.Second)
			if _, err := io.ReadFull(far, make([]byte, 1<<13)); err != nil {
				t.Fatalf("%v; %v", err, c.Err())
			}
		}
	})
}

// After a timeout nothing is left of the deadline.
func TestWriteDeadlineDoesNotOutliveTheWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memnet.Pipe()
		c, s := client(near, time.Second), server(far)
		defer end(c, s)
		for range 3 {
			send(t, c, &Message{Kind: Ping})
			read(t, s)
			time.Sleep(time.Minute)
		}
		if _, err := near.Write([]byte{0}); err != nil {
			t.Errorf("a deadline is left: %v", err)
		}
	})
}

func TestFirstReasonCounts(t *testing.T) {
	pair(t, func(t *testing.T, c, s *Conn) {
		if c.Err() != nil {
			t.Errorf("a connection that goes on has the error %v", c.Err())
		}
		wantCode(t, c.Fail(&base.Error{Code: base.ErrKeepalive}), base.ErrKeepalive)
		wantCode(t, c.Fail(io.EOF), base.ErrKeepalive)
		wantCode(t, c.Err(), base.ErrKeepalive)
		<-c.Done()
		c.Join()
		wantCode(t, s.Read(new(Message)), base.ErrConnLost)
	})
}

// What the connection had not taken when it failed was certainly not sent.
func TestWrote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memnet.PipeSize(100)
		c, s := client(near, 0), server(far)
		defer end(c, s)
		messages := make([]*Message, 5)
		for i := range messages {
			messages[i] = &Message{Kind: Command, Slot: i, Body: pattern(60)}
			send(t, c, messages[i])
			synctest.Wait()
		}
		read(t, s)
		synctest.Wait()
		c.Fail(io.EOF)
		c.Join()
		whole := int(near.Written()) / 63
		if whole == 0 || whole == len(messages) {
			t.Fatalf("%d bytes were written: the test tests nothing", near.Written())
		}
		for i, m := range messages {
			if got := c.Wrote(m); got != (i < whole) {
				t.Errorf("message %d: wrote is %v, and %d bytes were written", i, got, near.Written())
			}
		}
		if c.Wrote(&Message{Kind: Command}) {
			t.Error("a message that was never appended counts as written")
		}
	})
}

// breaking is a net.Conn whose writes fail half-way.
type breaking struct {
	net.Conn
	err error
}

func (b breaking) Write(p []byte) (int, error) { return len(p) / 2, b.err }

// observed is an error that calls a function when it is looked into, as a Conn
// does of the error that ends it.
type observed struct{ look func() }

func (observed) Error() string { return "broken" }

func (o observed) As(any) bool {
	o.look()
	return false
}

// Behind a write that failed half-way nobody may write any more, or the peer
// would take what follows the gap for the rest of what it lacks. So the
// connection has to end while its flusher still is the only one.
func TestNothingIsWrittenBehindAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memnet.Pipe()
		defer far.Close()
		looked := false
		var c *Conn
		c = client(breaking{near, observed{func() {
			if looked = true; !c.flushing { // the Conn holds its mu here
				t.Error("the connection ends when another may be writing already")
			}
		}}}, 0)
		if err := c.Post(&Message{Kind: Ping}); err != nil {
			t.Fatal(err)
		}
		<-c.Done()
		c.Join()
		if !looked || c.flushing {
			t.Errorf("looked: %v, flushing: %v", looked, c.flushing)
		}
	})
}

func TestSettle(t *testing.T) {
	pair(t, func(t *testing.T, c, s *Conn) {
		if !c.Settle(0) {
			t.Error("an idle connection is not settled")
		}
		// What is held back is written too.
		hold(t, c, s)
		if _, err := s.Append(&Message{Kind: Ping}); err != nil {
			t.Fatal(err)
		}
		if !s.Settle(time.Second) {
			t.Error("not settled, though the peer has room")
		}
		if m := read(t, c); m.Kind != Ping {
			t.Errorf("%+v came", m)
		}
		fill(t, c)
		start := time.Now()
		if c.Settle(time.Second) || time.Since(start) != time.Second {
			t.Errorf("settled after %v, with a peer that does not read", time.Since(start))
		}
		time.AfterFunc(time.Second, func() { c.Fail(io.EOF) })
		start = time.Now()
		if c.Settle(time.Minute) || time.Since(start) != time.Second {
			t.Errorf("settled after %v, though the connection failed", time.Since(start))
		}
		if c.Settle(time.Minute) {
			t.Error("a failed connection is settled")
		}
	})
}

func TestFinishLetsThePeerRead(t *testing.T) {
	pair(t, func(t *testing.T, c, s *Conn) {
		send(t, c, &Message{Kind: Command, Body: pattern(1000)}) // what s will not read any more
		go func() {
			if err := s.SayHello(&Hello{Status: Full, Text: "64 clients"}); err != nil {
				t.Error(err)
			}
			send(t, s, &Message{Kind: Goaway, Reason: "full"})
			s.Finish(&base.Error{Code: base.ErrFull}, time.Second)
			wantCode(t, s.Err(), base.ErrFull)
		}()
		start := time.Now()
		time.Sleep(10 * time.Millisecond)
		var h Hello
		if err := c.HearHello(&h); err != nil || h.Text != "64 clients" {
			t.Errorf("the client hears %+v, %v", h, err)
		}
		if m := read(t, c); m.Reason != "full" {
			t.Errorf("the client reads %+v", m)
		}
		wantCode(t, c.Read(new(Message)), base.ErrConnLost)
		synctest.Wait()
		<-s.Done()
		if got := time.Since(start); got != 10*time.Millisecond {
			t.Errorf("it took %v", got)
		}
	})
}

func TestFinishEnds(t *testing.T) {
	for name, peer := range map[string]func(nc net.Conn){
		"silent": func(net.Conn) {},
		"talks on": func(nc net.Conn) {
			for _, err := nc.Write([]byte{0}); err == nil; _, err = nc.Write([]byte{0}) {
				time.Sleep(time.Millisecond)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			pair(t, func(t *testing.T, c, s *Conn) {
				var talking sync.WaitGroup
				talking.Go(func() { peer(c.nc) })
				start := time.Now()
				s.Finish(io.EOF, time.Second)
				if got := time.Since(start); got != time.Second {
					t.Errorf("it took %v", got)
				}
				talking.Wait()
			})
		})
	}
	t.Run("does not read", func(t *testing.T) {
		pair(t, func(t *testing.T, c, _ *Conn) {
			fill(t, c)
			start := time.Now()
			c.Finish(io.EOF, time.Second)
			if got := time.Since(start); got != time.Second {
				t.Errorf("it took %v", got)
			}
		})
	})
}

// Where the stream can't be ended by halves, what was appended is written all
// the same.
func TestFinishWithoutHalfClose(t *testing.T) {
	pair(t, func(t *testing.T, c, s *Conn) {
		s.nc = struct{ net.Conn }{s.nc}
		hold(t, c, s)
		if _, err := s.Append(&Message{Kind: Goaway, Reason: "full"}); err != nil {
			t.Fatal(err)
		}
		s.Finish(io.EOF, time.Second)
		if m := read(t, c); m.Reason != "full" {
			t.Errorf("%+v came", m)
		}
	})
}

// AppendResult is Append of a small result, with what Append refuses.
func TestAppendResult(t *testing.T) {
	pair(t, func(t *testing.T, c, s *Conn) {
		for i, last := range []bool{false, true, false} { // what is left of one is not the next one's
			body := bytes.Repeat([]byte{byte(i)}, 10+i)
			if flush, err := s.AppendResult(i, body, last, false); err != nil {
				t.Fatal(err)
			} else if flush {
				s.Flush(false)
			}
			if m := read(t, c); m.Kind != Result || m.Slot != i || m.Last != last || m.Compressed || !bytes.Equal(m.Body, body) {
				t.Errorf("got %+v", m)
			}
		}
		var err error
		for range sendBuffer/LargeBody + 2 { // the first of which is told to flush, and does so at the end
			var flush bool
			if flush, err = s.AppendResult(1, make([]byte, LargeBody), false, false); flush {
				defer s.Flush(false)
			}
		}
		if err != ErrNoRoom {
			t.Errorf("got %v", err)
		}
		s.Fail(errTestOver)
		if _, err := s.AppendResult(1, []byte("more"), true, false); !errors.Is(err, errTestOver) {
			t.Errorf("got %v", err)
		}
	})
}
