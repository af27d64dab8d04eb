package group

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
)

// maxMoves is how often a command goes to another member. It ends what would go on for
// ever, such as members that are connected and lost again at once.
const maxMoves = 32

// call is a command on its way to a member, and to another.
type call[T any] struct {
	group    *Group[T]
	cmd      base.Cmd[T]
	ctx      context.Context // of the next attempt
	cancel   context.CancelFunc
	deadline time.Time // of all attempts; zero: none

	key   string
	keyed bool

	at       *member[T] // where it is
	moves    int
	rejected error  // by a server that was busy or draining
	avoid    string // that server's address
	lost     *base.Error
}

// begin begins a call, which is to take no longer than timeout if that is not 0.
func (g *Group[T]) begin(ctx context.Context, cmd base.Cmd[T], timeout time.Duration) (call[T], error) {
	k := call[T]{group: g, cmd: cmd, ctx: ctx}
	if timeout > 0 {
		k.deadline = time.Now().Add(timeout)
	}
	if g.conf.Strategy != Sticky {
		return k, nil
	}
	var err error
	k.key, k.keyed, err = keyOf(cmd)
	return k, err
}

// keyOf returns the command's key. A panic of its method is an error.
func keyOf[T any](cmd base.Cmd[T]) (key string, keyed bool, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &base.Error{Outcome: base.NotSent, Code: base.ErrPanic, Cmd: base.NameOf(cmd), Message: fmt.Sprintf("its method Key panicked: %v", v)}
		}
	}()
	key, keyed = base.KeyOf(cmd)
	return key, keyed, nil
}

// next returns the client of the member that is next. While none is connected it waits.
// The error ends the call.
func (k *call[T]) next() (*client.Client[T], error) {
	if c := k.pick(); c != nil {
		return c, nil
	}
	for {
		changed, closed := k.group.watch()
		c := k.pick()
		switch {
		case c != nil:
			return c, nil
		case closed:
			return nil, k.ends(k.named(errClosed))
		case k.rejected != nil:
			return nil, k.ends(k.rejected)
		}
		k.bound()
		select {
		case <-changed:
		case <-k.ctx.Done():
			e := k.group.unconnected(context.Cause(k.ctx))
			if e.Code = base.ErrCanceled; errors.Is(k.ctx.Err(), context.DeadlineExceeded) {
				e.Code = base.ErrDeadline
			}
			return nil, k.ends(k.named(e))
		}
	}
}

// pick returns the client of the member that the strategy takes; nil: none is connected.
func (k *call[T]) pick() *client.Client[T] {
	if k.at = k.group.pick(k.key, k.keyed, k.avoid); k.at == nil {
		return nil
	}
	return k.at.client.Load()
}

// named returns a copy of err that tells the command.
func (k *call[T]) named(err *base.Error) error {
	e := *err
	e.Cmd = base.NameOf(k.cmd)
	return &e
}

// bound makes the call's ctx end at its deadline. It is made only when there is something
// to wait for: a client has the same deadline of its own, which costs nothing.
func (k *call[T]) bound() {
	if k.cancel == nil && !k.deadline.IsZero() {
		k.ctx, k.cancel = context.WithDeadlineCause(k.ctx, k.deadline, errTimeout)
	}
}

var errTimeout = errors.New("its time, Timeout or SendTimeout of Conf.Client, is over")

// again tells whether the command, which has ended by err at c, goes to another member. The
// caller has taken no result of it.
func (k *call[T]) again(c *client.Client[T], err error) bool {
	var e *base.Error
	if !errors.As(err, &e) || e == nil || k.group.ctx.Err() != nil || k.moves == maxMoves {
		return false
	}
	switch e.Outcome {
	case base.NotSent: // for want of a connection, and not by its caller or codec
		if e.Code != base.ErrNotConnected && c.Err() == nil || e.Code == base.ErrCanceled || e.Code == base.ErrDeadline {
			return false
		}
	case base.Rejected:
		if e.Code != base.ErrBusy && e.Code != base.ErrDraining || k.rejected != nil {
			return false
		}
		k.rejected, k.avoid = err, k.at.address
	case base.Unknown: // with an ID it is known by that, and must not get another
		if e.Remote || e.Code != base.ErrConnLost || e.ID != (base.ID{}) || !k.isIdempotent() {
			return false
		}
		k.lost = e
	default:
		return false
	}
	k.moves++
	k.bound()
	return true
}

// isIdempotent asks the command whether it may run twice. A panic is no.
func (k *call[T]) isIdempotent() (may bool) {
	defer func() {
		if v := recover(); v != nil {
			k.group.logger.Error("Idempotent panicked", "value", v)
		}
	}()
	return base.IsIdempotent(k.cmd)
}

// ends returns err as the end of the call: if the command may have run at an earlier
// member, it must not say that it has not.
func (k *call[T]) ends(err error) error {
	if err == nil || k.lost == nil {
		return err // before e is made, which takes memory
	}
	var e *base.Error
	if !errors.As(err, &e) || e == nil || e.Outcome != base.NotSent && e.Outcome != base.Rejected {
		return err
	}
	unknown := *e
	unknown.Outcome, unknown.Seq = base.Unknown, k.lost.Seq
	return &unknown
}

// over is the end of the call.
func (k *call[T]) over() {
	if k.cancel != nil {
		k.cancel()
	}
}
