package handler

import (
	"sync"
	"testing"
	"time"

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
		a.enter(running, 0)
		a.enter(waits, 0)
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
				if in, _ := a.enter(refused, time.Nanosecond); in {
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
