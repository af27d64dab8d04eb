package transport

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/wire"
)

func contextWithCause() (context.Context, context.CancelCauseFunc) {
	return context.WithCancelCause(context.Background())
}

func TestSmallMessagesPassALargeOne(t *testing.T) {
	pair(t, func(t *testing.T, c, s *Conn) {
		large := &Message{Kind: Command, Slot: 1, Body: pattern(maxBody)}
		send(t, c, large)
		synctest.Wait() // the connection's buffer is full of it
		for i := range 3 {
			send(t, c, &Message{Kind: Command, Slot: 2, Body: []byte{byte(i)}})
			m := read(t, s)
			if m.Slot != 2 || m.Body[0] != byte(i) {
				t.Fatalf("slot %d came", m.Slot)
			}
			// One piece was on its way, and one more may be between it and the small one.
			passed := c.nc.(*memnet.Conn).Written()
			if limit := int64((i + 1) * 4 * wire.MaxPayload); passed > limit {
				t.Errorf("small message %d came behind %d bytes", i, passed)
			}
		}
		m := read(t, s)
		if m.Slot != 1 || !bytes.Equal(m.Body, large.Body) {
			t.Errorf("slot %d came with %d bytes", m.Slot, len(m.Body))
		}
		if err := c.Wait(t.Context(), large); err != nil || c.Progress(large) != Whole {
			t.Errorf("progress %v, %v", c.Progress(large), err)
		}
	})
}

// frames reads a stream as its frames.
func frames(t *testing.T, nc net.Conn, until func(wire.Header) bool) (headers []wire.Header) {
	t.Helper()
	for {
		var b []byte
		for {
			var next [1]byte
			if _, err := io.ReadFull(nc, next[:]); err != nil {
				t.Fatal(err)
			}
			b = append(b, next[0])
			h, _, err := wire.ParseHeader(b)
			if err == wire.ErrShort {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.CopyN(io.Discard, nc, int64(h.Length)); err != nil {
				t.Fatal(err)
			}
			headers = append(headers, h)
			if until(h) {
				return headers
			}
			break
		}
	}
}

func TestLargeMessagesTakeTurns(t *testing.T) {
	pair(t, func(t *testing.T, c, s *Conn) {
		hold(t, s, c) // so that both are queued before the first piece goes
		for slot := 1; slot <= 2; slot++ {
			if _, err := c.Append(&Message{Kind: Command, Slot: slot, Body: pattern(5 * wire.MaxPayload)}); err != nil {
				t.Fatal(err)
			}
		}
		c.Release()
		last := 0
		headers := frames(t, s.nc, func(h wire.Header) bool {
			if h.Flags&wire.FlagMore == 0 {
				last++
			}
			return last == 2
		})
		for i, h := range headers {
			if h.Slot != uint64(1+i%2) {
				t.Fatalf("frame %d is of slot %d: %+v", i, h.Slot, headers)
			}
		}
	})
}

func TestAbort(t *testing.T) {
	pair(t, func(t *testing.T, c, s *Conn) {
		first := &Message{Kind: Command, Slot: 1, Body: pattern(maxBody)}
		second := &Message{Kind: Command, Slot: 2, Body: pattern(maxBody)}
		send(t, c, first)
		synctest.Wait() // its first piece does not fit into the connection's buffer
		send(t, c, second)
		if got := c.Progress(second); got != Unsent {
			t.Errorf("the second message's progress is %v", got)
		}
		if got := c.Abort(second); got != Unsent {
			t.Errorf("giving up a message of which nothing was sent: %v", got)
		}
		if got := c.Abort(second); got != Unsent {
			t.Errorf("giving it up again: %v", got)
		}
		if got := c.Progress(first); got != Cut {
			t.Errorf("the first message's progress is %v", got)
		}
		if got := c.Abort(first); got != Cut {
			t.Errorf("giving up a message of which a piece was sent: %v", got)
		}
		send(t, c, &Message{Kind: Command, Slot: 3})
		wantRefusal(t, read(t, s), 1, base.Rejected, base.ErrCanceled)
		if m := read(t, s); m.Slot != 3 || m.Err != nil || m.Seq != 2 {
			t.Errorf("after it came %+v", m)
		}
		third := &Message{Kind: Command, Slot: 2, Body: pattern(LargeBody + 1)}
		send(t, c, third)
		if m := read(t, s); m.Slot != 2 || m.Seq != 3 {
			t.Errorf("after it came slot %d, seq %d", m.Slot, m.Seq)
		}
		if got := c.Abort(third); got != Whole {
			t.Errorf("giving up a message that was sent: %v", got)
		}
		if written := c.nc.(*memnet.Conn).Written(); written > maxBody/8 {
			t.Errorf("%d bytes were written", written)
		}
	})
}

// The last piece of a result that was given up comes before the failure that
// says so.
func TestAbortOfAResult(t *testing.T) {
	pair(t, func(t *testing.T, c, s *Conn) {
		send(t, c, &Message{Kind: Command, Slot: 1})
		read(t, s)
		large := &Message{Kind: Result, Slot: 1, Last: true, Body: pattern(maxBody)}
		send(t, s, large)
		synctest.Wait()
		if got := s.Abort(large); got != Cut {
			t.Fatalf("giving it up: %v", got)
		}
		send(t, s, &Message{Kind: Failure, Slot: 1, Err: &base.Error{Outcome: base.Failed, Code: base.ErrExec}})
		send(t, s, &Message{Kind: Result, Slot: 1, Last: true, Body: []byte("of the next")})
		if m := read(t, c); m.Kind != Failure || m.Slot != 1 {
			t.Errorf("%.200v came", m)
		}
		if m := read(t, c); m.Kind != Result || string(m.Body) != "of the next" {
			t.Errorf("%.200v came", m)
		}
	})
}

// A message that nobody holds back is given up while nothing else is under way:
// its last piece must not wait for the next message.
func TestAbortFlushes(t *testing.T) {
	pair(t, func(t *testing.T, c, s *Conn) {
		large := &Message{Kind: Command, Slot: 1, Body: pattern(maxBody)}
		send(t, c, large)
		synctest.Wait()
		c.Abort(large)
		wantRefusal(t, read(t, s), 1, base.Rejected, base.ErrCanceled)
		if !c.Settle(time.Second) || !c.Wrote(large) {
			t.Error("the last piece was not written")
		}
	})
}

func TestWaitGivesUp(t *testing.T) {
	pair(t, func(t *testing.T, c, s *Conn) {
		first := &Message{Kind: Command, Slot: 1, Body: pattern(maxBody)}
		second := &Message{Kind: Command, Slot: 2, Body: pattern(maxBody)}
		send(t, c, first)
		synctest.Wait()
		send(t, c, second)
		ctx, cancel := contextWithCause()
		cancel(errTestOver)
		if err := c.Wait(ctx, second); err != errTestOver {
			t.Errorf("nothing was sent, and Wait returned %v", err)
		}
		if second.Seq != 0 {
			t.Errorf("a command of which nothing was sent has the seq %d", second.Seq)
		}
		if err := c.Wait(ctx, first); err != nil {
			t.Errorf("a piece was sent, the peer will answer, and Wait returned %v", err)
		}
		wantRefusal(t, read(t, s), 1, base.Rejected, base.ErrCanceled)
	})
}

func TestWaitEndsWithTheConnection(t *testing.T) {
	pair(t, func(t *testing.T, c, _ *Conn) {
		messages := []*Message{
			{Kind: Command, Slot: 1, Body: pattern(maxBody)},
			{Kind: Command, Slot: 2, Body: pattern(maxBody)},
		}
		failed := make(chan error)
		for _, m := range messages {
			send(t, c, m)
			go func() { failed <- c.Wait(t.Context(), m) }()
			synctest.Wait()
		}
		c.Fail(&base.Error{Code: base.ErrClosed})
		for range messages {
			wantCode(t, <-failed, base.ErrClosed)
		}
		c.Join()
		for i, want := range []Progress{Cut, Unsent} {
			if got := c.Abort(messages[i]); got != want {
				t.Errorf("message %d: %v, want %v", i, got, want)
			}
			if c.Wrote(messages[i]) {
				t.Errorf("message %d counts as written", i)
			}
		}
	})
}

// A message that was sent whole was sent, even if the connection ends before its
// sender hears of it: the peer may have it.
func TestWaitAfterTheEnd(t *testing.T) {
	pair(t, func(t *testing.T, c, s *Conn) {
		large := &Message{Kind: Command, Body: pattern(LargeBody + 1)}
		send(t, c, large)
		read(t, s)
		c.Fail(io.EOF)
		if err := c.Wait(t.Context(), large); err != nil || !c.Wrote(large) {
			t.Errorf("Wait returned %v, wrote is %v", err, c.Wrote(large))
		}
	})
}
