package client

import (
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
	taskGrace = 250 * time.Millisecond
)

// Close ends the client: every open command ends with ErrClosed, its outcome
// Unknown if it had been sent. Close may be called again; the error is nil. It
// takes less than a second, whatever the server and the user's code do.
func (c *Client[T]) Close() error {
	err := &base.Error{Outcome: base.NotSent, Code: base.ErrClosed, Message: "the client was closed"}
	c.mu.Lock()
	links := make([]*link[T], 0, len(c.links))
	for l := range c.links {
		links = append(links, l)
	}
	c.mu.Unlock()
	c.finish(err)
	for _, l := range links {
		l.close(err)
	}
	within(taskGrace, c.tasks.Wait)
	within(deliveryGrace, c.delivering.Wait)
	c.giveUpOnce.Do(func() { close(c.giveUp) })
	within(taskGrace, c.delivering.Wait)
	c.wheel.Close()
	return nil
}

// close ends a link, and tells the server that this is meant.
func (l *link[T]) close(reason error) {
	if l.conn.Supports(transport.Goaway) {
		l.conn.Post(&transport.Message{Kind: transport.Goaway, Reason: "the client was closed"})
	}
	l.conn.Settle(flushGrace)
	l.conn.Fail(reason)
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
	c.mu.Unlock()
	c.cancel()
	c.report(StateChange{State: Closed, Err: reason})
}

// within waits until wait returns, or for so long.
func within(d time.Duration, wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		wait()
	}()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}
