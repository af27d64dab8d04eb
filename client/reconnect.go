package client

import (
	"context"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// link returns the link for new commands. While one is being made it waits, as
// long as the call may, unless it is to failFast.
func (c *Client[T]) link(waiting *patience, failFast bool) (*link[T], error) {
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
		case failFast:
			return nil, &base.Error{Outcome: base.NotSent, Code: base.ErrNotConnected, Message: "there is no connection"}
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
	if err != nil {
		l.conn.Load().Fail(err)
	} else if err := l.end(); err != nil {
		c.leave(l, err)
	}
	c.tasks.Go(l.run)
}

// detached notes that a link has lost its connection and makes another: new commands
// wait meanwhile.
func (c *Client[T]) detached(l *link[T], conn *transport.Conn, reason error) {
	c.unset(l, conn) // a caller that has found it lost may have done so already
	if l.end() == nil {
		c.report(StateChange{State: Connecting, Err: reason})
	}
}

// attached makes a link that goes on over conn the one for new commands again,
// unless its server is going away. The error is the client's end.
func (c *Client[T]) attached(l *link[T], conn *transport.Conn) error {
	leaving := l.end() != nil
	c.mu.Lock()
	err := c.err
	if err == nil && !leaving {
		c.current.Store(l)
		c.change()
		c.states.add(StateChange{State: Connected})
	}
	c.mu.Unlock()
	if err != nil {
		conn.Fail(err)
	}
	return err
}

// retire ends a link on which no command is open, and none may begin. A session is
// ended in words, for it would outlive its connection.
func (c *Client[T]) retire(l *link[T], reason error) {
	c.mu.Lock()
	if l.over {
		delete(c.links, l)
	}
	c.mu.Unlock()
	if conn := l.conn.Load(); l.session == nil || conn.Err() != nil {
		conn.Fail(reason)
		return
	}
	c.tasks.Go(func() { l.close(reason) })
}

// change wakes those who wait for a change. The caller holds mu.
func (c *Client[T]) change() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// unset makes sure that no new command goes to a link that takes none, unless it has
// another connection than conn by now.
func (c *Client[T]) unset(l *link[T], conn *transport.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.conn.Load() == conn && c.current.CompareAndSwap(l, nil) {
		c.change()
	}
}

// leave takes l out of use because its server is going away, or it has ended; a
// client that reconnects looks for another.
func (c *Client[T]) leave(l *link[T], reason error) {
	l.leave(reason)
	defer func() { c.unset(l, l.conn.Load()) }()
	c.mu.Lock()
	_, adopted := c.links[l]
	c.mu.Unlock()
	if !adopted || !l.replaced.CompareAndSwap(false, true) {
		return // adopt does it, if it comes to that
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
	if l.over = true; l.isIdle() { // under mu: else retire does it, which comes later
		delete(c.links, l)
	}
	c.mu.Unlock()
	if c.redialer == nil {
		c.finish(reason)
	}
}

// reconnect makes a new link whenever one is wanted. It is a goroutine of its
// own; the Redialer puts the links that it makes into *fresh.
func (c *Client[T]) reconnect(fresh **link[T]) {
	l := *fresh
	defer c.finish(errExited) // if the Dialer ends this goroutine; it has ended else
	for {
		var reason error
		select {
		case reason = <-c.redial:
		case <-c.ctx.Done():
			return
		}
		c.report(StateChange{State: Connecting, Err: reason})
		if l.livedWell() {
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
