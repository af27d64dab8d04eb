package handler

import (
	"fmt"
	"sync/atomic"

	"github.com/cmdstream/cmdstream/base"
)

// Memory is how many bytes of commands and inputs a connection may hold: those on
// their way, those that wait, and those that run. It is a transport.Budget. Bodies up
// to keepBody are not counted: the number of commands bounds them.
type Memory struct {
	limit    int64
	used     atomic.Int64
	all      *memory
	arriving int // of it, what is on its way; of the goroutine that reads
}

// memory is the same for a whole server.
type memory struct {
	limit int64
	used  atomic.Int64
}

// NewMemory returns the Memory of a connection.
func (h *Handler[T]) NewMemory() *Memory {
	return &Memory{limit: int64(h.MaxConnBytes), all: &h.memory}
}

// Reserve implements transport.Budget.
func (m *Memory) Reserve(n int) bool {
	if !m.take(n) {
		return false
	}
	m.arriving += n
	return true
}

// Release implements transport.Budget.
func (m *Memory) Release(n int) {
	m.arriving -= n
	m.give(n)
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
		m.arriving -= reserved
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
	m.give(m.arriving)
	m.arriving = 0
}
