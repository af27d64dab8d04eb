package handler

import (
	"slices"
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
	listed []*role // that are to rest once nothing comes any more; each knows its place
	over   bool    // the timers are not to be started again
}

func newWatchdog() *watchdog {
	w := &watchdog{begun: time.Now()}
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
// that was, if that may be a while: where a timer was started, which wakes a thread.
func (w *watchdog) watch(r *role, began int64) (ago time.Duration) {
	if r.watched.Load() {
		return 0
	}
	w.attend(r)
	return time.Duration(w.now() - began)
}

// attend is watch of a role that is not watched.
func (w *watchdog) attend(r *role) {
	var long []turn
	w.mu.Lock()
	now := w.now()
	if !r.watched.Load() { // else who looked at this very moment has seen that it has begun
		r.watched.Store(true)
		w.roles = append(w.roles, r)
		if len(w.roles) == 1 || now-w.looked >= int64(lookEvery/2) { // alone: the timer does not run
			long = w.look(now)
		}
	}
	w.mu.Unlock()
	passAll(long)
}

// tick is called by the timer.
func (w *watchdog) tick() {
	w.mu.Lock()
	long := w.look(w.now())
	w.mu.Unlock()
	passAll(long)
}

// passAll ends turns that take too long. That may wait for the lock of a command, and the caller
// holds none meanwhile.
func passAll(long []turn) {
	for _, t := range long {
		t.pass()
	}
}

// look returns the turns that take too long, and has the timer fire after lookEvery if some go on.
// The caller holds mu.
func (w *watchdog) look(now int64) (long []turn) {
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
			long = append(long, turn{r, began})
		}
		kept = append(kept, r)
	}
	clear(w.roles[len(kept):])
	w.roles = kept
	if len(kept) > 0 {
		w.start(w.timer, lookEvery)
	}
	return long
}

// list has a role rest once nothing has come for it for restAfter.
func (w *watchdog) list(r *role) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r.listed.Store(true)
	r.place = len(w.listed)
	if w.listed = append(w.listed, r); len(w.listed) == 1 {
		w.start(w.slow, slowly)
	}
}

// forget lets go of a role that has ended.
func (w *watchdog) forget(r *role) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unlist(r)
}

// unlist takes a role out of listed, if it is there. The caller holds mu.
func (w *watchdog) unlist(r *role) {
	if !r.listed.Load() {
		return
	}
	r.listed.Store(false)
	n := len(w.listed) - 1
	w.listed[r.place], w.listed[n].place = w.listed[n], r.place
	w.listed[n], w.listed = nil, w.listed[:n]
}

// lookSlowly is called by the other timer.
func (w *watchdog) lookSlowly() {
	var resting []*role
	w.mu.Lock()
	// From the end, for one that is taken out is replaced by the last one. Some at a time: leaders wait
	// for the lock.
	for end := len(w.listed); end > 0; {
		start := max(0, end-slowlyAtOnce)
		for _, r := range slices.Backward(w.listed[start:end]) {
			if r.conn.SinceRead() >= restAfter {
				w.unlist(r)
				resting = append(resting, r)
			}
		}
		w.mu.Unlock()
		w.mu.Lock()
		end = min(start, len(w.listed))
	}
	if len(w.listed) > 0 {
		w.start(w.slow, slowly)
	}
	w.mu.Unlock()
	for _, r := range resting {
		r.conn.Wake()
	}
}
