package handler

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/transport"
)

// A watchdog looks for as long as there is something to look at, and no longer than until it is
// stopped: whoever comes later is not looked at.
func TestAWatchdogThatIsStopped(t *testing.T) {
	for _, stopped := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			_, far := memnet.Pipe()
			conn := transport.NewConn(far, transport.Framed(transport.Options{Server: true}), nil, 0)
			defer conn.Fail(errReturned)
			w := newWatchdog()
			if stopped {
				w.stop()
			}
			r := &role{conn: conn, now: w.now, follow: func() {}}
			w.list(r)
			r.busy.Store(1)
			w.watch(r, 1)
			time.Sleep(2 * restAfter)
			if r.listed.Load() != stopped || r.watched.Load() != stopped {
				t.Errorf("stopped: %v; still listed: %v, still watched: %v", stopped, r.listed.Load(), r.watched.Load())
			}
			w.stop()
		})
	}
}

// A turn that takes too long is ended in time, by the watchdog's timer or by who begins a turn
// meanwhile, which puts the timer off.
func TestATurnThatTakesTooLongIsEnded(t *testing.T) {
	for name, others := range map[string]bool{"by the timer": false, "by who begins a turn": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWatchdog()
				defer w.stop()
				begin := func(r *role) {
					now := w.now() + 1
					r.busy.Store(now)
					w.watch(r, now)
				}
				ended := make(chan time.Duration, 1)
				began := time.Now()
				long := &role{now: w.now, follow: func() { ended <- time.Since(began) }}
				begin(long)
				ticks := 0
				if others {
					w.timer.Stop()
					w.timer = stopped(func() { ticks++ })
					w.timer.Reset(lookEvery)
				}
				for range 20 {
					time.Sleep(300 * time.Microsecond)
					if others {
						other := &role{now: w.now}
						begin(other)
						other.busy.Store(0)
					}
				}
				select {
				case after := <-ended:
					if most := lookEvery + tooLong; after > most {
						t.Errorf("it was ended after %v, want %v at most", after, most)
					}
				default:
					t.Error("it was not ended")
				}
				if ticks > 0 {
					t.Errorf("the timer fired %d times, though turns began all the time", ticks)
				}
			})
		})
	}
}
