package client

import (
	"context"
	"time"

	"github.com/cmdstream/cmdstream/base"
)

// link returns the link for new commands. While one is being made it waits, as
// long as the call may.
func (c *Client[T]) link(waiting *patience) (*link[T], error) {
	for {
		if l := c.current.Load(); l != nil {
			return l, nil
		}
		c.mu.Lock()
		l, changed, err := c.current.Load(), c.changed, c.err
		if err == nil {
			err = c.draining
		}
		c.mu.Unlock()
		switch {
		case l != nil:
			return l, nil
		case err != nil:
			return nil, ended(err)
		}
		ctx := waiting.ctx()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, waiting.failed("there was no connection", context.Cause(ctx))
		}
	}
}

// ended is the error of a call to a client that has ended, or is about to.
func ended(reason error) error {
	e := unsent(base.ErrConnLost, "", reason)
	if e.Code == base.ErrClosed {
		return e
	}
	return &base.Error{Outcome: e.Outcome, Code: e.Code, RetryAfter: e.RetryAfter, Message: "the client takes no more commands", Err: reason}
}

// adopt makes l the link for new commands and starts its goroutine.
func (c *Client[T]) adopt(l *link[T]) {
	c.mu.Lock()
	c.links[l] = struct{}{}
	err := c.err
	if err == nil {
		c.current.Store(l)
		c.change()
		c.states.add(StateChange{State: Connected})
	}
	c.mu.Unlock()
	c.tasks.Go(l.run)
	if err != nil {
		l.conn.Fail(err)
	}
}

// change wakes those who wait for a change. The caller holds mu.
func (c *Client[T]) change() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// unset makes sure that no new command goes to a link that takes none.
func (c *Client[T]) unset(l *link[T]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current.CompareAndSwap(l, nil) {
		c.change()
	}
}

// leave takes l out of use because its server is going away, or it has ended; a
// client that reconnects looks for another.
func (c *Client[T]) leave(l *link[T], reason error) {
	l.leave(reason)
	defer c.unset(l)
	if !l.replaced.CompareAndSwap(false, true) {
		return
	}
	if c.redialer == nil {
		c.mu.Lock()
		c.draining = reason
		c.change()
		c.mu.Unlock()
		return
	}
	select {
	case c.redial <- reason:
	default:
	}
}

// lost is called by the link's goroutine when the link has ended.
func (c *Client[T]) lost(l *link[T], reason error) {
	c.leave(l, reason)
	c.mu.Lock()
	delete(c.links, l)
	c.mu.Unlock()
	if c.redialer == nil {
		c.finish(reason)
	}
}

// reconnect makes a new link whenever one is wanted. It is a goroutine of its
// own; the Redialer puts the links that it makes into *fresh.
func (c *Client[T]) reconnect(fresh **link[T]) {
	l := *fresh
	for {
		var reason error
		select {
		case reason = <-c.redial:
		case <-c.ctx.Done():
			return
		}
		c.report(StateChange{State: Connecting, Err: reason})
		if l.completed.Load() || time.Since(l.since) >= c.conf.Backoff.Reset {
			c.redialer.Reset()
		}
		if err := c.redialer.Connect(c.ctx, reason); err != nil {
			c.finish(err)
			return
		}
		l = *fresh
		c.adopt(l)
	}
}
