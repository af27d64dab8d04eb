package handler

import (
	"sync"
	"time"
)

// watchdog ends the turns that take too long, and has connections rest over which nothing
// comes any more. It looks only while there are some. Where commands come here and there, over
// many connections, who begins a turn looks, if nobody has for half of lookEvery, and puts the
// timer off, for each time that fires it wakes two threads.
type watchdog struct {
	begun time.Time
	timer *time.Timer // tick
	slow  *time.Timer // lookSlowly

	mu     sync.Mutex // protects what follows
	looked int64      // when somebody has last looked
	roles  []*role
	long   []turn
	listed map[*role]struct{} // that are to rest once nothing comes any more
	over   bool               // the timers are not to be started again
}

func newWatchdog() *watchdog {
	w := &watchdog{begun: time.Now(), listed: make(map[*role]struct{})}
	w.timer, w.slow = stopped(w.tick), stopped(w.lookSlowly)
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

// watch has a role looked at whose turn has begun, until it runs nothing. It returns how long ago
// that was, if watch itself took a while: to start a timer wakes a thread.
func (w *watchdog) watch(r *role, began int64) (ago time.Duration) {
	if r.watched.Load() {
		return 0
	}
	w.attend(r)
	return time.Duration(w.now() - began)
}

// attend is watch of a role that is not watched.
func (w *watchdog) attend(r *role) {
	now := w.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.watched.Load() { // for who looked at this very moment has seen that it has begun
		return
	}
	r.watched.Store(true)
	w.roles = append(w.roles, r)
	if len(w.roles) == 1 || now-w.looked >= int64(lookEvery/2) { // alone: the timer does not run
		w.look(now)
	}
}

// tick is called by the timer.
func (w *watchdog) tick() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.look(w.now())
}

// look ends the turns that take too long, and has the timer fire after lookEvery if some go on.
// The caller holds mu.
func (w *watchdog) look(now int64) {
	w.looked = now
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
			t.charge(now)
			t.role.follow()
		}
	}
	clear(w.long)
	w.long = w.long[:0]
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
