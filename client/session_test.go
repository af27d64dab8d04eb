package client_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/wire"
)

// sessionTime is that of the scripted servers here, in milliseconds.
const sessionTime = 60_000

// openSession returns a client with a session, and the peer that has opened it.
func openSession(t *testing.T, conf client.Conf) (*client.Client[receiver], *peer, *memnet.Listener, wire.Session) {
	t.Helper()
	l := memnet.Listen()
	opened := make(chan wire.Session, 1)
	accepted := make(chan *peer, 1)
	go func() {
		p := acceptRaw(t, l)
		h := p.hello(wire.ServerHello{SessionTime: sessionTime})
		if h.Session == nil || h.Session.Resume || h.Session.Epoch != 1 {
			t.Errorf("the first hello asks for the session %+v", h.Session)
			h.Session = &wire.Session{}
		}
		opened <- *h.Session
		accepted <- p
	}()
	conf.Session = true
	c := redial(t, l.Dial, conf)
	return c, <-accepted, l, <-opened
}

// acceptRaw returns the peer of l's next connection; nothing was said on it.
func acceptRaw(t testing.TB, l *memnet.Listener) *peer {
	t.Helper()
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return onConn(t, nc.(*memnet.Conn))
}

// resumed returns the peer of the connection over which the client resumes its
// session, and the client's list.
func resumed(t *testing.T, l *memnet.Listener, session wire.Session, epoch uint64) (*peer, []wire.ClientSlot) {
	t.Helper()
	p := acceptRaw(t, l)
	h := p.hello(wire.ServerHello{SessionTime: sessionTime})
	if h.Session == nil || !h.Session.Resume || h.Session.ID != session.ID || h.Session.Epoch != epoch {
		t.Errorf("the hello asks for the session %+v, want to resume %x in the epoch %d", h.Session, session.ID, epoch)
	}
	return p, p.list()
}

// list reads the client's list.
func (p *peer) list() (slots []wire.ClientSlot) {
	p.t.Helper()
	for {
		f, ok := p.read()
		if !ok || f.Kind != wire.KindResume {
			p.t.Errorf("got a %v (%v), want the client's list", f.Kind, ok)
			return slots
		}
		for b := f.Payload; len(b) > 0; {
			s, rest, err := wire.CutClientSlot(b)
			if err != nil {
				p.t.Error(err)
			}
			slots, b = append(slots, s), rest
		}
		if f.Flags&wire.FlagLast != 0 {
			return slots
		}
	}
}

// stand answers the client's list.
func (p *peer) stand(slots ...wire.ServerSlot) {
	var payload []byte
	for _, s := range slots {
		payload = wire.AppendServerSlot(payload, s)
	}
	p.send(wire.KindResume, wire.FlagLast, 0, payload)
}

// lose answers the hello that the session is lost, and waits for the next one, which
// opens another.
func lose(t *testing.T, l *memnet.Listener, session wire.Session) (*peer, wire.Session) {
	t.Helper()
	p := acceptRaw(t, l)
	p.hello(wire.ServerHello{Status: wire.StatusSessionLost, Text: "it was restarted"})
	p.nc.Close()
	p = acceptRaw(t, l)
	h := p.hello(wire.ServerHello{SessionTime: sessionTime})
	if h.Session == nil || h.Session.Resume || h.Session.ID == session.ID {
		t.Errorf("the hello asks for the session %+v, want another one than %x", h.Session, session.ID)
		return p, wire.Session{}
	}
	return p, *h.Session
}

func wantList(t *testing.T, got []wire.ClientSlot, want ...wire.ClientSlot) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("the client lists %+v, want %+v", got, want)
	}
}

// N1: the id of an opening that was not answered, or refused, is never used again.
func TestAnOpeningThatIsNotAnsweredIsNotRepeated(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := memnet.Listen()
		seen := map[wire.SessionID]bool{{}: true}
		opens := func(h wire.ClientHello) {
			if h.Session == nil || h.Session.Resume || h.Session.Epoch != 1 || seen[h.Session.ID] {
				t.Errorf("the hello asks for the session %+v, after %v", h.Session, seen)
				return
			}
			seen[h.Session.ID] = true
		}
		done := make(chan *peer)
		go func() {
			p := acceptRaw(t, l)
			opens(p.hello(wire.ServerHello{Status: wire.StatusFull}))
			p.nc.Close()
			p = acceptRaw(t, l)
			opens(p.hello(wire.ServerHello{SessionTime: sessionTime}))
			done <- p
		}()
		c := redial(t, l.Dial, client.Conf{Session: true})
		p := <-done
		start(t.Context(), c, command{})
		p.expect(kindCommand)
		p.nc.Cut(memnet.FIN)
		p = acceptRaw(t, l)
		p.hello(wire.ServerHello{Status: wire.StatusSessionLost})
		p.nc.Close()
		for range 3 { // openings that the server may have taken
			p = acceptRaw(t, l)
			opens(p.hearHello())
			p.nc.Cut(memnet.RST)
		}
		p = acceptRaw(t, l)
		opens(p.hello(wire.ServerHello{SessionTime: sessionTime}))
	})
}

// A server that keeps no sessions says so: the client does not do without.
func TestAServerWithoutSessions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := memnet.Listen()
		go func() { acceptRaw(t, l).hello(wire.ServerHello{}) }()
		_, err := client.NewReconnect(t.Context(), codec{}, l.Dial, client.Conf{Session: true, Logger: quiet})
		want(t, err, base.NotSent, base.ErrUnsupported)
	})
}

// What the client says of each slot.
func TestTheClientListsItsOpenSlots(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p, l, session := openSession(t, client.Conf{})
		one := start(t.Context(), c, command{N: 1})
		p.expect(kindCommand)
		results := make(chan base.AsyncResult, 4)
		mustSend(t, c, command{N: 2}, results)
		stream := p.expect(kindCommand)
		for n := range 3 {
			p.item(stream.Slot, n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		start(ctx, c, command{N: 3})
		p.expect(kindCommand)
		done := start(t.Context(), c, command{N: 4})
		p.answer(p.expect(kindCommand).Slot, 4)
		<-done
		synctest.Wait()
		p.nc.Cut(memnet.RST)
		cancel()
		p, list := resumed(t, l, session, 2)
		// Three results of the stream have come, and its channel took them: there is
		// credit for four again.
		wantList(
			t, list,
			wire.ClientSlot{Slot: 0, Seq: 1, Credit: 1},
			wire.ClientSlot{Slot: 1, Seq: 2, Seen: 3, Credit: 4},
			wire.ClientSlot{Slot: 2, Seq: 3, Credit: 1, Canceled: true},
		)
		p.stand(wire.ServerSlot{Slot: 0, Seen: true}, wire.ServerSlot{Slot: 1, Seen: true}, wire.ServerSlot{Slot: 2, Seen: true})
		p.answer(0, 7)
		if o := <-one; o.n != 7 || o.err != nil {
			t.Errorf("got %+v", o)
		}
		p.answer(1, 9)
		synctest.Wait()
		var got []int
		for range 4 {
			got = append(got, (<-results).Result.(result).N)
		}
		if !slices.Equal(got, []int{0, 1, 2, 9}) {
			t.Errorf("the stream is %v", got)
		}
		p.fail(2, wireFailure(base.Unknown, base.ErrCanceled))
	})
}

// L8: what the server has not seen is sent again, as it was.
func TestUnseenCommandsAreSentAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p, l, session := openSession(t, client.Conf{Timeout: time.Minute})
		body := bytes.Repeat([]byte("large "), 30_000)
		small, large := start(t.Context(), c, command{N: 1}), start(t.Context(), c, command{N: 2, Body: body})
		synctest.Wait()
		time.Sleep(time.Second)
		p.nc.Cut(memnet.RST)
		p, list := resumed(t, l, session, 2)
		if len(list) == 0 || list[0].Seq == 0 {
			t.Fatalf("the client lists %+v", list)
		}
		var unseen []wire.ServerSlot
		for _, s := range list {
			unseen = append(unseen, wire.ServerSlot{Slot: s.Slot})
		}
		p.stand(unseen...)
		for slot, n := range p.wholeCommands(2) {
			p.answer(slot, n*10)
		}
		for n, done := range map[int]<-chan outcome{10: small, 20: large} {
			if o := <-done; o.n != n || o.err != nil {
				t.Errorf("got %+v, want %d", o, n)
			}
		}
	})
}

// wholeCommands reads commands, in frames or in chunks, until so many have come whole. It
// returns which they are, by slot. Each must have 59 s left.
func (p *peer) wholeCommands(count int) map[uint64]int {
	p.t.Helper()
	commands, whole := map[uint64]int{}, 0
	for whole < count {
		f, ok := p.read()
		if !ok || f.Kind != kindCommand {
			p.t.Errorf("got a %v (%v), want a command", f.Kind, ok)
			return commands
		}
		if _, further := commands[f.Slot]; !further {
			body := f.Payload
			if f.Flags&wire.FlagMore != 0 {
				_, body, _ = wire.ParseTotal(body)
			}
			commands[f.Slot] = int(body[0])
			if seconds := float64(f.Extras.Timeout) / 1e6; seconds < 58 || seconds > 59.5 {
				p.t.Errorf("command %d has %v s left of a minute, 1 s later", body[0], seconds)
			}
		}
		if f.Flags&wire.FlagMore == 0 {
			whole++
		}
	}
	return commands
}

// An unseen command that was canceled is gone, and its slot free.
func TestUnseenAndCanceledCommandsAreGone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p, l, session := openSession(t, client.Conf{})
		ctx, cancel := context.WithCancel(t.Context())
		done := start(ctx, c, command{N: 1})
		p.expect(kindCommand)
		p.nc.Cut(memnet.RST)
		p, _ = resumed(t, l, session, 2)
		cancel()
		want(t, (<-done).err, base.Unknown, base.ErrCanceled)
		p.expect(kindCancel) // the server has the list already
		p.stand(wire.ServerSlot{Slot: 0})
		synctest.Wait()
		next := start(t.Context(), c, command{N: 2})
		f := p.expect(kindCommand)
		if f.Slot != 0 || f.Payload[0] != 2 {
			t.Errorf("got command %d on slot %d", f.Payload[0], f.Slot)
		}
		p.answer(0, 2)
		<-next
	})
}

// L10: commands wait while there is no connection, and follow the list at once.
func TestNewCommandsFollowTheList(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p, l, session := openSession(t, client.Conf{})
		open := start(t.Context(), c, command{N: 1})
		p.expect(kindCommand)
		p.nc.Cut(memnet.RST)
		synctest.Wait()
		fresh := start(t.Context(), c, command{N: 2})
		p, list := resumed(t, l, session, 2)
		wantList(t, list, wire.ClientSlot{Slot: 0, Seq: 1, Credit: 1})
		f := p.expect(kindCommand)
		if f.Slot != 1 || f.Extras.Seq != 2 {
			t.Errorf("got slot %d, seq %d", f.Slot, f.Extras.Seq)
		}
		p.stand(wire.ServerSlot{Slot: 0, Seen: true})
		p.answer(1, 22)
		p.answer(0, 11)
		if o := <-fresh; o.n != 22 {
			t.Errorf("got %+v", o)
		}
		if o := <-open; o.n != 11 {
			t.Errorf("got %+v", o)
		}
	})
}

// When the server has lost the session nothing is known of what was sent, but by the
// command's ID; an idempotent command goes out again, and tells that ID.
func TestTheSessionIsLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p, l, session := openSession(t, client.Conf{})
		plain := start(t.Context(), c, command{N: 1})
		p.expect(kindCommand)
		idempotent := make(chan base.AsyncResult, 1)
		seq, err := c.Send(harmless{command{N: 2}}, idempotent)
		if err != nil {
			t.Fatal(err)
		}
		p.expect(kindCommand)
		p.nc.Cut(memnet.FIN)
		p, _ = lose(t, l, session)
		err = (<-plain).err
		want(t, err, base.Unknown, base.ErrSessionLost)
		if id := idOf(err); id.Session != session.ID || id.Seq != 1 {
			t.Errorf("the ID is %v", id)
		}
		f := p.expect(kindCommand)
		if o := f.Extras.Origin; o == nil || o.Session != session.ID || o.Seq != uint64(seq) || f.Payload[0] != 2 {
			t.Errorf("the origin is %+v, of command %d", o, f.Payload[0])
		}
		if !c.Has(seq) {
			t.Error("the command is not open")
		}
		p.answer(f.Slot, 20)
		if r := <-idempotent; r.Err != nil || r.Seq != seq {
			t.Errorf("got %+v", r)
		}
	})
}

// N6: a session that a client may not resume any more, since its certificate was
// renewed, is lost to it; another it may open. If not, it has ended.
func TestASessionThatBelongsToAnother(t *testing.T) {
	for name, may := range map[string]bool{"another may be opened": true, "none": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c, p, l, session := openSession(t, client.Conf{})
				done := start(t.Context(), c, command{N: 1})
				p.expect(kindCommand)
				p.nc.Cut(memnet.FIN)
				refuse := func() *wire.Session {
					p := acceptRaw(t, l)
					h := p.hello(wire.ServerHello{Status: wire.StatusUnauthorized, Text: "the session belongs to another client"})
					p.nc.Close()
					return h.Session
				}
				if s := refuse(); !s.Resume {
					t.Errorf("the hello asks for %+v", s)
				}
				if !may {
					if s := refuse(); s.Resume || s.ID == session.ID {
						t.Errorf("the hello asks for %+v", s)
					}
					want(t, (<-done).err, base.Unknown, base.ErrSessionLost)
					<-c.Done()
					want(t, c.Err(), base.Rejected, base.ErrUnauthorized)
					return
				}
				p = acceptRaw(t, l)
				if h := p.hello(wire.ServerHello{SessionTime: sessionTime}); h.Session.Resume || h.Session.ID == session.ID {
					t.Errorf("the hello asks for the session %+v", h.Session)
				}
				err := (<-done).err
				want(t, err, base.Unknown, base.ErrSessionLost, base.ErrUnauthorized)
				if id := idOf(err); id.Session != session.ID || id.Seq != 1 {
					t.Errorf("the ID is %v", id)
				}
				next := start(t.Context(), c, command{N: 2})
				p.answer(p.expect(kindCommand).Slot, 2)
				if o := <-next; o.n != 2 {
					t.Errorf("got %+v", o)
				}
			})
		})
	}
}

// N8: a client that can't resume takes the session as lost when its time is over.
func TestTheSessionsTimeIsOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p, l, _ := openSession(t, client.Conf{})
		done := start(t.Context(), c, command{N: 1})
		p.expect(kindCommand)
		l.Close()
		begin := time.Now()
		p.nc.Cut(memnet.FIN)
		err := (<-done).err
		want(t, err, base.Unknown, base.ErrSessionLost)
		took(t, begin, sessionTime*time.Millisecond)
	})
}

// L3, and other answers that no server gives.
func TestAServerThatBreaksTheRulesOfAResume(t *testing.T) {
	for name, test := range map[string]func(p *peer){
		"a result before the answer":  func(p *peer) { p.answer(0, 1) },
		"a failure before the answer": func(p *peer) { p.fail(0, wireFailure(base.Failed, base.ErrExec)) },
		"an empty answer":             func(p *peer) { p.stand() },
		"another slot":                func(p *peer) { p.stand(wire.ServerSlot{Slot: 1}) },
		"a slot too many":             func(p *peer) { p.stand(wire.ServerSlot{Slot: 0}, wire.ServerSlot{Slot: 1}) },
		"two answers": func(p *peer) {
			p.stand(wire.ServerSlot{Slot: 0, Seen: true})
			p.stand(wire.ServerSlot{Slot: 0, Seen: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c, p, l, session := openSession(t, client.Conf{})
				done := start(t.Context(), c, command{N: 1})
				p.expect(kindCommand)
				p.nc.Cut(memnet.RST)
				p, _ = resumed(t, l, session, 2)
				test(p)
				// The client gives the connection up, not the command.
				p, list := resumed(t, l, session, 3)
				wantList(t, list, wire.ClientSlot{Slot: 0, Seq: 1, Credit: 1})
				p.stand(wire.ServerSlot{Slot: 0, Seen: true})
				p.answer(0, 5)
				if o := <-done; o.n != 5 {
					t.Errorf("got %+v", o)
				}
			})
		})
	}
}

// A server that has sent results of a command can't say that it has not seen it.
func TestASeenCommandIsNotUnseen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p, l, session := openSession(t, client.Conf{})
		results := make(chan base.AsyncResult, 4)
		mustSend(t, c, command{N: 1}, results)
		p.item(p.expect(kindCommand).Slot, 1)
		<-results
		p.nc.Cut(memnet.FIN)
		p, _ = resumed(t, l, session, 2)
		p.stand(wire.ServerSlot{Slot: 0})
		p, _ = resumed(t, l, session, 3)
		p.stand(wire.ServerSlot{Slot: 0, Seen: true})
		p.answer(0, 2)
		if r := <-results; r.Err != nil || r.Result.(result).N != 2 {
			t.Errorf("got %+v", r)
		}
	})
}

// Q2: a large result is acknowledged when it has come, a small one by what follows.
func TestLargeResultsAreAcknowledged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p, _, _ := openSession(t, client.Conf{})
		for _, size := range []int{1000, 1025, 100_000} {
			done := start(t.Context(), c, command{N: 1})
			f := p.expect(kindCommand)
			p.sendBody(f.Slot, encodeResult(result{Last: true, Body: make([]byte, size)}))
			if size > 1024 {
				if n, err := wire.ParseAck(p.expect(wire.KindAck).Payload); n != 1 || err != nil {
					t.Errorf("%d bytes: the ack says %d, %v", size, n, err)
				}
			}
			<-done
		}
	})
}

// Q2: small results are acknowledged as they come, at least once for 64, whether their user takes
// them or not; and there may be more of them on their way than that.
func TestSmallResultsAreAcknowledged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p, _, _ := openSession(t, client.Conf{})
		may, done := make(chan struct{}), make(chan int)
		go func() {
			taken := 0
			for _, err := range c.Results(t.Context(), command{N: 1}) {
				if err != nil {
					t.Error(err)
				}
				taken++
				<-may
			}
			done <- taken
		}()
		slot := p.expect(kindCommand).Slot
		credit, most, seen, sent := uint64(64), uint64(0), uint64(0), uint64(0)
		hear := func() {
			f, ok := p.read()
			if !ok {
				t.Fatal("the connection has ended")
			}
			switch f.Kind {
			case wire.KindCredit:
				n, err := wire.ParseCredit(f.Payload)
				if err != nil {
					t.Fatal(err)
				}
				credit, most = credit+n, max(most, n)
			case wire.KindAck:
				n, err := wire.ParseAck(f.Payload)
				if err != nil || n <= seen || n > sent {
					t.Fatalf("an ack of %d, %v, after %d of %d", n, err, seen, sent)
				}
				seen = n
			}
		}
		send := func() {
			for ; sent < credit; sent++ {
				p.item(slot, int(sent))
			}
		}
		for send(); seen+64 <= sent; {
			hear()
		}
		if credit != 64 {
			t.Errorf("credit for %d results, of which none was taken", credit)
		}
		close(may)
		for most < 256+512 || seen+64 <= sent { // the window becomes 1024
			hear()
			send()
		}
		for credit == sent {
			hear()
		}
		p.answer(slot, 0)
		if n := <-done; n != int(sent)+1 {
			t.Errorf("%d of %d results were taken", n, sent+1)
		}
	})
}

// sendBody sends a last result, in chunks where it must.
func (p *peer) sendBody(slot uint64, body []byte) {
	if len(body) <= wire.MaxPayload {
		p.send(kindResult, wire.FlagLast, slot, body)
		return
	}
	first := append(wire.AppendUvarint(nil, uint64(len(body))), body[:1<<15]...)
	p.send(kindResult, wire.FlagMore, slot, first)
	for body = body[1<<15:]; len(body) > wire.MaxPayload; body = body[wire.MaxPayload:] {
		p.send(kindResult, wire.FlagMore, slot, body[:wire.MaxPayload])
	}
	p.send(kindResult, wire.FlagLast, slot, body)
}

// A client that closes ends its session in words, in every state, within a second.
func TestCloseEndsTheSession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p, _, _ := openSession(t, client.Conf{})
		done := start(t.Context(), c, command{N: 1})
		p.expect(kindCommand)
		go c.Close()
		p.expect(kindGoaway)
		want(t, (<-done).err, base.Unknown, base.ErrClosed)
	})
	bubble(t, func(t *testing.T) {
		c, p, l, session := openSession(t, client.Conf{})
		done := start(t.Context(), c, command{N: 1})
		p.expect(kindCommand)
		p.nc.Cut(memnet.FIN)
		resumed(t, l, session, 2) // and never answers
		begin := time.Now()
		c.Close()
		if took := time.Since(begin); took > time.Second {
			t.Errorf("Close took %v", took)
		}
		want(t, (<-done).err, base.Unknown, base.ErrClosed)
	})
}

// acceptSession returns the peer of l's next connection, once it has said hello.
func acceptSession(t *testing.T, l *memnet.Listener) <-chan *peer {
	accepted := make(chan *peer, 1)
	go func() {
		p := acceptRaw(t, l)
		p.hello(wire.ServerHello{SessionTime: sessionTime})
		accepted <- p
	}()
	return accepted
}

// stalledConn waits where the client makes a connection its session's.
type stalledConn struct {
	net.Conn
	once          *sync.Once
	stalled, goOn chan bool
}

func (c stalledConn) SetReadDeadline(t time.Time) error {
	c.once.Do(func() {
		c.stalled <- true
		<-c.goOn
	})
	return c.Conn.SetReadDeadline(t)
}

// A caller may have sent a command over a connection on which the session is about to go on, when
// the client is closed: the server may have run it.
func TestACommandOfAConnectionThatWasHardlyUsed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := memnet.Listen()
		accepted := acceptSession(t, l)
		stalled, goOn := make(chan bool), make(chan bool)
		first := true
		c := redial(t, func(ctx context.Context) (net.Conn, error) {
			nc, err := l.Dial(ctx)
			if first {
				first = false
				return nc, err
			}
			return stalledConn{nc, new(sync.Once), stalled, goOn}, err
		}, client.Conf{Session: true})
		p := <-accepted
		late := client.Late(c, command{N: 42})
		accepted = acceptSession(t, l)
		p.nc.Cut(memnet.RST)
		p = <-accepted
		p.list()
		<-stalled
		done := make(chan error, 1)
		go func() { done <- late() }()
		p.expect(kindCommand) // the server has it
		go c.Close()
		synctest.Wait()
		goOn <- true
		want(t, <-done, base.Unknown, client.ErrClosed)
	})
}

// What ends a link frees the slot of a command that was to be sent again.
func TestASlotIsReleasedOnce(t *testing.T) {
	if open := client.OpenAfterALateResend(); open != 1 {
		t.Errorf("%d slots are taken, want the one that the end of the link will free", open)
	}
}

// A session that its server wants to end, and whose last command ends while it is being resumed,
// keeps no connection.
func TestAnIdleSessionIsNotResumedForLong(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, s := serveOn(t, memnet.Listen(), echo, serverConf{})
		hold := make(chan struct{})
		first := make(chan net.Conn, 1)
		var dials atomic.Int32
		c := redial(t, func(ctx context.Context) (net.Conn, error) {
			if dials.Add(1) > 1 {
				<-hold
				return l.Dial(ctx)
			}
			nc, err := l.Dial(ctx)
			first <- nc
			return nc, err
		}, client.Conf{Session: true})
		results := make(chan base.AsyncResult)
		mustSend(t, c, command{}, results)
		synctest.Wait()
		done := make(chan error, 1)
		begin := time.Now()
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			done <- s.Shutdown(ctx)
		}()
		synctest.Wait()
		(<-first).(*memnet.Conn).Cut(memnet.RST)
		time.Sleep(time.Second)
		<-results
		synctest.Wait()
		close(hold)
		if err := <-done; err != nil {
			t.Errorf("Shutdown, after %v: %v", time.Since(begin), err)
		}
	})
}

// slowClose is a net.Conn whose Close takes a while, as that of TLS may.
type slowClose struct{ net.Conn }

func (s slowClose) Close() error {
	err := s.Conn.Close()
	time.Sleep(100 * time.Millisecond)
	return err
}

// That a session looks for another connection is told, also where a caller has found the first one
// lost before.
func TestASessionThatReconnectsSaysSo(t *testing.T) {
	for _, busy := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			l := memnet.Listen()
			accepted := acceptSession(t, l)
			var s states
			c := redial(t, func(ctx context.Context) (net.Conn, error) {
				nc, err := l.Dial(ctx)
				return slowClose{nc}, err
			}, client.Conf{Session: true, StateCallback: s.callback})
			p := <-accepted
			accepted = acceptSession(t, l)
			p.nc.Cut(memnet.RST)
			synctest.Wait()
			if busy {
				start(t.Context(), c, command{})
			}
			p = <-accepted
			p.list()
			p.stand()
			synctest.Wait()
			if got := s.String(); got != "connected, connecting, connected" {
				t.Errorf("busy %v: %s", busy, got)
			}
			c.Close()
		})
	}
}

// harmless is a command that may run twice.
type harmless struct{ command }

func (harmless) Idempotent() bool { return true }

func idOf(err error) base.ID {
	var e *base.Error
	if !errors.As(err, &e) {
		return base.ID{}
	}
	return e.ID
}
