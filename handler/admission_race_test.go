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
