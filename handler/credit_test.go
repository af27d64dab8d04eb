package handler_test

import (
	"fmt"
	"io"
	"math"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/wire"
)

func count(to int) func(c call) error {
	return func(c call) error {
		for n := range to - 1 {
			if err := c.send(fmt.Sprint(n + 1)); err != nil {
				return err
			}
		}
		return c.last(fmt.Sprint(to))
	}
}

func TestResultsWaitForCredit(t *testing.T) {
	test(t, commands{"count": count(7), "echo": echo}, nil, func(t *testing.T, s *setup) {
		s.extras(0, wire.Extras{Credit: 2}, "count")
		s.expect("0: 1", "0: 2")
		time.Sleep(time.Hour)
		s.command(1, "echo") // nobody else waits
		s.expect("1: echo.")
		s.credit(0, 1)
		s.expect("0: 3")
		s.credit(0, 3)
		s.expect("0: 4", "0: 5", "0: 6")
		s.credit(0, math.MaxInt32)
		s.expect("0: 7.")
	})
}

func TestCreditAheadOfTheResults(t *testing.T) {
	test(t, commands{"slow": func(c call) error {
		time.Sleep(time.Second)
		return count(4)(c)
	}}, nil, func(t *testing.T, s *setup) {
		s.command(0, "slow") // one is always allowed
		s.credit(0, 1)
		s.credit(0, 2)
		s.expect()
		time.Sleep(time.Second)
		s.expect("0: 1", "0: 2", "0: 3", "0: 4.")
	})
}

func TestOneCommandSendsFromManyGoroutines(t *testing.T) {
	test(t, commands{"many": func(c call) error {
		done := make(chan error)
		for n := range 50 {
			go func() { done <- c.send(fmt.Sprint(n)) }()
		}
		for range 50 {
			if err := <-done; err != nil {
				return err
			}
		}
		return c.last("end")
	}}, nil, func(t *testing.T, s *setup) {
		s.extras(0, wire.Extras{Credit: 20}, "many")
		s.credit(0, 31)
		want := []string{"0: end."}
		for n := range 50 {
			want = append(want, fmt.Sprintf("0: %d", n))
		}
		s.expect(want...)
	})
}

// A Send that a command has left behind does not hold up the next one on the slot, and nothing of
// its credit is that one's.
func TestCreditOfAnEndedCommandIsNotTheNextOnes(t *testing.T) {
	hold := make(chan struct{})
	test(t, commands{"leave": func(c call) error {
		go c.Send(c.seq, result{encode: func() error { <-hold; return io.EOF }})
		time.Sleep(time.Second)
		return io.EOF
	}, "count": count(3)}, func(s *setup) { hold = make(chan struct{}) }, func(t *testing.T, s *setup) {
		s.command(0, "leave")
		time.Sleep(time.Second)
		s.expect("0: failed, exec: EOF")
		s.command(0, "count")
		s.expect("0: 1")
		close(hold)
		s.expect()
		s.credit(0, 2)
		s.expect("0: 2", "0: 3.")
	})
}
