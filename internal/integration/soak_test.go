package integration_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/server"
)

// ledger is a receiver that counts what is done to it.
type ledger struct{ entries [1 << 24]atomic.Uint32 }

// enter makes an entry of its own, and returns its number.
type enter struct {
	Number  int
	Padding []byte
}

func (e enter) Run(_ context.Context, l *ledger) (int, error) {
	l.entries[e.Number].Add(1)
	return e.Number, nil
}

// enterAll makes entries, and sends each number.
type enterAll struct{ From, To int }

func (e enterAll) Stream(_ context.Context, l *ledger, send func(int) error) error {
	for n := e.From; n < e.To; n++ {
		l.entries[n].Add(1)
		if err := send(n); err != nil {
			return err
		}
	}
	return nil
}

func ledgerSet() *codec.Set[*ledger] {
	set := codec.NewSet[*ledger](json.Format{})
	codec.Unary[enter](set, 1)
	codec.Stream[enterAll](set, 2)
	return set
}

// cable is a TCP proxy whose connections break.
type cable struct {
	listener net.Listener
	to       string

	mu    sync.Mutex // protects what follows
	conns []*net.TCPConn
}

func newCable(t *testing.T, to string) *cable {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{listener: l, to: to}
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			c.mu.Lock()
			c.conns = append(c.conns, near.(*net.TCPConn), far.(*net.TCPConn))
			c.mu.Unlock()
			go pass(near, far)
			go pass(far, near)
		}
	}()
	return c
}

func pass(to, from net.Conn) {
	io.Copy(to, from)
	to.Close()
	from.Close()
}

// cut breaks what is connected, by a reset or in order, and tells whether anything was.
func (c *cable) cut(r *rand.Rand) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	broken := len(c.conns) > 0
	for _, nc := range c.conns {
		if r.IntN(2) == 0 {
			nc.SetLinger(0)
		}
		nc.Close()
	}
	c.conns = nil
	return broken
}

// Over real sockets that break every few milliseconds each command of a session runs
// once, and each gets its result. Without a session what was in flight at a cut may be
// Unknown, and nothing else; nine of ten commands succeed. In the end all is given back.
// SOAK=10m takes so long for each.
func TestSocketsThatBreak(t *testing.T) {
	for _, test := range []struct {
		name    string
		session bool
		callers int
	}{
		{"with a session", true, 64},
		{"without", false, 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &soak{session: test.session, callers: test.callers, receiver: new(ledger), duration: 2 * time.Second}
			if d, err := time.ParseDuration(os.Getenv("SOAK")); err == nil {
				s.duration, s.callers = d, 4*s.callers
			}
			before := usageNow()
			s.run(t)
			wantBack(t, before, usageNow, usage{})
			s.check(t)
		})
	}
}

// soak is callers with one command each, over a cable.
type soak struct {
	session  bool
	callers  int
	duration time.Duration
	receiver *ledger

	next     atomic.Int64 // entry
	commands atomic.Int64 // that have ended
	cuts     int
	outcomes [base.Succeeded + 1]atomic.Int64
	ends     [len(ledger{}.entries)]uint8 // the outcome of each entry's command
}

func (s *soak) run(t *testing.T) {
	set := ledgerSet()
	srv, err := server.New(set.Server(), s.receiver, server.Conf[*ledger]{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(listener)
	defer srv.Close()
	line := newCable(t, listener.Addr().String())
	defer line.listener.Close()
	c, err := client.NewReconnect(t.Context(), set.Client(), client.TCP(line.listener.Addr().String()), client.Conf{
		Session: s.session, Logger: quiet, Backoff: client.Backoff{First: time.Millisecond, Max: 5 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	connected := usageNow()
	began := time.Now()
	var callers, cutting sync.WaitGroup
	for range s.callers {
		callers.Go(func() {
			r := rand.New(rand.NewPCG(rand.Uint64(), 1))
			for time.Since(began) < s.duration && int(s.next.Load()) < len(s.receiver.entries)-100_000 {
				s.one(t, c, r)
			}
		})
	}
	ended := make(chan struct{})
	cutting.Go(func() { s.cut(line, ended) })
	callers.Wait()
	took := time.Since(began)
	close(ended)
	cutting.Wait()

	eventually(t, "no command runs", func() bool { return srv.Stats().Running == 0 })
	stats := srv.Stats()
	if stats.Breaches > 0 || stats.Floods > 0 || s.session && stats.SessionsResumed == 0 {
		t.Errorf("got %+v", stats)
	}
	t.Logf("%d commands with %d effects in %v, %d cuts, one in %v, %d resumes", s.commands.Load(), s.next.Load(),
		took.Round(time.Millisecond), s.cuts, (took / time.Duration(max(s.cuts, 1))).Round(time.Microsecond), stats.SessionsResumed)
	t.Logf("with a connection: at first %v, at the end %v", connected, usageNow())
}

// cut cuts the cable every few milliseconds. On a slow machine nothing would get through
// between them: so most cuts wait for some commands, and all do where a cut may cost each
// caller one.
func (s *soak) cut(line *cable, ended <-chan struct{}) {
	r := rand.New(rand.NewPCG(rand.Uint64(), 2))
	var before int64
	for over := time.After(s.duration); ; {
		select {
		case <-over: // what is in flight gets through now
			return
		case <-ended:
			return
		case <-time.After(time.Duration(1+r.IntN(10)) * time.Millisecond):
		}
		now := s.commands.Load()
		if progress := int(now - before); progress >= 10*s.callers || s.session && (progress >= s.callers/4 || r.IntN(5) == 0) {
			before = now
			if line.cut(r) {
				s.cuts++
			}
		}
	}
}

// one sends a command of any kind, and notes how it ends.
func (s *soak) one(t *testing.T, c *client.Client[*ledger], r *rand.Rand) {
	var err error
	count := 1
	if r.IntN(100) == 0 {
		count += r.IntN(50)
	}
	to := int(s.next.Add(int64(count)))
	from := to - count
	if count > 1 {
		err = enterMany(c, from, to)
	} else {
		err = enterOne(c, r, from)
	}
	outcome := base.OutcomeOf(err)
	if outcome == base.Failed || s.session && err != nil || errors.Is(err, errWrong) {
		t.Errorf("%v: %v", outcome, err)
	}
	for number := from; number < to; number++ {
		s.ends[number] = uint8(outcome)
	}
	s.outcomes[outcome].Add(1)
	s.commands.Add(1)
}

// errWrong is a result that a command can't have.
var errWrong = errors.New("a wrong result")

func enterOne(c *client.Client[*ledger], r *rand.Rand, number int) error {
	e := enter{Number: number}
	if r.IntN(200) == 0 {
		e.Padding = make([]byte, r.IntN(200_000))
	}
	got, err := cmdstream.Do(context.Background(), c, e)
	if err == nil && got != number {
		err = fmt.Errorf("%w: of command %d", errWrong, got)
	}
	return err
}

func enterMany(c *client.Client[*ledger], from, to int) error {
	for n, err := range cmdstream.Results(context.Background(), c, enterAll{from, to}) {
		switch {
		case err != nil:
			return err
		case n != from:
			return fmt.Errorf("%w: %d instead of %d", errWrong, n, from)
		}
		from++
	}
	if from != to {
		return fmt.Errorf("%w: the end before %d", errWrong, from)
	}
	return nil
}

// check holds what the callers were told against the entries.
func (s *soak) check(t *testing.T) {
	for number := range int(s.next.Load()) {
		times, outcome := s.receiver.entries[number].Load(), base.Outcome(s.ends[number])
		isTrue := times <= 1
		switch outcome {
		case base.Succeeded:
			isTrue = times == 1
		case base.NotSent, base.Rejected:
			isTrue = times == 0
		}
		if !isTrue {
			t.Fatalf("entry %d was made %d times, and its command is said to have %v", number, times, outcome)
		}
	}
	unknown, succeeded, all := s.outcomes[base.Unknown].Load(), s.outcomes[base.Succeeded].Load(), s.commands.Load()
	t.Logf("%d succeeded, %d unknown, %d not sent", succeeded, unknown, s.outcomes[base.NotSent].Load())
	if unknown > int64(s.cuts*s.callers) {
		t.Errorf("%d commands are Unknown, and %d were in flight at %d cuts", unknown, s.cuts*s.callers, s.cuts)
	}
	if succeeded*10 < all*9 {
		t.Errorf("%d of %d commands succeeded", succeeded, all)
	}
}
