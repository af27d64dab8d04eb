package handler_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/wire"
)

// expectAnswer checks a server's answer to a hello.
func expectAnswer(t *testing.T, got wire.ServerHello, status wire.Status, text string) {
	t.Helper()
	if got.Status != status || !strings.Contains(got.Text, text) {
		t.Errorf("the answer is %d, %q, want %d, %q", got.Status, got.Text, status, text)
	}
}

func TestACutEndsNothing(t *testing.T) {
	withHost(t, commands{"slow": func(c call) error {
		time.Sleep(time.Second)
		if err := c.ctx.Err(); err != nil {
			return err
		}
		return c.last("done")
	}}, nil, func(t *testing.T, h *host) {
		v := h.open(1)
		v.send(0, 1, 1, "slow")
		settle()
		v.cut()
		if all, detached := h.SessionCount(); all != 1 || detached != 1 || !h.HasSessions() || !h.Waiting() {
			t.Errorf("%d sessions, %d without a connection; waiting: %v", all, detached, h.Waiting())
		}
		time.Sleep(2 * time.Second)
		if !h.Waiting() {
			t.Error("nobody waits for what the client has not seen")
		}
		v.resume(stands(0, 1, 0, 1))
		v.inOrder("list 0:seen,0+8", "0: done.")
		if h.Counters.SessionsOpened.Load() != 1 || h.Counters.SessionsResumed.Load() != 1 {
			t.Error("it is not counted")
		}
	})
}

// N7: a client that says goodbye ends its session with the connection.
func TestAGoodbyeEndsTheSession(t *testing.T) {
	var err error
	withHost(t, commands{"wait": func(c call) error {
		<-c.ctx.Done()
		err = c.ctx.Err()
		return nil
	}}, nil, func(t *testing.T, h *host) {
		v := h.open(1)
		v.send(0, 1, 1, "wait")
		v.write(frame(wire.KindGoaway, 0, 0, []byte{0}))
		settle()
		if h.Running() != 1 {
			t.Error("the command has ended before the connection did")
		}
		v.cut()
		if err != context.Canceled || h.HasSessions() {
			t.Errorf("the ctx ended by %v; there is a session: %v", err, h.HasSessions())
		}
		expectAnswer(t, v.again(), wire.StatusSessionLost, "its client has ended it")
	})
}

// N2: an id is opened once, and what is not there is not resumed.
func TestWhatCannotBeOpenedOrResumed(t *testing.T) {
	withHost(t, nil, nil, func(t *testing.T, h *host) {
		h.open(1)
		twin := h.visit(wire.ClientHello{Session: &wire.Session{ID: wire.SessionID{1}, Epoch: 9}})
		expectAnswer(t, twin.connect(), wire.StatusRefused, "there is a session of this id already")
		stranger := h.visit(wire.ClientHello{Session: &wire.Session{ID: wire.SessionID{2}, Epoch: 1}})
		expectAnswer(t, stranger.again(), wire.StatusSessionLost, "the server does not know it: it has ended long ago, or the server was restarted since, or is another one")
		if n := h.Counters.SessionsLost.Load(); n != 1 {
			t.Errorf("%d are counted as lost", n)
		}
	})
}

// N3: the epoch rises, or the hello is an old one.
func TestAStaleEpoch(t *testing.T) {
	withHost(t, commands{"echo": echo}, nil, func(t *testing.T, h *host) {
		v := h.open(1)
		v.resume()
		late := h.visit(wire.ClientHello{Session: &wire.Session{Resume: true, ID: wire.SessionID{1}, Epoch: 2}})
		expectAnswer(t, late.connect(), wire.StatusStaleEpoch, "")
		v.send(0, 1, 1, "echo")
		v.expect("list", "0: echo.") // the newer one goes on
		if n := h.Counters.StaleEpochs.Load(); n != 1 {
			t.Errorf("%d are counted", n)
		}
	})
}

// N4: the old connection is over before the new one is told ok.
func TestTheOldConnectionEndsFirst(t *testing.T) {
	withHost(t, nil, nil, func(t *testing.T, h *host) {
		v := h.open(1)
		old := v.far
		v.peer.conn.Cut(memnet.Stall) // half open: the server has not noticed
		v.resume()
		v.expect("list")
		if _, err := old.Write([]byte{0}); err == nil {
			t.Error("the old connection is open")
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.ended) != 1 || !errors.Is(h.ended[0], base.ErrStaleEpoch) {
			t.Errorf("connections ended by %v", h.ended)
		}
	})
}

// N4: nor does anybody write to it any more.
func TestTheOldWriterEndsFirst(t *testing.T) {
	withHost(t, commands{"echo": echo}, nil, func(t *testing.T, h *host) {
		var late atomic.Bool
		h.wrap = func(nc net.Conn) net.Conn { return &slowWriter{nc, &late} }
		v := h.open(1)
		late.Store(true)
		v.send(0, 1, 1, "echo")
		v.expect("0: echo.") // it was written, but the server does not know yet
		late.Store(false)
		v.again()
		answered := func() bool {
			settle()
			v.mu.Lock()
			defer v.mu.Unlock()
			return v.answer.Info != nil
		}
		if answered() {
			t.Error("the resume was answered while the old connection was written to")
		}
		time.Sleep(slowWrite)
		if !answered() {
			t.Error("the resume was not answered")
		}
		v.list(wire.FlagLast)
		v.expect("list")
	})
}

// slowWriter's writes reach the peer at once, but while late is set they return much
// later.
type slowWriter struct {
	net.Conn
	late *atomic.Bool
}

const slowWrite = 3 * time.Second

func (w *slowWriter) Write(b []byte) (int, error) {
	late := w.late.Load()
	n, err := w.Conn.Write(b)
	if late {
		time.Sleep(slowWrite)
	}
	return n, err
}

// A client whose old connection is not written to any more still gets its session.
func TestAConnectionThatTakesNothingIsLeft(t *testing.T) {
	withHost(t, commands{"big": func(c call) error { return c.last(strings.Repeat("x", 3<<20)) }}, nil, func(t *testing.T, h *host) {
		v := h.open(1)
		v.far.Cut(memnet.Stall)
		v.send(0, 1, 1, "big")
		settle()
		v.peer.conn.Close()
		begin := time.Now()
		v.resume(stands(0, 1, 0, 1))
		if took := time.Since(begin); took > time.Second {
			t.Errorf("it took %v", took)
		}
		if got := v.take(); len(got) < 2 || got[0] != "list 0:seen,0+8" || !strings.HasSuffix(got[len(got)-1], ".") {
			t.Errorf("heard %d frames", len(got))
		}
	})
}

// N6: a session is its principal's, from whatever address.
func TestASessionIsItsPrincipals(t *testing.T) {
	withHost(t, nil, nil, func(t *testing.T, h *host) {
		ann := h.visit(wire.ClientHello{Session: &wire.Session{ID: wire.SessionID{1}, Epoch: 1}})
		ann.name = "ann"
		ann.connect()
		bob := h.visit(ann.hello)
		bob.name = "bob"
		expectAnswer(t, bob.again(), wire.StatusUnauthorized, "belongs to another client")
		if ann.end() != nil {
			t.Error("bob has ended ann's connection")
		}
		ann.resume()
		ann.expect("list")
		if n := h.Counters.ForeignSessions.Load(); n != 1 {
			t.Errorf("%d are counted", n)
		}
	})
}

func TestASessionKeepsItsCompression(t *testing.T) {
	withHost(t, nil, nil, func(t *testing.T, h *host) {
		v := h.open(1)
		v.cut()
		v.hello.Compressions = []uint64{64}
		expectAnswer(t, v.again(), wire.StatusRefused, "another compression")
		v.hello.Compressions = nil
		v.resume()
		v.expect("list")
	})
}

// N8: a session is kept for its time, counted from the last cut.
func TestASessionsTime(t *testing.T) {
	var ended time.Time
	withHost(t, commands{"wait": func(c call) error {
		<-c.ctx.Done()
		ended = time.Now()
		return nil
	}}, nil, func(t *testing.T, h *host) {
		v := h.open(1)
		v.send(0, 1, 1, "wait")
		settle()
		time.Sleep(time.Hour) // while it has a connection, no time passes
		for range 3 {
			v.cut()
			time.Sleep(59 * time.Second)
			v.resume(stands(0, 1, 0, 1))
			v.expect("list 0:seen,0+8")
		}
		time.Sleep(time.Hour)
		v.cut()
		left := time.Now()
		time.Sleep(time.Minute)
		settle()
		if ended.Sub(left).Round(10*time.Millisecond) != time.Minute || h.HasSessions() {
			t.Errorf("the ctx ended after %v", ended.Sub(left))
		}
		expectAnswer(t, v.again(), wire.StatusSessionLost, "it was without a connection for 1m0s")
		if n := h.Counters.SessionsExpired.Load(); n != 1 {
			t.Errorf("%d are counted", n)
		}
	})
}

// N8: of too many sessions the one that was left first goes, and none that has a
// connection.
func TestTooManySessions(t *testing.T) {
	withHost(t, nil, func(conf *handler.Conf[World]) { conf.Sessions.Max = 2 }, func(t *testing.T, h *host) {
		var v [5]*visitor
		for i := range v {
			v[i] = h.open(byte(i))
		}
		for _, i := range []int{3, 1, 0} { // 3 was left first
			v[i].cut()
		}
		if all, detached := h.SessionCount(); all != 4 || detached != 2 {
			t.Errorf("%d sessions, %d without a connection", all, detached)
		}
		expectAnswer(t, v[3].again(), wire.StatusSessionLost, "the server keeps no more than 2 sessions without a connection")
		for _, i := range []int{0, 1, 2, 4} {
			v[i].resume()
			v[i].expect("list")
		}
		if n := h.Counters.SessionsEvicted.Load(); n != 1 {
			t.Errorf("%d are counted", n)
		}
	})
}

// One that came back, and was left again, is the newest.
func TestALeftSessionThatCameBackIsNotTheFirst(t *testing.T) {
	withHost(t, nil, func(conf *handler.Conf[World]) { conf.Sessions.Max = 2 }, func(t *testing.T, h *host) {
		first, second, third := h.open(1), h.open(2), h.open(3)
		first.cut()
		second.cut()
		first.resume()
		first.cut()
		third.cut()
		expectAnswer(t, second.again(), wire.StatusSessionLost, "no more than 2")
		first.resume()
		first.expect("list")
	})
}

// Above TotalBytes of results, sessions without a connection go.
func TestTooManyBytesOfAllSessions(t *testing.T) {
	withHost(t, commands{"big": func(c call) error { return c.last(strings.Repeat("x", 2000)) }}, func(conf *handler.Conf[World]) {
		conf.Sessions.TotalBytes = 5000
	}, func(t *testing.T, h *host) {
		first, second, third := h.open(1), h.open(2), h.open(3)
		for _, v := range []*visitor{first, second} {
			v.send(0, 1, 1, "big")
			settle()
			v.cut()
		}
		third.send(0, 1, 1, "big")
		settle()
		expectAnswer(t, first.again(), wire.StatusSessionLost, "the server keeps no more results for sessions without a connection")
		second.resume(stands(0, 1, 0, 1))
		if got := second.take(); len(got) != 2 {
			t.Errorf("heard %q", got)
		}
		if n := h.KeptBytes(); n != 4000 {
			t.Errorf("%d bytes are kept", n)
		}
	})
}

// Of a few hundred ended sessions it is known why they ended.
func TestWhySessionsWereLost(t *testing.T) {
	withHost(t, nil, func(conf *handler.Conf[World]) { conf.MaxInFlight = 1 }, func(t *testing.T, h *host) {
		var all []*visitor
		for i := range 257 {
			v := h.visit(wire.ClientHello{Session: &wire.Session{ID: wire.SessionID{byte(i), byte(i >> 8)}, Epoch: 1}})
			v.connect()
			v.write(frame(wire.KindGoaway, 0, 0, []byte{0}))
			settle()
			v.cut()
			all = append(all, v)
		}
		expectAnswer(t, all[0].again(), wire.StatusSessionLost, "is another one")
		expectAnswer(t, all[1].again(), wire.StatusSessionLost, "its client has ended it")
	})
}

// A hello that opens, or resumes, and breaks off, leaves all as it was.
func TestAHelloThatBreaksOff(t *testing.T) {
	ctx := context.Background()
	withHost(t, commands{"wait": waiter}, nil, func(t *testing.T, h *host) {
		opening := handlerHello(wire.Session{ID: wire.SessionID{9}, Epoch: 1})
		s, _, _ := h.Open(ctx, opening, "", nil)
		s.Abandon(opening)
		if h.HasSessions() {
			t.Error("what was not opened is kept")
		}
		plain := handlerHello(wire.Session{})
		plain.Session = nil
		s, _, _ = h.Open(ctx, plain, "", nil)
		s.Abandon(plain)

		v := h.open(1)
		v.send(0, 1, 1, "wait")
		settle()
		v.cut()
		time.Sleep(50 * time.Second)
		resuming := handlerHello(wire.Session{Resume: true, ID: wire.SessionID{1}, Epoch: 2})
		s, _, _ = h.Resume(context.Background(), resuming, "", nil, nil)
		time.Sleep(time.Minute) // a hello is under way: the session is not given up
		if !h.HasSessions() {
			t.Error("it was given up during a hello")
		}
		// Its time begins anew.
		s.Abandon(resuming)
		time.Sleep(59 * time.Second)
		settle()
		if !h.HasSessions() {
			t.Error("it was given up too early")
		}
		time.Sleep(time.Second)
		settle()
		if h.HasSessions() || h.Running() != 0 {
			t.Error("it was not given up")
		}
	})
}

// Two hellos of one session may race: the newer one has it.
func TestAHelloThatWasOvertaken(t *testing.T) {
	withHost(t, nil, nil, func(t *testing.T, h *host) {
		v := h.open(1)
		slow := handlerHello(wire.Session{Resume: true, ID: wire.SessionID{1}, Epoch: 2})
		s, _, _ := h.Resume(context.Background(), slow, "", nil, func(*handler.Conn[World]) {})
		v.hello.Session.Epoch = 2
		v.resume() // epoch 3
		v.expect("list")
		if _, err := s.Attach(nil, slow, nil); !errors.Is(err, base.ErrStaleEpoch) {
			t.Errorf("got %v", err)
		}
		h.EndSessions(errors.New("the end"))
		last := handlerHello(*v.hello.Session)
		if _, err := s.Attach(nil, last, nil); !errors.Is(err, base.ErrSessionLost) || !strings.Contains(err.Error(), "the end") {
			t.Errorf("got %v", err)
		}
	})
}

// So it is where the older one is that which opened the session: it does not end it.
func TestAnOpeningThatWasOvertaken(t *testing.T) {
	withHost(t, commands{"wait": waiter}, nil, func(t *testing.T, h *host) {
		opening := handlerHello(wire.Session{ID: wire.SessionID{1}, Epoch: 1})
		s, _, _ := h.Open(t.Context(), opening, "", nil)
		v := h.visit(wire.ClientHello{Session: &wire.Session{ID: wire.SessionID{1}, Epoch: 1}})
		v.resume() // the client has heard the answer, and its connection was cut
		v.expect("list")
		if _, err := s.Attach(nil, opening, nil); !errors.Is(err, base.ErrStaleEpoch) {
			t.Errorf("got %v", err)
		}
		s.Abandon(opening)
		settle()
		if !h.HasSessions() {
			t.Fatal("the session has ended")
		}
		v.send(0, 1, 1, "wait")
		settle()
		if h.Running() != 1 {
			t.Error("the command does not run")
		}
		v.cut()
		v.resume(stands(0, 1, 0, 0))
		v.expect("list 0:seen,0+8")
	})
}

// Without a session a cut ends all.
func TestWithoutASessionACutEndsAll(t *testing.T) {
	withHost(t, commands{"wait": waiter}, nil, func(t *testing.T, h *host) {
		v := h.guest()
		v.command(0, "wait")
		settle()
		v.cut()
		if h.Running() != 0 || h.HasSessions() {
			t.Errorf("%d commands run", h.Running())
		}
	})
}

// A draining server rejects the commands of a session that comes back, too.
func TestASessionThatIsDrained(t *testing.T) {
	withHost(t, commands{"wait": waiter, "echo": echo}, nil, func(t *testing.T, h *host) {
		v := h.open(1)
		v.conn.Drain(time.Second)
		v.expect("goaway")
		v.resume()
		v.send(0, 1, 1, "echo")
		v.expect("list", "0: rejected, draining: the server is shutting down and takes no more commands")
	})
}

// N10: a command's name is that under which it was sent first.
func TestACommandKnowsItsName(t *testing.T) {
	name := func(c call) error {
		id, ok := base.CommandID(c.ctx)
		return c.last(fmt.Sprintf("%d/%d %v", id.Session[0], id.Seq, ok))
	}
	withHost(t, commands{"name": name}, nil, func(t *testing.T, h *host) {
		v := h.open(1)
		v.send(0, 5, 1, "name")
		v.extras(1, wire.Extras{Origin: &wire.Origin{Session: wire.SessionID{7}, Seq: 3}}, "name")
		v.expect("0: 1/5 true.", "1: 7/3 true.")
		guest := h.guest()
		guest.command(0, "name")
		guest.extras(1, wire.Extras{Origin: &wire.Origin{Session: wire.SessionID{7}, Seq: 3}}, "name")
		guest.command(2, "name") // not the one of the command before
		guest.expect("0: 0/0 false.", "1: 7/3 true.", "2: 0/0 false.")
	})
}

func TestMetadataReachesItsCommandAlone(t *testing.T) {
	withHost(t, commands{"echo": echo, "tenant": func(c call) error {
		return c.last(fmt.Sprintf("%q", base.MetadataOf(c.ctx)["tenant"]))
	}}, nil, func(t *testing.T, h *host) {
		v := h.guest()
		v.extras(0, wire.Extras{Metadata: wire.AppendPair(nil, "tenant", "ann")}, "tenant")
		v.expect(`0: ["ann"].`)
		v.command(0, "tenant")
		v.expect("0: [].")
		v.extras(0, wire.Extras{Metadata: wire.AppendPair(nil, "tenant", "bob")}, "echo")
		v.expect("0: echo.")
		v.extras(0, wire.Extras{Metadata: wire.AppendPair(nil, "tenant", "eve")}, "tenant")
		v.expect(`0: ["eve"].`)
	})
}

// However the hellos end of a session that was resumed before it was attached, it is kept for its
// time, and not for longer.
func TestHellosThatAllBreakOff(t *testing.T) {
	for _, openingFirst := range []bool{true, false} {
		withHost(t, nil, nil, func(t *testing.T, h *host) {
			opening := handlerHello(wire.Session{ID: wire.SessionID{1}, Epoch: 1})
			s, _, _ := h.Open(t.Context(), opening, "", nil)
			resuming := handlerHello(wire.Session{Resume: true, ID: wire.SessionID{1}, Epoch: 2})
			again, _, _ := h.Resume(context.Background(), resuming, "", nil, nil)
			if s != again {
				t.Fatal("another session was resumed")
			}
			if openingFirst {
				s.Abandon(opening)
				s.Abandon(resuming)
			} else {
				s.Abandon(resuming)
				s.Abandon(opening)
			}
			if all, detached := h.SessionCount(); all != 1 || detached != 1 {
				t.Errorf("%d sessions, %d without a connection", all, detached)
			}
			time.Sleep(time.Minute)
			settle()
			if h.HasSessions() {
				t.Error("it is kept for longer")
			}
		})
	}
}
