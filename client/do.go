package client

import (
	"context"
	"errors"

	"github.com/cmdstream/cmdstream/base"
)

// Do sends cmd and returns its one result. ctx and Conf.Timeout bound it; the
// server is told of both.
//
// The error is an *base.Error; base.OutcomeOf tells what became of the command.
// A command that sends several results is base.ErrSeveralResults, and canceled.
func (c *Client[T]) Do(ctx context.Context, cmd base.Cmd[T]) (base.Result, error) {
	s, deadline, err := c.sendOne(ctx, cmd)
	if err != nil {
		return nil, err
	}
	l := s.link
	result, err := s.result(ctx)
	if err != nil {
		return c.redo(ctx, cmd, deadline, l, err)
	}
	return result, nil
}

// sendOne sends the command of a Do. It returns its deadline, too, by Conf.Timeout. The call is not
// kept meanwhile, so that the codec has more of a small stack.
func (c *Client[T]) sendOne(ctx context.Context, cmd base.Cmd[T]) (*slot[T], moment, error) {
	k := call[T]{cmd: cmd, owner: waiting}
	k.begin(&c.clock, c.conf.Timeout)
	s, _, err := c.send(ctx, &k)
	return s, k.deadline, err
}

// redo sends the command of a Do once more, which has ended with err, if it may, over a link that
// comes after l.
func (c *Client[T]) redo(ctx context.Context, cmd base.Cmd[T], deadline moment, l *link[T], err error) (base.Result, error) {
	k := call[T]{cmd: cmd, owner: waiting}
	k.deadline = deadline
	for c.again(l, &k, err) {
		s, _, failure := c.send(ctx, &k)
		if failure != nil {
			return nil, k.ends(failure)
		}
		l = s.link
		var result base.Result
		if result, err = s.result(ctx); err == nil {
			return result, nil
		}
	}
	return nil, k.ends(err)
}

// again tells whether a command of which no result was taken is sent once more, and
// readies its call for that.
func (c *Client[T]) again(l *link[T], k *call[T], err error) bool {
	may := c.mayGoAgain(l, k, err)
	if may {
		c.counters.sentAgain.Add(1)
	}
	return may
}

// mayGoAgain is true where the link has ended before the command was written, or its
// server was draining; or the command does no harm if it runs twice, which is noted then.
func (c *Client[T]) mayGoAgain(l *link[T], k *call[T], err error) bool {
	var e *base.Error
	if l.end() == nil || !c.goesOn() || !errors.As(err, &e) || e == nil {
		return false
	}
	switch e.Outcome {
	case base.NotSent:
		return e.Code != base.ErrCanceled && e.Code != base.ErrDeadline // by its caller
	case base.Rejected:
		return e.Code == base.ErrDraining
	case base.Unknown:
		if e.Remote || e.Code != base.ErrConnLost && e.Code != base.ErrSessionLost || !c.isIdempotent(k.cmd) {
			return false
		}
		if c.conf.FailFast && e.ID == (base.ID{}) {
			return false // its sender has better places for it
		}
		k.seq, k.mayHaveRun = e.Seq, true
		if e.ID != (base.ID{}) {
			k.origin = &e.ID
		}
		return true
	}
	return false
}

// isIdempotent asks a command whether it may run twice. A panic is no.
func (c *Client[T]) isIdempotent(cmd base.Cmd[T]) (may bool) {
	c.guard("Idempotent", func() { may = base.IsIdempotent(cmd) })
	return may
}

// ends returns err as the end of the call: of a command that was sent before, and may
// have run then, it must not say that it has not.
func (k *call[T]) ends(err error) error {
	if !k.mayHaveRun {
		return err
	}
	var id base.ID
	if k.origin != nil {
		id = *k.origin
	}
	return mayHaveRun(err, k.seq, id)
}

// result waits for the command's one result, and leaves the slot.
func (s *slot[T]) result(ctx context.Context) (base.Result, error) {
	signaled, over := s.readOwn(ctx)
	if !signaled {
		over = s.pause(ctx)
	}
	mine, ended, failure := s.wait(ctx, over)
	if !mine {
		return nil, failure
	}
	result, last, err, ok := s.pop()
	switch {
	case !ok:
		s.link.release(s)
		return nil, failure
	case !last && err == nil:
		result, err = nil, s.several()
	}
	s.leave(ended)
	return result, err
}

// breakOff leaves the slot of a Do whose goroutine is ended by the codec, or by the command that is
// asked for its name. Others than a Do, which may get several results, see to that themselves.
func (s *slot[T]) breakOff() {
	s.mu.Lock()
	one := s.owner == waiting && s.granted == 1
	s.mu.Unlock()
	if one {
		s.leave(false)
	}
}

func (s *slot[T]) several() error {
	return s.wrap(base.Unknown, base.ErrSeveralResults, "it sends several results: use Results or Send", nil)
}

// leave is the end of an owner: the slot is released, if its command has ended, which ended
// says where it is known, or given up.
func (s *slot[T]) leave(ended bool) {
	s.handedOver()
	if !ended {
		if _, left := s.giveUp(); left {
			return
		}
	}
	s.link.release(s)
}

// wait waits until out holds something or the command has ended; err is how, if
// not by a last result. If the command's time is over, or ctx ends, before, it
// gives the command up: then mine is false, for the slot is the owner's no more. over is what
// pause has returned, if it was called before.
func (s *slot[T]) wait(ctx context.Context, over bool) (mine, ended bool, err *base.Error) {
	for {
		ended, expired, err := s.take(over)
		switch {
		case len(s.out.items) > 0 || ended:
			if err != nil {
				err = s.named(err)
			}
			return true, ended, err
		case expired:
			err = s.wrap(base.Unknown, base.ErrDeadline, "its time, Conf.Timeout, is over", nil)
		case ctx.Err() != nil:
			err = s.wrap(base.Unknown, ctxCode(ctx), "its ctx ended while it was open", context.Cause(ctx))
		}
		if err != nil {
			if outcome, left := s.giveUp(); left {
				return false, false, withOutcome(err, outcome)
			}
			continue // what has just come counts first
		}
		over = s.pause(ctx)
	}
}

// pause waits until something has changed, or ctx has ended. It returns true if it knows that
// nothing will change any more.
func (s *slot[T]) pause(ctx context.Context) (over bool) {
	s.link.beRead(s)
	if ctx.Done() == nil {
		return <-s.ready
	}
	select {
	case over = <-s.ready:
	case <-ctx.Done():
	}
	return over
}
