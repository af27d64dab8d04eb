package handler_test

import (
	"bytes"
	"runtime"
	"testing"
	"time"
)

// workers returns how many goroutines a pool has, the one that reads included.
func workers() int {
	stacks := make([]byte, 16<<20)
	return bytes.Count(stacks[:runtime.Stack(stacks, true)], []byte("handler.(*Pool).work("))
}

func TestGoroutinesAreReused(t *testing.T) {
	test(t, commands{"echo": echo}, nil, func(t *testing.T, s *setup) {
		s.command(0, "echo")
		s.expect("0: echo.")
		for range 100 {
			s.command(0, "echo")
			s.expect("0: echo.")
		}
		if n := workers(); n > 2 {
			t.Errorf("after 100 commands there are %d goroutines", n)
		}
	})
}

func TestThePoolParksNoMoreThan256(t *testing.T) {
	const n = 1000
	hold := make(chan struct{})
	test(t, commands{"wait": func(c call) error { <-hold; return nil }}, func(s *setup) {
		hold = make(chan struct{})
		s.conf.MaxInFlight = n
	}, func(t *testing.T, s *setup) {
		for i := range n {
			s.command(i, "wait")
		}
		settle()
		if running := workers() - 1; running != n {
			t.Errorf("%d goroutines for %d commands", running, n)
		}
		close(hold)
		settle()
		if parked := workers() - 1; parked != 256 {
			t.Errorf("%d goroutines are parked", parked)
		}
	})
}

func TestThePoolTellsWhatIsLeft(t *testing.T) {
	hold := make(chan struct{})
	test(t, commands{"deaf": func(c call) error { <-hold; return nil }}, func(s *setup) {
		hold = make(chan struct{})
	}, func(t *testing.T, s *setup) {
		s.command(0, "deaf")
		s.command(1, "deaf")
		settle()
		s.conn.Close(nil, 0)
		start := time.Now()
		for range 2 { // closing it again changes nothing
			if n := s.pool.Close(time.Second); n != 2 {
				t.Errorf("%d are left", n)
			}
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("it took %v", took)
		}
		close(hold)
	})
}

func TestCloseWritesWhatIsThere(t *testing.T) {
	test(t, commands{"echo": echo}, nil, func(t *testing.T, s *setup) {
		s.command(0, "echo")
		settle()
		s.conn.Close(nil, time.Second)
		s.expect("0: echo.")
	})
}
