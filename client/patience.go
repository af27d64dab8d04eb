package client

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/cmdstream/cmdstream/base"
)

// patience is how long a call is ready to wait until its command is sent: as
// long as its ctx and its deadline allow. The ctx that says so is made only when
// there is something to wait for.
type patience struct {
	clock    *clock
	parent   context.Context
	deadline moment          // when Conf.Timeout is over; 0: never
	fresh    time.Duration   // Conf.Timeout, as long as it has just begun; else 0
	wait     time.Duration   // to be sent, if that is less; 0: for ever
	made     context.Context // nil: not yet
	cancel   context.CancelFunc
}

// begin starts the time of a call, Conf.Timeout, if there is one.
func (p *patience) begin(c *clock, timeout time.Duration) {
	if timeout > 0 {
		p.deadline, p.fresh = c.after(timeout), timeout
	}
}

// ctx returns a ctx that ends when the waiting has to.
func (p *patience) ctx() context.Context {
	p.fresh = 0
	if p.made != nil {
		return p.made
	}
	p.made = p.parent
	until, cause := p.deadline, errDeadline
	if p.wait > 0 {
		if patient := p.clock.after(p.wait); until == 0 || patient < until {
			until, cause = patient, errSendTimeout
		}
	}
	if until != 0 {
		p.made, p.cancel = context.WithDeadlineCause(p.parent, p.clock.time(until), cause)
	}
	return p.made
}

// failed makes the error of a command that was not sent in time: cause is why the
// ctx has ended.
func (p *patience) failed(message string, cause error) *base.Error {
	e := &base.Error{Outcome: base.NotSent, Code: ctxCode(p.ctx()), Message: message, Err: cause}
	switch cause {
	case errDeadline, errSendTimeout:
		e.Message, e.Err = cause.Error()+": "+message, nil
	}
	return e
}

// ctxCode is the code of what ctx has ended by.
func ctxCode(ctx context.Context) base.Code {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return base.ErrDeadline
	}
	return base.ErrCanceled
}

// over is the end of the waiting. The call may be sent once more.
func (p *patience) over() {
	if p.cancel != nil {
		p.cancel()
	}
	p.made, p.cancel = nil, nil
}

// until returns the command's deadline, by its ctx or by Conf.Timeout, and the time that is
// left until then, for the wire; 0: there is none. The clock is not asked for what it has just
// said.
func (p *patience) until() (deadline moment, left time.Duration) {
	deadline, left = p.deadline, p.fresh
	p.fresh = 0
	if d, ok := p.parent.Deadline(); ok {
		byCtx := time.Until(d) // it may be of the wall clock
		if m := p.clock.after(byCtx); deadline == 0 || m < deadline {
			return m, max(byCtx, time.Microsecond)
		}
	}
	if left == 0 {
		left = p.clock.left(deadline)
	}
	return deadline, left
}

// clock counts from when a client was made.
type clock struct{ start time.Time }

// moment is a point in time, in nanoseconds of a clock; 0: none. It is smaller than a
// time.Time, and reckoning with it quicker.
type moment int64

func (c *clock) now() moment { return moment(time.Since(c.start)) }

// after returns the moment that comes after d, which may be negative.
func (c *clock) after(d time.Duration) moment {
	now := c.now()
	return max(now+moment(min(d, math.MaxInt64-time.Duration(now))), 1)
}

func (c *clock) time(m moment) time.Time { return c.start.Add(time.Duration(m)) }

// left returns the time until a deadline, for the wire; 0: there is none.
func (c *clock) left(until moment) time.Duration {
	if until == 0 {
		return 0
	}
	return max(time.Duration(until-c.now()), time.Microsecond)
}

var (
	errDeadline    = errors.New("its time, Conf.Timeout, was over before it was sent")
	errSendTimeout = errors.New("it could not be sent within Conf.SendTimeout")
)
