// Package faults breaks the network between clients and servers, and judges by nothing but
// the effects that commands have had, and what their callers were told. The tests of this
// file cut a dialogue between a client and its server at every byte, each way, in each
// manner.
package faults

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/server"
)

// way is a direction of the connection.
type way int

const (
	up   way = iota // client to server
	down            // server to client
)

func (w way) String() string { return [...]string{"up", "down"}[w] }

// cut is where a connection breaks off.
type cut struct {
	way  way
	kind memnet.Kind
	at   int64
}

func (c cut) String() string { return fmt.Sprintf("%v %v at byte %d", c.way, c.kind, c.at) }

var quiet = slog.New(slog.DiscardHandler)

// talk has the dialogue, in a session or without one, with the first connections cut as
// cuts say: one each. It returns how many bytes went each way over the first one, and what
// went wrong.
func talk(t *testing.T, session bool, cuts ...cut) (sent [2]int64, faults []string) {
	synctest.Test(t, func(t *testing.T) {
		e := newEffects()
		s, err := server.New(serverCodec{}, e, server.Conf[*effects]{Invoker: invoker{e}, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		l := memnet.Listen()
		dials := 0
		var counts [2]atomic.Int64
		l.OnDial(func(c, s *memnet.Conn) {
			if dials < len(cuts) {
				end := [...]*memnet.Conn{c, s}[cuts[dials].way]
				end.SetPlan(memnet.Plan{Cut: cuts[dials].kind, At: cuts[dials].at})
			}
			dials++
		})
		go s.Serve(&counted{l, &counts[down]})
		dial := func(ctx context.Context) (net.Conn, error) {
			nc, err := l.Dial(ctx)
			if err != nil {
				return nil, err
			}
			return &counting{nc, &counts[up]}, nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		conf := client.Conf{Session: session, KeepaliveTime: 100 * time.Millisecond, KeepaliveIntvl: 100 * time.Millisecond, Logger: quiet}
		conf.SysDataReceiveTimeout = time.Second
		var c *client.Client[*effects]
		for c == nil { // a cut in the first hello is the user's to see to
			if c, err = client.NewReconnect(ctx, clientCodec{}, dial, conf); ctx.Err() != nil {
				t.Fatal(err)
			}
		}
		d := &dialogue{client: c, effects: e, lossy: !session && len(cuts) > 0}
		done := make(chan struct{})
		go func() {
			defer close(done)
			d.run()
		}()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			d.wrong("it hangs")
		}
		begin := time.Now()
		c.Close()
		<-done
		s.Close()
		if took := time.Since(begin); took > 2*time.Second {
			d.wrong("closing took %v", took)
		}
		sent = [2]int64{counts[up].Load(), counts[down].Load()}
		faults = d.judge()
	})
	return sent, faults
}

// counting counts what is written.
type counting struct {
	net.Conn
	n *atomic.Int64
}

func (c *counting) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.n.Add(int64(n))
	return n, err
}

// counted is a listener of connections that count.
type counted struct {
	net.Listener
	n *atomic.Int64
}

func (l *counted) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &counting{nc, l.n}, nil
}

// TestTheDialogue has it without any cut.
func TestTheDialogue(t *testing.T) {
	sent, faults := talk(t, true)
	for _, fault := range faults {
		t.Error(fault)
	}
	t.Logf("%d bytes up, %d down", sent[up], sent[down])
}

// TestACutAtEveryByte cuts the first connection at every byte, in each way and manner,
// and the second one in the middle of the resume. Inside the large bodies, where one
// byte is like another, it takes every 101st; CUTS=all takes each of them too, which
// takes half an hour, and CUTS=some every seventh cut only. Under the race detector it
// takes every 397th byte.
func TestACutAtEveryByte(t *testing.T) {
	cutEverywhere(t, true, 1)
}

// TestACutWithoutASession does the same where commands end with their connection: what is
// told of them must be true. It takes every third byte, but for CUTS=all.
func TestACutWithoutASession(t *testing.T) {
	cutEverywhere(t, false, 3)
}

func cutEverywhere(t *testing.T, session bool, stride int64) {
	sent, faults := talk(t, session)
	if len(faults) > 0 || sent[up] == 0 || sent[down] == 0 {
		t.Fatalf("without a cut %v bytes are sent, and there are faults: %v", sent, faults)
	}
	all := os.Getenv("CUTS") == "all"
	if all {
		stride = 1
	}
	if os.Getenv("CUTS") == "some" {
		stride *= 7
	}
	cases := make(chan []cut)
	go func() {
		defer close(cases)
		for _, way := range []way{up, down} {
			for _, kind := range []memnet.Kind{memnet.FIN, memnet.RST, memnet.Stall, memnet.Partition} {
				for at := int64(0); at < sent[way]; at += step(at, sent[way], all) * stride {
					cases <- []cut{{way, kind, at}, second(at)}
				}
			}
		}
	}()
	var done atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for cuts := range cases {
				if n := done.Add(1); n%10_000 == 0 {
					fmt.Fprintf(os.Stderr, "%d dialogues\n", n)
				}
				if _, faults := talk(t, session, cuts...); len(faults) > 0 {
					t.Errorf("%v: %v", cuts, faults)
				}
				if t.Failed() && !all {
					for range cases { // one is enough to look at
					}
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d dialogues", done.Load())
}

// step is how far it is from one cut to the next.
func step(at, length int64, all bool) int64 {
	switch {
	case raced:
		return 397
	case all || at < 600 || at > length-3000:
		return 1
	}
	return 101
}

// second cuts the second connection early, while the session is being resumed, at
// another byte each time.
func second(at int64) cut {
	return cut{way(at % 2), []memnet.Kind{memnet.RST, memnet.FIN, memnet.Stall, memnet.None}[at/2%4], 40 + at*7%300}
}
