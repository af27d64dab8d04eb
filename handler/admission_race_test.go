package handler

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/internal/wheel"
)

// A command that is refused while another one ends never keeps that from waking the next:
// nothing may count as running that does not.
func TestARefusalDoesNotHideAFreePlace(t *testing.T) {
	h := &Handler[int]{wheel: wheel.New()}
	defer h.wheel.Close()
	rounds := 20_000
	if testing.Short() {
		rounds = 1000
	}
	for round := range rounds {
		woken := make(chan *command[int], 1)
		a := &admission[int]{
			maxRunning: 1, maxQueued: 10, maxWait: time.Hour, since: time.Now(), wheel: h.wheel,
			run: func(x *command[int]) { woken <- x },
		}
		a.service.Store(int64(time.Millisecond))
		running, waits, refused := new(command[int]), new(command[int]), new(command[int])
		a.admit(running, 0)
		a.admit(waits, 0)
		var wg sync.WaitGroup
		var now bool
		begin := make(chan struct{})
		wg.Go(func() {
			<-begin
			a.leave(running)
		})
		for range 4 {
			wg.Go(func() {
				<-begin
				if in, _ := a.admit(refused, time.Nanosecond); in {
					now = true
				}
			})
		}
		close(begin)
		wg.Wait()
		if len(woken) == 0 && !now {
			t.Fatalf("round %d: nothing runs, and %d wait", round, a.waiting.Load())
		}
		h.wheel.Stop(&waits.timer)
	}
}

// The deadline of a command in the queue counts from when it came: its reader may have been
// held up since.
func TestADeadlineInTheQueueCountsFromWhenTheCommandCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := wheel.New()
		defer w.Close()
		a := &admission[int]{maxRunning: 1, maxQueued: 10, maxWait: time.Hour, since: time.Now(), wheel: w}
		a.admit(new(command[int]), 0)
		begin := time.Now()
		waits, fired := new(command[int]), make(chan time.Duration, 1)
		waits.ctx.at = begin.Add(-400 * time.Millisecond)
		waits.timer.Fire = func() { fired <- time.Since(begin) }
		if _, refusal := a.admit(waits, 500*time.Millisecond); refusal != nil {
			t.Fatal(refusal)
		}
		if after := <-fired; after < 100*time.Millisecond || after > 102*time.Millisecond {
			t.Errorf("its time was over after %v more", after)
		}
		late := new(command[int])
		late.ctx.at = begin.Add(-time.Second)
		if now, refusal := a.admit(late, 500*time.Millisecond); now || refusal == nil || refusal.Code != base.ErrDeadline {
			t.Errorf("a command whose deadline has passed is refused by %v", refusal)
		}
	})
}

// newAdmission returns one, and a function that makes commands for it.
func newAdmission(t *testing.T, maxRunning, maxQueued int64) (*admission[int], func() *command[int]) {
	a := &admission[int]{
		maxRunning: maxRunning, maxQueued: maxQueued, maxWait: time.Second, since: time.Now(), wheel: wheel.New(),
		run: func(*command[int]) {},
	}
	t.Cleanup(a.wheel.Close)
	return a, func() *command[int] {
		x := new(command[int])
		x.timer.Fire = func() {}
		return x
	}
}

// The end of a command counts that began while few ran: the next one takes its place.
func TestAnEndIsNoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, fresh := newAdmission(t, 2, 10)
		first := fresh()
		a.enter(first)
		a.enter(fresh())
		time.Sleep(900 * time.Millisecond)
		third, fourth := fresh(), fresh()
		if a.enter(third) || a.queue(third, 0) != nil {
			t.Error("the third does not wait")
		}
		a.leave(first) // the third begins
		time.Sleep(600 * time.Millisecond)
		if a.enter(fourth) {
			t.Error("the fourth runs")
		}
		if refusal := a.queue(fourth, 0); refusal != nil {
			t.Errorf("600 ms after the last end: %v", refusal)
		}
	})
}

// Who finds that the last place was just taken knows that.
func TestTheLastPlaceIsNotedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, fresh := newAdmission(t, 1, 10)
		x := fresh()
		a.enter(x)
		a.leave(x)
		time.Sleep(time.Hour)
		a.takePlace() // the first of two that come at once
		if other := fresh(); a.enter(other) {
			t.Error("both run")
		} else if refusal := a.queue(other, 0); refusal != nil {
			t.Errorf("of two commands that come at once: %v", refusal)
		}
	})
}

// No more than MaxQueued wait, also where they come at once.
func TestNoMoreWaitThanMay(t *testing.T) {
	for range 5000 {
		a, fresh := newAdmission(t, 1, 1)
		a.enter(fresh())
		var wg sync.WaitGroup
		begin := make(chan struct{})
		for range 4 {
			x := fresh()
			wg.Go(func() {
				<-begin
				a.queue(x, 0)
			})
		}
		close(begin)
		wg.Wait()
		if n := a.waiting.Load(); n > 1 {
			t.Fatalf("%d wait", n)
		}
	}
}
