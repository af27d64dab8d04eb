package client

// HeldBytes returns how many bytes of results c holds, as Conf.MaxBytes counts them.
func HeldBytes[T any](c *Client[T]) int { return int(c.memory.used.Load()) }
