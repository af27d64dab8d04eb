//go:build unix

package integration_test

import (
	"path/filepath"
	"sync"
	"testing"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/client"
)

// More clients come than a server has file descriptors for: those that are in go on,
// and as many others get in as leave.
func TestAServerWithFewDescriptors(t *testing.T) {
	t.Parallel()
	s := startBook(t, bookConf{File: filepath.Join(t.TempDir(), "book"), Descriptors: 64})
	const count = 120
	var (
		mu      sync.Mutex // protects what follows
		in      []*client.Client[*book]
		dialing sync.WaitGroup
	)
	inside := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(in)
	}
	for range count {
		dialing.Go(func() {
			c, err := client.NewReconnect(soon(t), bookSet().Client(), client.TCP(s.addrs[0]), client.Conf{
				Logger: quiet, SysDataReceiveTimeout: hangTime,
			})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			in = append(in, c)
		})
	}
	var stats bookState
	eventually(t, "the server is out of descriptors", func() bool {
		stats = s.state(t)
		return stats.Stats.AcceptFailures > 2 && stats.Stats.Connections == stats.Accepted && stats.Accepted == inside()
	})
	t.Logf("%d clients are in, of %d; %+v", inside(), count, stats)
	if n := inside(); n < 40 || n > 64 {
		t.Errorf("%d clients are in", n)
	}
	for number, served := 1, 0; served < count; {
		mu.Lock()
		present := in
		mu.Unlock()
		for _, c := range present { // those that were there before, too
			if got, err := cmdstream.Do(soon(t), c, note{Number: number}); got != number || err != nil {
				t.Fatalf("got %d, %v", got, err)
			}
			number++
		}
		leaving := present[:(len(present)+1)/2]
		for _, c := range leaving {
			c.Close()
		}
		served += len(leaving)
		mu.Lock()
		in = in[len(leaving):]
		mu.Unlock()
		eventually(t, "others get in", func() bool { return inside() > len(present)-len(leaving) || served+inside() == count })
	}
	dialing.Wait()
	if stats := s.idle(t); stats.Usage.Descriptors > 20 {
		t.Errorf("got %+v", stats)
	}
}
