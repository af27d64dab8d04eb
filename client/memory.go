package client

import (
	"fmt"
	"sync/atomic"

	"github.com/cmdstream/cmdstream/transport"

	"github.com/cmdstream/cmdstream/base"
)

// memory is how many bytes of results a client holds: those on their way in pieces,
// and those that have come and were not taken yet. What fits into the keepInbox bytes
// of a command's inbox is not counted, nor are its items, of which there are maxWindow at
// most, as a rule: the number of commands bounds that.
type memory struct {
	limit    int64
	used     atomic.Int64
	pool     transport.Pool // of bodies
	counters *counters
}

// take takes n bytes, and returns false if there are not so many.
func (m *memory) take(n int) bool {
	if m.used.Add(int64(n)) > m.limit {
		m.give(n)
		return false
	}
	return true
}

func (m *memory) give(n int) {
	if n > 0 {
		m.used.Add(int64(-n))
	}
}

// refusal is the end of a command for whose result there is no memory. It counts.
func (m *memory) refusal(size int) *base.Error {
	m.counters.noMemory.Add(1)
	return &base.Error{
		Outcome: base.Failed, Code: base.ErrBusy,
		Message: fmt.Sprintf("a result of %d bytes came, and there was no memory for it at the moment: the client's MaxBytes is %d", size, m.limit),
	}
}

// arriving is what is on its way over one connection. It is that connection's
// transport.Budget, and belongs to the goroutine that reads it.
type arriving struct {
	memory *memory
	n      int
}

// Pool implements transport.Budget.
func (a *arriving) Pool() *transport.Pool { return &a.memory.pool }

// Reserve implements transport.Budget.
func (a *arriving) Reserve(n int) bool {
	if !a.memory.take(n) {
		return false
	}
	a.n += n
	return true
}

// Release implements transport.Budget.
func (a *arriving) Release(n int) {
	a.n -= n
	a.memory.give(n)
}

// arrived is the end of a way: the memory is whose that has the result.
func (a *arriving) arrived(n int) { a.n -= n }

// end gives back what was on its way when the connection ended.
func (a *arriving) end() { a.Release(a.n) }
