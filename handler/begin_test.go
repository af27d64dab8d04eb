package handler

import (
	"context"
	"io"
	"net"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/transport"
)

// turnstile is a codec whose Encode tells that it was entered, and waits.
type turnstile struct {
	transport.Codec[base.Result, base.Cmd[int]]
	entered int
	open    chan func()
}

func (c *turnstile) Encode(_ base.Result, w transport.Writer) error {
	c.entered++ // without a lock: one at a time
	(<-c.open)()
	return w.WriteByte(byte(c.entered))
}

type item struct{ base.Result }

func (item) LastOne() bool { return false }

// Results are encoded one at a time, whoever sends them; also after one whose codec has ended
// the goroutine.
func TestOneSendAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := readConn(t)
		codec := &turnstile{open: make(chan func())}
		s := newBareSession()
		s.handler.Codec = codec
		x := newCommand(s)
		x.link, x.seq, x.granted, x.running, x.ended = conn, 1, 10, true, false
		sent := 0
		for range 3 {
			go func() {
				if err := x.Send(1, item{}); err != nil {
					t.Error(err)
				}
				sent++
			}()
		}
		for n, next := range []func(){func() {}, runtime.Goexit, func() {}} {
			synctest.Wait()
			if codec.entered != n+1 {
				t.Fatalf("%d results are being encoded, after %d", codec.entered-n, n)
			}
			if x.mayServe() {
				t.Error("a record with a Send under way may be another command's")
			}
			codec.open <- next
		}
		synctest.Wait()
		if sent != 2 || x.results != 2 || !x.mayServe() {
			t.Errorf("%d Sends have returned, %d results were sent", sent, x.results)
		}
	})
}

// A command that is refused runs no more than one that was never sent.
func TestARefusedCommandDoesNotRun(t *testing.T) {
	conn := readConn(t)
	s := newBareSession()
	m := &transport.Message{Seq: 1}
	x, running, err := s.record(m, true)
	if running != 1 || err != nil {
		t.Fatalf("%d run, %v", running, err)
	}
	x.timedOut = true // so the command before has ended, on this record
	if x.refuse(conn, m, &base.Error{Outcome: base.Rejected, Code: base.ErrBusy}); s.Running() != 0 {
		t.Errorf("%d run", s.Running())
	}
	if n := s.handler.Counters.Deadlines.Load(); n != 0 {
		t.Errorf("%d deadlines count", n)
	}
}

// A command that was ended, with its session, between its frame and its run is not run, though
// its leader was about to.
func TestACommandWhoseSessionEndsAsItBegins(t *testing.T) {
	conn := readConn(t)
	s := newBareSession()
	s.handler.Codec = &turnstile{} // whose Decode would panic
	s.handler.admitted.maxRunning = 1
	m := &transport.Message{Kind: transport.Command, Seq: 1, Body: []byte("body")}
	x, _, err := s.record(m, true)
	if err != nil || !s.handler.admitted.enter(x) {
		t.Fatal(err)
	}
	x.begin(conn, m, turn{role: new(role), began: 1})
	if !x.started {
		t.Fatal("it has not started")
	}
	s.end(context.Canceled)
	x.run(turn{})
	if n := s.handler.Counters.Panics.Load(); n != 0 || s.Running() != 0 {
		t.Errorf("it was run, or runs: %d panics, %d run", n, s.Running())
	}
}

// readConn returns a server's connection, over which the client reads all and sends nothing.
func readConn(t *testing.T) *transport.Conn {
	near, far := memnet.Pipe()
	go io.Copy(io.Discard, near)
	conn := transport.NewConn(far, transport.Framed(transport.Options{Server: true}), nil, 0)
	t.Cleanup(func() {
		conn.Fail(net.ErrClosed)
		near.Close()
	})
	return conn
}
