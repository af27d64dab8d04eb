package handler

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/internal/wheel"
	"github.com/cmdstream/cmdstream/transport"
)

// Memory is how many bytes of commands and inputs a connection may hold: those on
// their way, those that wait, and those that run, with their metadata. It is a
// transport.Budget. Commands up to keepBody that came whole are not counted: their number
// bounds them.
type Memory struct {
	limit    int64
	used     atomic.Int64
	all      *memory
	arriving int // of it, what is on its way; of the goroutine that reads
	watch    watch
}

// watch ends a connection that has begun bodies and does not send them: they hold memory,
// and would do so for ever. A slow one, over which many come at once, goes on.
type watch struct {
	conn   *transport.Conn
	wheel  *wheel.Wheel
	within time.Duration

	mu        sync.Mutex // protects what follows
	timer     wheel.Timer
	armed     bool
	announced int   // bytes of bodies that were begun and are not whole
	least     int   // bytes that are to come until the timer fires
	before    int64 // that had come
}

// leastPart is which part of what is announced must come within the time.
const leastPart = 8

// memory is the same for a whole server.
type memory struct {
	limit  int64
	used   atomic.Int64
	bodies transport.Pool
}

// NewMemory returns the Memory of a connection.
func (h *Handler[T]) NewMemory() *Memory {
	m := &Memory{limit: int64(h.MaxConnBytes), all: &h.memory}
	m.watch.wheel, m.watch.within = h.wheel, h.BodyTimeout
	m.watch.timer.Fire = m.watch.look
	return m
}

// Pool implements transport.Budget.
func (m *Memory) Pool() *transport.Pool { return &m.all.bodies }

// Reserve implements transport.Budget.
func (m *Memory) Reserve(n int) bool {
	if !m.take(n) {
		return false
	}
	m.arriving += n
	m.watch.set(m.arriving)
	return true
}

// Release implements transport.Budget.
func (m *Memory) Release(n int) {
	m.arrived(n)
	m.give(n)
}

// arrived is the end of a way.
func (m *Memory) arrived(n int) {
	m.arriving -= n
	m.watch.set(m.arriving)
}

// set notes how much of the bodies that were begun has not come, as they were announced.
func (w *watch) set(announced int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.announced = announced
	if !w.armed && announced > 0 {
		w.arm()
	}
}

// arm begins to wait. The caller holds mu.
func (w *watch) arm() {
	w.armed, w.least, w.before = true, w.announced/leastPart, w.conn.Received()
	w.wheel.Start(&w.timer, w.within)
}

// look is called by the wheel.
func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = false
	switch came := w.conn.Received() - w.before; {
	case w.announced == 0:
	case came < int64(min(w.least, w.announced/leastPart)):
		go w.conn.Fail(&base.Error{Code: base.ErrIdle, Message: fmt.Sprintf("bodies of %d bytes were begun, and within %v %d bytes came", w.announced, w.within, came)})
	default:
		w.arm()
	}
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

// hold takes the memory of a body that has come, if that is more than free, or takes over
// what was reserved for it. The error is the refusal of the command.
func (m *Memory) hold(size, reserved, free int) (held int, refusal *base.Error) {
	switch {
	case reserved > 0:
		m.arrived(reserved)
		return reserved, nil
	case size <= free:
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
	m.Release(m.arriving)
	m.watch.wheel.Stop(&m.watch.timer)
}
