package handler

// FreePlace has a place among the running commands be free, as if a command had just left and
// nobody had looked yet who waits; undo takes it back.
func FreePlace[T any](h *Handler[T]) (undo func()) {
	h.admitted.running.Add(-1)
	return func() { h.admitted.running.Add(1) }
}
