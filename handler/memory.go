package handler

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/internal/wheel"
	"github.com/cmdstream/cmdstream/transport"
)

// Memory is how many bytes of commands and inputs a connection may hold: those on
// their way, those that wait, and those that run. It is a transport.Budget. Bodies up
// to keepBody are not counted: the number of commands bounds them.
type Memory struct {
	limit    int64
	used     atomic.Int64
	all      *memory
	arrivals []arrival // of it, what is on its way, in the order of their beginning; of the goroutine that reads
	watch    watch
}

// arrival is a body of which not all has come.
type arrival struct {
	size  int
	since time.Time
}

// watch ends a connection on which a body is on its way for too long: it holds memory, and
// would do so for ever.
type watch struct {
	conn   *transport.Conn
	wheel  *wheel.Wheel
	within time.Duration

	mu     sync.Mutex // protects what follows
	timer  wheel.Timer
	armed  bool
	oldest time.Time // when the first of those on their way began; zero: there is none
}

// memory is the same for a whole server.
type memory struct {
	limit int64
	used  atomic.Int64
}

// NewMemory returns the Memory of a connection.
func (h *Handler[T]) NewMemory() *Memory {
	m := &Memory{limit: int64(h.MaxConnBytes), all: &h.memory}
	m.watch.wheel, m.watch.within = h.wheel, h.BodyTimeout
	m.watch.timer.Fire = m.watch.look
	return m
}

// Reserve implements transport.Budget.
func (m *Memory) Reserve(n int) bool {
	if !m.take(n) {
		return false
	}
	m.arrivals = append(m.arrivals, arrival{n, time.Now()})
	m.watch.set(m.arrivals[0].since)
	return true
}

// Release implements transport.Budget.
func (m *Memory) Release(n int) {
	if n > 0 {
		m.arrived(n)
		m.give(n)
	}
}

// arrived is the end of a way. Which one of the same size it was makes no difference.
func (m *Memory) arrived(size int) {
	i := slices.IndexFunc(m.arrivals, func(a arrival) bool { return a.size == size })
	m.arrivals = slices.Delete(m.arrivals, i, i+1)
	var oldest time.Time
	if len(m.arrivals) > 0 {
		oldest = m.arrivals[0].since
	}
	m.watch.set(oldest)
}

func (w *watch) set(oldest time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.oldest = oldest
	if !w.armed && !oldest.IsZero() {
		w.armed = true
		w.wheel.Start(&w.timer, w.within)
	}
}

// look is called by the wheel.
func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = false
	if w.oldest.IsZero() {
		return
	}
	if left := w.within - time.Since(w.oldest); left > 0 {
		w.armed = true
		w.wheel.Start(&w.timer, left)
		return
	}
	go w.conn.Fail(&base.Error{Code: base.ErrIdle, Message: fmt.Sprintf("a body was begun %v ago, and has not come whole", w.within)})
}

func (m *Memory) take(n int) bool {
	if m.used.Add(int64(n)) > m.limit {
		m.used.Add(int64(-n))
		return false
	}
	if m.all.used.Add(int64(n)) > m.all.limit {
		m.give(n)
		return false
	}
	return true
}

func (m *Memory) give(n int) {
	m.used.Add(int64(-n))
	m.all.used.Add(int64(-n))
}

// hold takes the memory of a body that has come, or takes over what was reserved for
// it. The error is the refusal of the command.
func (m *Memory) hold(size, reserved int) (held int, refusal *base.Error) {
	switch {
	case reserved > 0:
		m.arrived(reserved)
		return reserved, nil
	case size <= keepBody:
		return 0, nil
	case !m.take(size):
		return 0, noMemory(size)
	}
	return size, nil
}

func noMemory(size int) *base.Error {
	return &base.Error{Outcome: base.Rejected, Code: base.ErrBusy, RetryAfter: minRetryAfter, Message: fmt.Sprintf("there is no memory at the moment for a body of %d bytes", size)}
}

// end gives back what was on its way when the connection ended.
func (m *Memory) end() {
	for _, a := range m.arrivals {
		m.give(a.size)
	}
	m.arrivals = nil
	m.watch.set(time.Time{})
	m.watch.wheel.Stop(&m.watch.timer)
}
