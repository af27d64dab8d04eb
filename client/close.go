package client

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

const (
	// flushGrace is how long Close waits for what was sent to be written.
	flushGrace = 100 * time.Millisecond
	// deliveryGrace is how long Close waits for the channels of Send to take the
	// errors of the commands that it ends.
	deliveryGrace = 250 * time.Millisecond
	// taskGrace is how long Close waits for the client's goroutines. They end by
	// themselves unless the user's code holds them.
	taskGrace = 200 * time.Millisecond
)

// Close ends the client: every open command ends with ErrClosed, its outcome
// Unknown if it had been sent. Close may be called again; the error is nil. It
// takes less than a second, whatever the server and the user's code do.
//
// It ends the client's sessions at the server, with what runs in them. To one that has
// no connection at that moment this can't be said: the server goes on with it for as
// long as it keeps sessions without a connection.
func (c *Client[T]) Close() error {
	err := &base.Error{Outcome: base.NotSent, Code: base.ErrClosed, Message: "the client was closed"}
	c.finish(err) // from here on no link is added that is not closed at once
	var links sync.WaitGroup
	c.mu.Lock()
	for l := range c.links {
		links.Go(func() { l.close(err) })
	}
	c.mu.Unlock()
	links.Wait()
	c.tasks.wait(taskGrace)
	for _, l := range c.left() {
		l.abandon(err)
	}
	c.delivering.wait(deliveryGrace)
	c.giveUpOnce.Do(func() { close(c.giveUp) })
	c.delivering.wait(taskGrace)
	c.wheel.Close()
	return nil
}

// left returns the links on which commands may be open still.
func (c *Client[T]) left() []*link[T] {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.links))
}

// close ends a link, and tells the server that this is meant.
func (l *link[T]) close(reason error) {
	conn := l.conn.Load()
	if conn.Supports(transport.Goaway) {
		conn.Post(&transport.Message{Kind: transport.Goaway, Reason: "the client was closed"})
	}
	conn.Settle(flushGrace)
	conn.Fail(reason)
}

// finish ends the client for good; the first reason counts. It does not wait.
func (c *Client[T]) finish(reason error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = reason
	c.current.Store(nil)
	c.change()
	close(c.done)
	c.states.add(StateChange{State: Closed, Err: reason})
	c.mu.Unlock()
	c.cancel()
}
