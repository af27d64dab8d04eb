package integration_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
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

// cut breaks what is connected, by a reset or in order.
func (c *cable) cut(r *rand.Rand) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, nc := range c.conns {
		if r.IntN(2) == 0 {
			nc.SetLinger(0)
		}
		nc.Close()
	}
	c.conns = nil
}

// Over real sockets that break every few milliseconds each command of a session runs
// once, and each gets its result. SOAK=10m does so for longer, and reports what it cost.
func TestASessionOverSocketsThatBreak(t *testing.T) {
	duration := 3 * time.Second
	if d, err := time.ParseDuration(os.Getenv("SOAK")); err == nil {
		duration = d
	}
	receiver, set := new(ledger), ledgerSet()
	s, err := server.New(set.Server(), receiver, server.Conf[*ledger]{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(listener)
	defer s.Close()
	line := newCable(t, listener.Addr().String())
	defer line.listener.Close()
	c, err := client.NewReconnect(t.Context(), set.Client(), client.TCP(line.listener.Addr().String()), client.Conf{
		Session: true, Logger: quiet, Backoff: client.Backoff{First: time.Millisecond, Max: 5 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	before := usageNow()
	stop := time.Now().Add(duration)
	var next, cuts atomic.Int64
	var work sync.WaitGroup
	for range 32 {
		work.Go(func() {
			r := rand.New(rand.NewPCG(rand.Uint64(), 1))
			for time.Now().Before(stop) && next.Load() < 1<<24-100_000 {
				var err error
				if r.IntN(20) > 0 {
					err = enterOne(c, r, int(next.Add(1))-1)
				} else {
					n := 1 + r.IntN(300)
					to := int(next.Add(int64(n)))
					err = enterMany(c, to-n, to)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var cutting sync.WaitGroup
	cutting.Go(func() {
		r := rand.New(rand.NewPCG(rand.Uint64(), 2))
		for time.Now().Before(stop) {
			time.Sleep(time.Duration(1+r.IntN(10)) * time.Millisecond)
			line.cut(r)
			cuts.Add(1)
		}
	})
	work.Wait()
	cutting.Wait()
	for n := range int(next.Load()) {
		if times := receiver.entries[n].Load(); times != 1 {
			t.Fatalf("entry %d was made %d times", n, times)
		}
	}
	stats := s.Stats()
	time.Sleep(100 * time.Millisecond)
	t.Logf("%d entries, %d cuts, %d resumes", next.Load(), cuts.Load(), stats.SessionsResumed)
	t.Logf("at first %+v, at the end %+v", before, usageNow())
	if stats.SessionsResumed == 0 || stats.Breaches > 0 || stats.Running > 0 {
		t.Errorf("got %+v", stats)
	}
}

// usage is what a process uses.
type usage struct {
	HeapMiB     float64
	Goroutines  int
	Descriptors int // -1: the system does not tell
}

func usageNow() usage {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u := usage{float64(m.HeapAlloc) / (1 << 20), runtime.NumGoroutine(), -1}
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		u.Descriptors = len(files)
	}
	return u
}

func enterOne(c *client.Client[*ledger], r *rand.Rand, number int) error {
	e := enter{Number: number}
	if r.IntN(50) == 0 {
		e.Padding = make([]byte, r.IntN(200_000))
	}
	got, err := cmdstream.Do(context.Background(), c, e)
	if err == nil && got != number {
		err = errors.New("the result of another command")
	}
	return err
}

func enterMany(c *client.Client[*ledger], from, to int) error {
	for n, err := range cmdstream.Results(context.Background(), c, enterAll{from, to}) {
		switch {
		case err != nil:
			return err
		case n != from:
			return errors.New("a result out of order")
		}
		from++
	}
	if from != to {
		return errors.New("a result is missing")
	}
	return nil
}

// A server that is killed takes its sessions with it: what ran there is unknown, and
// told by its ID; what comes next goes on with the server that takes its place.
func TestASessionWhoseServerIsKilled(t *testing.T) {
	codecs := codecsNamed("json")
	conf := serverConf{Addr: "127.0.0.1:0", Codec: codecs.name, Framed: true}
	var kill func()
	conf.Addr, kill = startServer(t, conf)
	c, err := client.NewReconnect(t.Context(), codecs.client, client.TCP(conf.Addr), client.Conf{Session: true, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := cmdstream.Do(t.Context(), c, echo{"before"}); got != "before" || err != nil {
		t.Fatalf("got %q, %v", got, err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := cmdstream.Do(context.Background(), c, wait{})
		done <- err
	}()
	for !c.Has(2) {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(20 * time.Millisecond)
	kill()
	startServer(t, conf)
	err = <-done
	var e *base.Error
	if !errors.As(err, &e) || e.Outcome != base.Unknown || e.Code != base.ErrSessionLost || e.ID.Seq != 2 || e.ID.Session == [16]byte{} {
		t.Errorf("got %#v", err)
	}
	if got, err := cmdstream.Do(t.Context(), c, echo{"after"}); got != "after" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}
