package handler

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// commandContext is the ctx of a command. It lives inside the command's record
// and costs nothing until somebody asks for its Done.
//
// A record is used again for a later command only if no method of its ctx was
// ever called: whoever has asked it something never sees another command's. Whoever
// keeps it untouched beyond the end of the command might: base.Cmd warns of that.
type commandContext struct {
	touched atomic.Bool

	mu       *sync.Mutex     // the record's; protects what follows
	parent   context.Context // the session's: for values only
	id       base.ID
	named    bool          // id is one
	metadata []byte        // as the wire has it
	at       time.Time     // when the command came
	timeout  time.Duration // after which its deadline is; 0: it has none
	done     chan struct{}
	err      error
	cause    error
	next     int
	after    map[int]func()
}

// mayServe tells whether the ctx may be another command's: not if it was touched, for
// whoever holds it sees one command for ever.
func (c *commandContext) mayServe() bool { return !c.touched.Load() }

func (c *commandContext) touch() {
	if !c.touched.Load() {
		c.touched.Store(true)
	}
}

func (c *commandContext) Deadline() (time.Time, bool) {
	c.touch()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timeout <= 0 {
		return time.Time{}, false
	}
	return c.at.Add(c.timeout), true
}

func (c *commandContext) Done() <-chan struct{} {
	c.touch()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.err != nil {
			close(c.done)
		}
	}
	return c.done
}

func (c *commandContext) Err() error {
	c.touch()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *commandContext) Value(key any) any {
	c.touch()
	switch key {
	case base.IDKey():
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.named {
			return nil
		}
		return c.id
	case base.MetadataKey():
		c.mu.Lock()
		metadata := bytes.Clone(c.metadata)
		c.mu.Unlock()
		if len(metadata) == 0 {
			return nil
		}
		m, _ := transport.ParseMetadata(metadata) // it was checked when it came
		return m
	}
	c.mu.Lock()
	parent := c.parent
	c.mu.Unlock()
	return parent.Value(key)
}

// serve makes it the ctx of a command, which came at a time, and has a timeout, or 0. The
// caller holds mu.
func (c *commandContext) serve(id base.ID, named bool, metadata []byte, at time.Time, timeout time.Duration) {
	c.id, c.named, c.at, c.timeout = id, named, at, timeout
	c.done, c.err, c.cause = nil, nil, nil // somebody may just have asked for that of the command before
	c.metadata = append(c.metadata[:0], metadata...)
}

// AfterFunc lets the context package derive from this one without a goroutine
// for each derivation.
func (c *commandContext) AfterFunc(f func()) (stop func() bool) {
	c.touch()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	if c.after == nil {
		c.after = make(map[int]func())
	}
	id := c.next
	c.next++
	c.after[id] = f
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, ok := c.after[id]
		delete(c.after, id)
		return ok
	}
}

// cancel ends the ctx; only the first call counts. The caller holds mu.
func (c *commandContext) cancel(err, cause error) {
	if c.err != nil {
		return
	}
	c.err, c.cause = err, cause
	if c.done != nil {
		close(c.done)
	}
	if len(c.after) > 0 { // as many as the command has made: others wait for the lock
		go startAll(c.after)
		c.after = nil
	}
}

func startAll(functions map[int]func()) {
	for _, f := range functions {
		go f()
	}
}
