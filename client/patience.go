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
	parent   context.Context
	deadline time.Time       // when Conf.Timeout is over; zero: never
	wait     time.Duration   // to be sent, if that is less; 0: for ever
	made     context.Context // nil: not yet
	cancel   context.CancelFunc
}

// ctx returns a ctx that ends when the waiting has to.
func (p *patience) ctx() context.Context {
	if p.made != nil {
		return p.made
	}
	p.made = p.parent
	until, cause := p.deadline, errDeadline
	if p.wait > 0 {
		if patient := time.Now().Add(p.wait); until.IsZero() || patient.Before(until) {
			until, cause = patient, errSendTimeout
		}
	}
	if !until.IsZero() {
		p.made, p.cancel = context.WithDeadlineCause(p.parent, until, cause)
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

// until returns the command's deadline; zero: none.
func (p *patience) until() time.Time {
	deadline, ok := p.parent.Deadline()
	if !p.deadline.IsZero() && (!ok || p.deadline.Before(deadline)) {
		return p.deadline
	}
	return deadline
}

// moment is a point in time, in nanoseconds since the client was made; 0: none. A slot
// has some, and they are smaller than a time.Time.
type moment int64

func (c *Client[T]) now() moment { return moment(time.Since(c.start)) }

// moment returns the moment of t, which may be of the wall clock, as it stands now.
func (c *Client[T]) moment(t, now time.Time) moment {
	if t.IsZero() {
		return 0
	}
	since := now.Sub(c.start)
	return moment(since + min(t.Sub(now), math.MaxInt64-since))
}

func (c *Client[T]) time(m moment) time.Time {
	if m == 0 {
		return time.Time{}
	}
	return c.start.Add(time.Duration(m))
}

// left returns the time until a deadline, for the wire; 0: there is none.
func (c *Client[T]) left(until moment) time.Duration {
	if until == 0 {
		return 0
	}
	return max(time.Duration(until-c.now()), time.Microsecond)
}

var (
	errDeadline    = errors.New("its time, Conf.Timeout, was over before it was sent")
	errSendTimeout = errors.New("it could not be sent within Conf.SendTimeout")
)
