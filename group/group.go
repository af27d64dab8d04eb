// Package group makes several connections, to one server or to many, one client.
//
//	g, err := group.New(ctx, set.Client(), group.Conf{
//		Servers:  group.Static("10.0.0.1:9000", "10.0.0.2:9000"),
//		Strategy: group.LeastInFlight,
//	})
//	sum, err := cmdstream.Do(ctx, g, Add{2, 3})
//
// Each connection is a member, a client.Client that connects again by itself. One that is
// not connected is skipped until it is again; while none is, commands wait, as with a
// client of client.NewReconnect. The servers' addresses are given, or looked up again and
// again: see [Static], [DNS] and [Lookup].
//
// A command that did not leave its member, since that has no connection any more, goes to
// another one. So does, once, a command that a server has refused as busy or draining, if
// another server is connected. A command that may have run stays where it was, and ends as
// Unknown, unless it says that it is idempotent.
package group

import (
	"context"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
)

// closeGrace is how long Close waits. Members close within a second; only a dialer or a
// lookup that does not heed its ctx takes longer.
const closeGrace = 2 * time.Second

// Group sends commands over several connections. It is safe for concurrent use.
type Group[T any] struct {
	codec  client.Codec[T]
	conf   Conf
	logger *slog.Logger

	members atomic.Pointer[[]*member[T]] // for new commands; what it points to never changes
	turn    atomic.Uint64                // of RoundRobin

	ctx    context.Context // ends with the group
	cancel context.CancelFunc
	done   chan struct{} // closed with the group
	ended  chan struct{} // closed when its last goroutine has ended

	mu      sync.Mutex              // protects what follows
	all     map[*member[T]]struct{} // also those that only finish what they have
	changed chan struct{}           // closed, and replaced, when a member may have come up or gone for good
	clients uint64                  // the number that was given last, see member.number
	running int                     // goroutines
	closed  bool
}

// New returns a group once one of its members is connected; the others go on connecting.
//
// The error is an *base.Error: base.ErrConf for a Conf that can't be used; base.ErrNotConnected
// if the servers' addresses can't be found, or no member is connected when ctx ends. A ctx
// without a deadline is given [DefaultConnectTimeout]. It is an error at once if all members
// fail for a reason that waiting can't mend, such as base.ErrServerInfo. Beyond that ctx has no
// effect on the group.
func New[T any](ctx context.Context, codec client.Codec[T], conf Conf) (*Group[T], error) {
	if codec == nil {
		return nil, confError("the codec is nil")
	}
	conf, err := conf.withDefaults()
	if err != nil {
		return nil, err
	}
	if _, ok := ctx.Deadline(); !ok {
		limited, cancel := context.WithTimeout(ctx, DefaultConnectTimeout)
		defer cancel()
		ctx = limited
	}
	addresses, err := conf.Servers.first(ctx)
	if err != nil {
		return nil, err
	}
	g := &Group[T]{
		codec: codec, conf: conf, logger: conf.Client.Logger,
		done: make(chan struct{}), ended: make(chan struct{}),
		all: make(map[*member[T]]struct{}), changed: make(chan struct{}),
	}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.update(addresses)
	if conf.Servers.refresh > 0 {
		g.mu.Lock()
		g.goLocked(g.refresh)
		g.mu.Unlock()
	}
	if err := g.connect(ctx); err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

// connect waits until a member is connected.
func (g *Group[T]) connect(ctx context.Context) error {
	for {
		changed, _ := g.watch()
		members := *g.members.Load()
		if nth(members, "", 0) != nil {
			return nil
		}
		if hopeless(members) {
			return g.unconnected(nil)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return g.unconnected(context.Cause(ctx))
		}
	}
}

// Do sends cmd to a member and returns its one result, as client.Client.Do does.
func (g *Group[T]) Do(ctx context.Context, cmd base.Cmd[T]) (base.Result, error) {
	k, err := g.begin(ctx, cmd, g.conf.Client.Timeout)
	if err != nil {
		return nil, err
	}
	defer k.over()
	for {
		c, err := k.next()
		if err != nil {
			return nil, err
		}
		result, err := c.Do(k.ctx, cmd)
		if err == nil || !k.again(c, err) {
			return result, k.ends(err)
		}
	}
}

// Results sends cmd to a member when the loop over it begins, and yields its results, as
// client.Client.Results does. Once one has come, the command stays where it is.
func (g *Group[T]) Results(ctx context.Context, cmd base.Cmd[T]) iter.Seq2[base.Result, error] {
	return func(yield func(base.Result, error) bool) {
		k, err := g.begin(ctx, cmd, g.conf.Client.Timeout)
		if err != nil {
			yield(nil, err)
			return
		}
		defer k.over()
		for again := true; again; {
			c, err := k.next()
			if err != nil {
				yield(nil, err)
				return
			}
			again = false
			yielded := false
			for result, err := range c.Results(k.ctx, cmd) {
				if again = err != nil && !yielded && k.again(c, err); again {
					break
				}
				yielded = true
				if !yield(result, k.ends(err)) {
					return
				}
			}
		}
	}
}

// Send sends cmd to a member and returns its Seq, as client.Client.Send does: what comes of
// it goes into results. The Seq is the group's own: no other command that is open has it,
// and the results carry it. Seqs of one member rise by one, and those of two are far apart.
//
// Once Send has returned the command stays with its member. If that is lost before the
// command went out, it waits for up to Conf.Client.SendTimeout to be connected again.
func (g *Group[T]) Send(cmd base.Cmd[T], results chan<- base.AsyncResult) (base.Seq, error) {
	if results == nil {
		return 0, &base.Error{Outcome: base.NotSent, Code: base.ErrNilResults, Cmd: base.NameOf(cmd), Message: "the results channel is nil"}
	}
	patience := g.conf.Client.SendTimeout
	if timeout := g.conf.Client.Timeout; timeout > 0 {
		patience = min(patience, timeout)
	}
	k, err := g.begin(context.Background(), cmd, patience)
	if err != nil {
		return 0, err
	}
	defer k.over()
	for {
		c, err := k.next()
		if err != nil {
			return 0, err
		}
		seq, err := c.Send(cmd, results)
		if err == nil || !k.again(c, err) {
			return seq, k.ends(err)
		}
	}
}

// Open sends cmd to a member; it may then be sent inputs while it runs, as with
// client.Client.Open. From then on it stays with that member.
func (g *Group[T]) Open(ctx context.Context, cmd base.Cmd[T]) (base.Call, error) {
	k, err := g.begin(ctx, cmd, g.conf.Client.Timeout)
	if err != nil {
		return nil, err
	}
	for {
		c, err := k.next()
		if err != nil {
			k.over()
			return nil, err
		}
		open, err := c.Open(k.ctx, cmd)
		if err == nil {
			return open, nil // k.ctx, if it is the call's own, is the Call's now, and ends in time
		}
		if !k.again(c, err) {
			k.over()
			return nil, k.ends(err)
		}
	}
}

// Has reports whether the command seq is open at a member, as client.Client.Has does.
func (g *Group[T]) Has(seq base.Seq) bool {
	for _, c := range g.open() {
		if c.Has(seq) {
			return true
		}
	}
	return false
}

// Forget makes the group wait no longer for the results of a command of Send, as
// client.Client.Forget does.
func (g *Group[T]) Forget(seq base.Seq) {
	for _, c := range g.open() {
		c.Forget(seq)
	}
}

// open returns the clients on which a command may be open.
func (g *Group[T]) open() (clients []*client.Client[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for m := range g.all {
		if c := m.client.Load(); c != nil {
			clients = append(clients, c)
		}
	}
	return clients
}

// Done is closed when the group was closed. It has no other end: a member that can't
// connect now may be able to later.
func (g *Group[T]) Done() <-chan struct{} { return g.done }

// Err returns base.ErrClosed once the group was closed, and nil before.
func (g *Group[T]) Err() error {
	if g.ctx.Err() == nil {
		return nil
	}
	return errClosed
}

var errClosed = &base.Error{Outcome: base.NotSent, Code: base.ErrClosed, Message: "the group was closed"}

// Close closes all members, as client.Client.Close does, and waits for them: less than
// two seconds in all. It may be called again; the error is nil.
func (g *Group[T]) Close() error {
	g.mu.Lock()
	if !g.closed {
		g.closed = true
		g.cancel()
		close(g.done)
		g.changeLocked()
		if g.running == 0 {
			close(g.ended)
		}
	}
	g.mu.Unlock()
	timer := time.NewTimer(closeGrace)
	defer timer.Stop()
	select {
	case <-g.ended:
	case <-timer.C:
	}
	return nil
}

// goLocked calls f in a goroutine of the group, for which Close waits. The caller holds mu,
// and the group is not closed.
func (g *Group[T]) goLocked(f func()) {
	g.running++
	go func() {
		defer func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			if g.running--; g.running == 0 && g.closed {
				close(g.ended)
			}
		}()
		f()
	}()
}

// watch returns a channel that is closed with the next change, and whether the group is
// closed.
func (g *Group[T]) watch() (changed <-chan struct{}, closed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.changed, g.closed
}

// change wakes those who wait for a member.
func (g *Group[T]) change() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.changeLocked()
}

func (g *Group[T]) changeLocked() {
	close(g.changed)
	g.changed = make(chan struct{})
}
