package handler

import (
	"sync"
	"time"
)

// watchdog ends the turns that take too long, and has connections rest over which nothing
// comes any more. It looks only while there are some.
type watchdog struct {
	begun time.Time
	timer *time.Timer // look
	slow  *time.Timer // lookSlowly

	mu     sync.Mutex // protects what follows
	roles  []*role
	long   []turn
	listed map[*role]struct{} // that are to rest once nothing comes any more
	over   bool               // the timers are not to be started again
}

func newWatchdog() *watchdog {
	w := &watchdog{begun: time.Now(), listed: make(map[*role]struct{})}
	w.timer, w.slow = stopped(w.look), stopped(w.lookSlowly)
	return w
}

func stopped(f func()) *time.Timer {
	t := time.AfterFunc(time.Hour, f)
	t.Stop()
	return t
}

func (w *watchdog) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	w.timer.Stop()
	w.slow.Stop()
}

// start starts a timer. The caller holds mu.
func (w *watchdog) start(t *time.Timer, after time.Duration) {
	if !w.over {
		t.Reset(after)
	}
}

func (w *watchdog) now() int64               { return int64(time.Since(w.begun)) }
func (w *watchdog) since(at time.Time) int64 { return int64(at.Sub(w.begun)) }

// watch has a role looked at, until it runs nothing.
func (w *watchdog) watch(r *role) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.watched.Load() {
		return
	}
	r.watched.Store(true)
	w.roles = append(w.roles, r)
	if len(w.roles) == 1 {
		w.start(w.timer, lookEvery)
	}
}

// look is called by the timer.
func (w *watchdog) look() {
	w.mu.Lock()
	now := w.now()
	kept := w.roles[:0]
	for _, r := range w.roles {
		switch began := r.busy.Load(); {
		case began == 0: // an idle process is not woken again for nothing
			r.watched.Store(false)
			if r.busy.Load() == 0 { // else it has begun just now, and counts on being watched
				continue
			}
			r.watched.Store(true)
		case now-began >= int64(tooLong):
			w.long = append(w.long, turn{r, began})
		}
		kept = append(kept, r)
	}
	clear(w.roles[len(kept):])
	w.roles = kept
	if len(kept) > 0 {
		w.start(w.timer, lookEvery)
	}
	for _, t := range w.long {
		if t.end() {
			t.role.owe(stopDebt)
			t.role.follow()
		}
	}
	clear(w.long)
	w.long = w.long[:0]
	w.mu.Unlock()
}

// list has a role rest once nothing has come for it for restAfter.
func (w *watchdog) list(r *role) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r.listed.Store(true)
	if w.listed[r] = struct{}{}; len(w.listed) == 1 {
		w.start(w.slow, slowly)
	}
}

// forget lets go of a role that has ended.
func (w *watchdog) forget(r *role) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.listed, r)
}

// lookSlowly is called by the other timer.
func (w *watchdog) lookSlowly() {
	w.mu.Lock()
	var resting []*role
	for r := range w.listed {
		if r.conn.SinceRead() >= restAfter {
			r.listed.Store(false)
			delete(w.listed, r)
			resting = append(resting, r)
		}
	}
	if len(w.listed) > 0 {
		w.start(w.slow, slowly)
	}
	w.mu.Unlock()
	for _, r := range resting {
		r.conn.Wake()
	}
}
