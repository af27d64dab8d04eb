package handler

import (
	"time"

	"github.com/cmdstream/cmdstream/base"
)

// FreePlace has a place among the running commands be free, as if a command had just left and
// nobody had looked yet who waits; undo takes it back.
func FreePlace[T any](h *Handler[T]) (undo func()) {
	h.admitted.running.Add(-1)
	return func() { h.admitted.running.Add(1) }
}

// admit lets a command run, queues it, or refuses it.
func (a *admission[T]) admit(x *command[T], timeout time.Duration) (now bool, refusal *base.Error) {
	if a.enter(x) {
		return true, nil
	}
	return false, a.queue(x, timeout)
}
