package handler_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/wire"
)

func TestNothingFollowsTheLastResult(t *testing.T) {
	var errs []error
	test(t, commands{"last": func(c call) error {
		for range 3 {
			errs = append(errs, c.last("last"))
		}
		errs = append(errs, c.Send(c.seq+1, result{text: "another's"}))
		return nil
	}}, nil, func(t *testing.T, s *setup) {
		s.extras(0, wire.Extras{Credit: 100}, "last")
		s.expect("0: last.")
		for i, err := range errs {
			if (i == 0) != (err == nil) || err != nil && !errors.Is(err, base.ErrCommandEnded) {
				t.Errorf("Send %d returned %v", i, err)
			}
		}
	})
}

func TestASendForAnotherCommand(t *testing.T) {
	test(t, commands{"wait": waiter, "other": func(c call) error {
		if err := c.Send(c.seq-1, result{text: "not mine"}); !errors.Is(err, base.ErrCommandEnded) {
			t.Errorf("Send returned %v", err)
		}
		return c.last("mine")
	}}, nil, func(t *testing.T, s *setup) {
		s.command(0, "wait")
		s.command(1, "other")
		s.expect("1: mine.")
	})
}

// A Proxy that was kept belongs to no later command, not even on its slot.
func TestAKeptProxy(t *testing.T) {
	var kept call
	test(t, commands{
		"keep":  func(c call) error { kept = c; return c.last("kept") },
		"count": count(2),
	}, nil, func(t *testing.T, s *setup) {
		for range 3 {
			s.command(0, "keep")
			s.expect("0: kept.")
			old := kept
			s.command(0, "count")
			s.expect("0: 1")
			for _, seq := range []base.Seq{old.seq, old.seq + 2, 0} {
				if err := old.Send(seq, result{text: "late", last: true}); !errors.Is(err, base.ErrCommandEnded) {
					t.Errorf("Send returned %v", err)
				}
			}
			s.expect()
			s.credit(0, 1)
			s.expect("0: 2.")
		}
	})
}

// A Send may be under way, in a goroutine that the command has left behind, when
// the slot's next command comes.
func TestASendThatWasLeftBehind(t *testing.T) {
	hold := make(chan struct{})
	var left error
	test(t, commands{
		"credit": func(c call) error {
			c.send("one")
			go func() { left = c.send("two") }()
			time.Sleep(time.Second)
			return nil
		},
		"encode": func(c call) error {
			go func() { left = c.Send(c.seq, result{encode: func() error { <-hold; return nil }}) }()
			time.Sleep(time.Second)
			return nil
		},
		"count": count(2),
	}, func(s *setup) { hold = make(chan struct{}) }, func(t *testing.T, s *setup) {
		s.command(0, "credit")
		s.expect("0: one")
		time.Sleep(time.Second)
		s.expect("0: failed, no_result: the command returned without a last result")
		if !errors.Is(left, base.ErrCommandEnded) {
			t.Errorf("Send returned %v", left)
		}
		left = nil
		s.command(0, "encode")
		time.Sleep(time.Second)
		s.expect("0: failed, no_result: the command returned without a last result")
		s.command(0, "count")
		s.expect("0: 1")
		close(hold)
		s.expect()
		if !errors.Is(left, base.ErrCommandEnded) {
			t.Errorf("Send returned %v", left)
		}
		s.credit(0, 1)
		s.expect("0: 2.")
	})
}

func TestALastResultOfAGoroutineThatWasLeftBehind(t *testing.T) {
	test(t, commands{"large": func(c call) error {
		go c.last(strings.Repeat("x", 20_000))
		time.Sleep(time.Second)
		return nil
	}, "slow": func(c call) error { <-c.ctx.Done(); return nil }}, nil, func(t *testing.T, s *setup) {
		s.command(0, "large")
		s.expect("0: 20000 bytes.")
		time.Sleep(time.Second)
		s.expect()
		s.extras(0, wire.Extras{Timeout: 1_000_000}, "slow")
		time.Sleep(2 * time.Second)
		s.expect("0: unknown, deadline_exceeded: the command's deadline passed while the server was running it")
	})
}

// The command of a slot may still run when the next one comes: its last result
// has freed the slot.
func TestASlotIsFreeOnceItsLastResultIsSent(t *testing.T) {
	hold := make(chan struct{})
	test(t, commands{"on": func(c call) error {
		c.last("done")
		<-hold
		return nil
	}}, func(s *setup) { hold = make(chan struct{}) }, func(t *testing.T, s *setup) {
		for range 5 {
			s.command(0, "on")
			s.expect("0: done.")
		}
		if n := s.conn.Running(); n != 5 {
			t.Errorf("%d are running", n)
		}
		close(hold)
		settle()
		for i := range 5 { // with the records of the five
			s.command(i, "on")
			s.expect(fmt.Sprintf("%d: done.", i))
		}
		if n := s.conn.Running(); n != 0 {
			t.Errorf("%d are running", n)
		}
	})
}
