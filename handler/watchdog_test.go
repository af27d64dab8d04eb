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
			r := &role{conn: conn, now: w.now}
			w.list(r)
			w.watch(r)
			time.Sleep(2 * restAfter)
			if r.listed.Load() != stopped || r.watched.Load() != stopped {
				t.Errorf("stopped: %v; still listed: %v, still watched: %v", stopped, r.listed.Load(), r.watched.Load())
			}
			w.stop()
		})
	}
}
