package integration_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/delegate"
	"github.com/cmdstream/cmdstream/server"
)

// All clients of a server lose their connection at once, by a cut and then by the
// server's end: all come back, spread out, and leave nothing behind. CLIENTS=10000, which
// needs as many file descriptors, takes a minute; the default is 300.
func TestAllClientsComeBack(t *testing.T) {
	count, err := strconv.Atoi(os.Getenv("CLIENTS"))
	if err != nil {
		count = 300
	}
	if err := limitDescriptors(0); err != nil {
		t.Fatal(err)
	}
	conf := bookConf{
		File: filepath.Join(t.TempDir(), "book"), WorkersCount: count,
		Sessions: server.Sessions{Max: count},
	}
	// A port of one address is not enough for the connections and those before them.
	for i := range 1 + count/5000 {
		conf.Addrs = append(conf.Addrs, fmt.Sprintf("127.0.0.%d:0", i+1))
	}
	s := startBook(t, conf)
	conf.Addrs = s.addrs
	atFirst, theirsAtFirst := usageNow(), s.usage(t)
	// The runtime keeps what it knows of a goroutine that has ended for another one, and a
	// server some goroutines for further commands.
	memory := float64(count) * 2 / 1024
	more := usage{HeapMiB: memory, Goroutines: 256}

	set := bookSet()
	var st storm
	clients := make([]*client.Client[*book], count)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var dialing sync.WaitGroup
	places := make(chan struct{}, 100)
	for i := range clients {
		places <- struct{}{}
		dialing.Go(func() {
			defer func() { <-places }()
			var err error
			clients[i], err = client.NewReconnect(ctx, set.Client(), client.TCP(s.addrs[i%len(s.addrs)]), client.Conf{
				Session: true, Logger: quiet, StateCallback: st.changed,
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	dialing.Wait()
	if t.Failed() {
		return
	}
	defer func() {
		for _, c := range clients {
			c.Close()
		}
	}()
	use := func(number int) { // the commands wait for the connection
		var work sync.WaitGroup
		for i, c := range clients {
			work.Go(func() {
				if got, err := cmdstream.Do(ctx, c, note{Number: number + i}); got != number+i || err != nil {
					t.Errorf("got %d, %v", got, err)
				}
			})
		}
		work.Wait()
	}
	use(0)
	connected, theirs := usageNow(), s.usage(t)

	st.begin()
	var cut int
	s.ask(t, "cut", &cut)
	use(count)
	st.end(t, "a cut", count)
	if stats := s.state(t).Stats; cut != count || stats.SessionsResumed != uint64(count) {
		t.Errorf("%d connections were cut; %+v", cut, stats)
	}
	wantBack(t, theirs, func() usage { return s.usage(t) }, more)

	st.begin()
	s.kill()
	time.Sleep(time.Second)
	s = startBook(t, conf)
	use(2 * count)
	st.end(t, "a restart", count)
	st.spread(t)
	wantBack(t, connected, usageNow, usage{HeapMiB: memory, Goroutines: count / 10})

	for _, c := range clients {
		c.Close()
	}
	s.idle(t)
	wantBack(t, theirsAtFirst, func() usage { return s.usage(t) }, more)
	clients, st = nil, storm{}
	wantBack(t, atFirst, usageNow, usage{HeapMiB: memory, Goroutines: 5})
}

// storm hears of the states of many clients.
type storm struct {
	mu       sync.Mutex // protects what follows
	began    time.Time
	arrivals []time.Duration // since then
	waits    [10]int         // attempts that failed, by the tenths of what they may wait that they do
}

func (s *storm) changed(change client.StateChange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case change.State == client.Connected:
		s.arrivals = append(s.arrivals, time.Since(s.began))
	case change.Attempt > 0:
		most := min(delegate.DefaultBackoffFirst<<change.Attempt, delegate.DefaultBackoffMax)
		s.waits[min(change.RetryIn*10/most, 9)]++
	}
}

func (s *storm) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.began, s.arrivals, s.waits = time.Now(), nil, [10]int{}
}

// end waits until all clients have come back.
func (s *storm) end(t *testing.T, what string, count int) {
	t.Helper()
	eventually(t, "all clients have come back", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.arrivals) >= count
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	peak := busiest(s.arrivals)
	t.Logf("after %s half of %d clients are back in %v, all in %v; at most %d come in a tenth of a second",
		what, count, s.arrivals[count/2], s.arrivals[count-1], peak)
}

// spread fails the test if the clients do not spread their attempts over all the time
// that they may. How many come at a time depends on the machine, too.
func (s *storm) spread(t *testing.T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := 0
	for _, count := range s.waits {
		sum += count
	}
	for _, count := range s.waits {
		if count < sum/20 || count > sum/5 {
			t.Errorf("by tenths of the time that they may wait, %v attempts wait", s.waits)
			return
		}
	}
}

// busiest sorts times, and returns how many there are in the tenth of a second with most.
func busiest(times []time.Duration) (most int) {
	slices.Sort(times)
	first := 0
	for last := range times {
		for times[last]-times[first] > 100*time.Millisecond {
			first++
		}
		most = max(most, last-first+1)
	}
	return most
}
