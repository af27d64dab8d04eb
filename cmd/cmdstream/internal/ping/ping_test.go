package ping

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/delegate"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/transport"
)

// never is a delay of a pong that does not come.
const never = time.Duration(-1)

// peer answers pings, each after a delay of its own, the first after the first one.
type peer struct {
	t       *testing.T
	delays  []time.Duration
	pings   atomic.Int64
	dials   atomic.Int64
	goaways atomic.Bool // it says goaway instead of an answer
	refuses atomic.Bool
}

// connect makes a connection to the peer.
func (p *peer) connect(ctx context.Context) (*transport.Conn, error) {
	if p.dials.Add(1); p.refuses.Load() {
		return nil, errors.New("nobody is there")
	}
	near, far := memnet.Pipe()
	go p.serve(far)
	conn, _, err := delegate.Connect(ctx, near, delegate.ClientConf{MaxInFlight: 1})
	return conn, err
}

func (p *peer) serve(nc net.Conn) {
	conn, _, _, err := delegate.Accept(p.t.Context(), nc, delegate.ServerConf{Info: []byte(delegate.DefaultServerInfo)})
	if err != nil {
		p.t.Error(err)
		return
	}
	defer conn.Join()
	for {
		var m transport.Message
		if err := conn.Read(&m); err != nil {
			return
		}
		delay := time.Duration(0)
		if n := int(p.pings.Add(1)); n <= len(p.delays) {
			delay = p.delays[n-1]
		}
		switch {
		case p.goaways.Load():
			conn.Post(&transport.Message{Kind: transport.Goaway})
		case delay != never:
			time.Sleep(delay)
			conn.Post(&transport.Message{Kind: transport.Ping})
		}
	}
}

func TestPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ms = time.Millisecond
		p := &peer{t: t, delays: []time.Duration{10 * ms, 20 * ms, 60 * ms, 30 * ms, 20 * ms}}
		began := time.Now()
		var answers []Answer
		stats, err := Run(t.Context(), Options{Connect: p.connect, Count: 5, Interval: time.Second, Timeout: time.Second},
			func(a Answer) { answers = append(answers, a) })
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range answers {
			if a.Number != i+1 || a.Err != nil || a.Time != p.delays[i] {
				t.Errorf("got %+v, want %v", a, p.delays[i])
			}
		}
		if len(answers) != 5 || stats.Sent != 5 || stats.Received != 5 || stats.Loss() != 0 {
			t.Errorf("%d answers, %+v", len(answers), stats)
		}
		if stats.Min != 10*ms || stats.Max != 60*ms || stats.P99 != 60*ms || stats.Median.Round(ms) != 20*ms || stats.Mean.Round(ms) != 28*ms {
			t.Errorf("got %+v", stats)
		}
		if took := time.Since(began); took != 4*time.Second+20*ms {
			t.Errorf("it took %v", took)
		}
		if p.dials.Load() != 1 {
			t.Errorf("%d connections, want one for all", p.dials.Load())
		}
	})
}

// An answer that comes too late is not taken for that of the next ping.
func TestALatePongIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peer{t: t, delays: []time.Duration{0, 1500 * time.Millisecond, 0, never}}
		var lost []int
		stats, err := Run(t.Context(), Options{Connect: p.connect, Count: 5, Interval: 100 * time.Millisecond, Timeout: time.Second},
			func(a Answer) {
				if a.Err != nil {
					lost = append(lost, a.Number)
					if !strings.Contains(a.Err.Error(), "no answer within 1s") {
						t.Errorf("ping %d: %v", a.Number, a.Err)
					}
				}
			})
		if err != nil || stats.Sent != 5 || stats.Received != 3 || stats.Max != 0 {
			t.Errorf("%+v, %v", stats, err)
		}
		if len(lost) != 2 || lost[0] != 2 || lost[1] != 4 {
			t.Errorf("lost are %v", lost)
		}
		if p.dials.Load() != 3 {
			t.Errorf("%d connections, want a new one for each that was lost", p.dials.Load())
		}
		if loss := stats.Loss(); loss < 0.399 || loss > 0.401 {
			t.Errorf("the loss is %v", loss)
		}
		time.Sleep(time.Second) // the peer's late answer
	})
}

func TestAServerThatGoesAwayAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peer{t: t}
		stats, err := Run(t.Context(), Options{Connect: p.connect, Count: 4, Interval: time.Second, Timeout: time.Second},
			func(a Answer) {
				switch a.Number {
				case 1:
					p.goaways.Store(true)
				case 2:
					if a.Err == nil || !strings.Contains(a.Err.Error(), "shutting down") {
						t.Errorf("got %v", a.Err)
					}
					p.refuses.Store(true)
				case 3:
					if a.Err == nil || a.Err.Error() != "nobody is there" {
						t.Errorf("got %v", a.Err)
					}
					p.refuses.Store(false)
					p.goaways.Store(false)
				}
			})
		if err != nil || stats.Sent != 4 || stats.Received != 2 {
			t.Errorf("%+v, %v", stats, err)
		}
	})
}

func TestTheFirstConnectionMustComeUp(t *testing.T) {
	p := &peer{t: t}
	p.refuses.Store(true)
	_, err := Run(t.Context(), Options{Connect: p.connect, Count: 1, Interval: time.Second, Timeout: time.Second}, func(Answer) { t.Error("a ping") })
	if err == nil || err.Error() != "nobody is there" {
		t.Errorf("got %v", err)
	}
}

// A ping that is under way when the user has enough is neither answered nor lost.
func TestTheEndOfCtx(t *testing.T) {
	for name, delays := range map[string][]time.Duration{"between two": nil, "under way": {0, 0, 0, never}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &peer{t: t, delays: delays}
				wait := 2500 * time.Millisecond
				if delays != nil {
					wait = 3500 * time.Millisecond
				}
				ctx, cancel := context.WithTimeout(t.Context(), wait)
				defer cancel()
				began := time.Now()
				stats, err := Run(ctx, Options{Connect: p.connect, Interval: time.Second, Timeout: time.Second}, func(Answer) {})
				if err != nil || stats.Sent != 3 || stats.Received != 3 || time.Since(began) != wait {
					t.Errorf("%+v, %v after %v", stats, err, time.Since(began))
				}
			})
		})
	}
}

func TestStatsOfNothing(t *testing.T) {
	if loss := (Stats{}).Loss(); loss != 0 {
		t.Errorf("the loss is %v", loss)
	}
}
