package group

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
)

const (
	// seqBits is how many commands a member may send before it gets to the Seqs of another:
	// at a million a second, half a year.
	seqBits = 44
	// leaveGrace is how long a member that leaves still takes the commands of those who have
	// just chosen it, and drainTick how often it looks then whether it is idle.
	leaveGrace = time.Second
	drainTick  = 50 * time.Millisecond
)

// member is one connection of a group, and what makes it. Its client is made by its
// goroutine, and again should it end.
type member[T any] struct {
	group   *Group[T]
	address string
	// Hashes of the address, and of the address with the member's number, for Sticky.
	server, conn uint64

	client atomic.Pointer[client.Client[T]] // nil: there is none yet
	failed atomic.Pointer[failure]          // nil: it is connected, or has not tried

	number uint64 // which Seqs its client has, from 1; 0: it has none. The group's mu protects it
	used   bool   // a client was made that has them, so the next needs others; of the member's goroutine alone

	ctx   context.Context // ends when the address is gone, or with the group
	leave context.CancelFunc
}

// failure is why a member is not connected.
type failure struct {
	err   error
	final bool // as long as the server is as it is
}

func newMember[T any](g *Group[T], address string, i int) *member[T] {
	m := &member[T]{group: g, address: address, server: hash(address), conn: hash(fmt.Sprintf("%s#%d", address, i))}
	m.ctx, m.leave = context.WithCancel(g.ctx)
	return m
}

// isUsable tells whether a new command may go to the member; not to one at the address to
// avoid.
func (m *member[T]) isUsable(avoid string) bool {
	c := m.client.Load()
	return c != nil && c.Connected() && m.address != avoid
}

// load returns how many commands are in flight.
func (m *member[T]) load() int {
	if c := m.client.Load(); c != nil {
		return c.InFlight()
	}
	return 0
}

// run makes the member's client, and another one when it ends, until the member leaves.
// It is the member's goroutine.
func (m *member[T]) run() {
	g := m.group
	defer func() {
		m.leave()
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.all, m)
	}()
	backoff := g.conf.Client.Backoff.WithDefaults()
	for attempt := 0; ; attempt++ {
		inUse := make(chan struct{})
		c, err := m.connect(inUse)
		if err == nil {
			attempt = 0
			err = m.keep(c, inUse)
		}
		if m.ctx.Err() != nil {
			return
		}
		f := &failure{err: err, final: isFinal(err)}
		wait := backoff.Wait(attempt)
		if f.final {
			wait = backoff.Max // the server may be replaced
		}
		m.failed.Store(f)
		g.change()
		m.report(client.StateChange{State: client.Connecting, Err: err, Attempt: attempt + 1, RetryIn: wait})
		if !sleep(m.ctx, wait) {
			return
		}
	}
}

// connect makes a client, whose changes are told once it is inUse. A panic of Conf.Dial is
// an error.
func (m *member[T]) connect(inUse <-chan struct{}) (c *client.Client[T], err error) {
	g := m.group
	defer func() {
		if v := recover(); v != nil {
			c, err = nil, &base.Error{Outcome: base.NotSent, Code: base.ErrPanic, Message: fmt.Sprintf("Dial panicked: %v", v)}
		}
	}()
	conf := g.conf.Client
	conf.FirstSeq = m.firstSeq()
	conf.StateCallback = func(change client.StateChange) {
		<-inUse
		m.changed(change)
	}
	c, err = client.NewReconnect(m.ctx, g.codec, g.conf.Dial(m.address), conf)
	m.used = err == nil
	return c, err
}

// firstSeq returns where the member's next client begins to count: in the Seqs of no other
// member, and not in those of its last client.
func (m *member[T]) firstSeq() base.Seq {
	g := m.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if m.number == 0 || m.used {
		m.number, m.used = g.freeNumber(), false
	}
	return base.Seq((m.number-1)<<seqBits) + 1
}

// freeNumber returns a number that no member has. There are far more than members, and all
// others come before one comes again. The caller holds mu.
func (g *Group[T]) freeNumber() uint64 {
	for {
		g.clients = g.clients%(1<<(63-seqBits)) + 1
		free := true
		for m := range g.all {
			free = free && m.number != g.clients
		}
		if free {
			return g.clients
		}
	}
}

// keep has c serve the group until it ends, which is the error, or the member leaves.
func (m *member[T]) keep(c *client.Client[T], inUse chan<- struct{}) error {
	defer c.Close()
	m.failed.Store(nil)
	m.client.Store(c)
	m.group.change()
	close(inUse)
	select {
	case <-c.Done():
		return c.Err()
	case <-m.ctx.Done():
	}
	for wait := leaveGrace; sleep(m.group.ctx, wait) && c.InFlight() > 0; wait = drainTick {
	}
	return nil
}

// changed hears of the changes of the client's state.
func (m *member[T]) changed(change client.StateChange) {
	if change.Err != nil {
		m.failed.Store(&failure{err: change.Err})
	} else {
		m.failed.Store(nil)
	}
	m.group.change()
	m.report(change)
}

// report tells the user of a change. A panic of the callback is logged.
func (m *member[T]) report(change client.StateChange) {
	g := m.group
	g.logger.Debug("a member of the group is "+change.State.String(), "server", m.address, "error", change.Err, "attempt", change.Attempt, "retry_in", change.RetryIn)
	if g.conf.StateCallback == nil {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			g.logger.Error("StateCallback panicked", "value", v)
		}
	}()
	g.conf.StateCallback(m.address, change)
}

// isFinal tells whether connecting again is of no use while the server, or what was asked
// for, stays as it is.
func isFinal(err error) bool {
	for _, code := range []base.Code{base.ErrConf, base.ErrServerInfo, base.ErrVersion, base.ErrUnauthorized, base.ErrUnsupported} {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}

// hopeless tells whether no member will be connected by waiting.
func hopeless[T any](members []*member[T]) bool {
	for _, m := range members {
		if f := m.failed.Load(); f == nil || !f.final {
			return false
		}
	}
	return true
}

// unconnected is the error of having no member that is connected; cause is why nobody
// waits any more, nil: it is of no use.
func (g *Group[T]) unconnected(cause error) *base.Error {
	members := *g.members.Load()
	e := &base.Error{Outcome: base.NotSent, Code: base.ErrNotConnected, Err: cause}
	e.Message = fmt.Sprintf("none of the group's %d connections is up", len(members))
	for _, m := range members {
		f := m.failed.Load()
		if f == nil {
			continue
		}
		if e.Message += fmt.Sprintf(" (%s: %v)", m.address, f.err); cause == nil {
			var why *base.Error
			if e.Err = f.err; errors.As(f.err, &why) {
				e.Code, e.Err = why.Code, nil // its text is in the message
			}
		}
		break
	}
	return e
}
