package client

// HeldBytes returns how many bytes of results c holds, as Conf.MaxBytes counts them.
func HeldBytes[T any](c *Client[T]) int { return int(c.memory.used.Load()) }

// ReadByCallers tells whether c's callers read their answers themselves.
func ReadByCallers[T any](c *Client[T]) bool {
	return c.current.Load().reading.by.Load() != byLink
}
