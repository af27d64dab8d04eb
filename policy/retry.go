package policy

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
)

// Retry sends commands again that have failed, as often and after such delays as the policy
// that retries builds says; nil: two times, after 20 ms and more, with jitter. What the
// policy would retry, but the outcome does not allow, is not retried: see the package. The
// policy's own conditions, such as HandleErrors, narrow that further.
//
// If the server has asked for time, by RetryAfter, at least that passes, a minute at most; and
// if the ctx has a deadline before that, the command ends at once. The policy's MaxDuration
// does not cut that wait short: it is looked at after an attempt, so it may be exceeded by one
// such wait and the attempt that follows. What must end in time needs a ctx with a deadline.
//
// A loop of Results is begun anew only while it has yielded nothing. The error is that of the
// last attempt, unless ctx has ended before another: that matches the ctx's error, too.
func Retry[T any](retries retrypolicy.Builder[base.Result]) cmdstream.Middleware[T] {
	if retries == nil {
		retries = retrypolicy.NewBuilder[base.Result]().WithBackoff(20*time.Millisecond, time.Second).WithJitterFactor(0.5)
	}
	executor := failsafe.With(retries.AbortIf(isOver).Build())
	return func(next cmdstream.Client[T]) cmdstream.Client[T] {
		return cmdstream.Calls[T]{
			DoFunc: func(ctx context.Context, cmd base.Cmd[T]) (base.Result, error) {
				r := retrying{ctx: ctx, cmd: cmd}
				executor.WithContext(ctx).Get(func() (base.Result, error) {
					return r.attempt(func() (base.Result, error) { return next.Do(ctx, cmd) })
				})
				return r.result, r.end()
			},
			ResultsFunc: func(ctx context.Context, cmd base.Cmd[T]) iter.Seq2[base.Result, error] {
				return func(yield func(base.Result, error) bool) {
					r := retrying{ctx: ctx, cmd: cmd}
					left := false
					executor.WithContext(ctx).Get(func() (base.Result, error) {
						return r.attempt(func() (base.Result, error) {
							for result, err := range next.Results(ctx, cmd) {
								if err != nil {
									return nil, err
								}
								r.yielded = true
								if left = !yield(result, nil); left {
									break
								}
							}
							return nil, nil
						})
					})
					if err := r.end(); err != nil && !left {
						yield(nil, err)
					}
				}
			},
		}
	}
}

// attempt is the error of an attempt, as the policy sees it.
type attempt struct {
	error
	over bool // there must not be another
}

func (a attempt) Unwrap() error { return a.error }

// isOver is a condition of the policy to abort.
func isOver(_ base.Result, err error) bool {
	var a attempt
	return errors.As(err, &a) && a.over
}

// retrying is a command that is sent again and again. The policy's own result is not used:
// it would lose one that came as the ctx ended.
type retrying struct {
	ctx     context.Context
	cmd     any
	yielded bool // a result was handed out

	made   int // attempts
	result base.Result
	err    error // of the last attempt
	again  bool  // it may be sent again
	lost   bool  // an earlier attempt may have run
	after  time.Time
}

// attempt makes one, unless there must not be another.
func (r *retrying) attempt(do func() (base.Result, error)) (base.Result, error) {
	if r.made > 0 && (!r.again || !r.wait()) {
		return r.outcome()
	}
	r.made++
	r.lost = r.lost || r.err != nil && base.OutcomeOf(r.err) == base.Unknown
	r.result, r.err = do()
	r.again = r.err != nil && !r.yielded && mayRetry(r.cmd, r.err)
	var e *base.Error
	if r.again && errors.As(r.err, &e) && e.RetryAfter > 0 {
		r.after = time.Now().Add(min(e.RetryAfter, maxRetryAfter))
		if deadline, ok := r.ctx.Deadline(); ok && deadline.Before(r.after) {
			r.again = false
		}
	}
	return r.outcome()
}

// outcome is what the policy is told of the last attempt.
func (r *retrying) outcome() (base.Result, error) {
	if r.err == nil {
		return r.result, nil
	}
	return nil, attempt{r.err, !r.again}
}

// wait waits for as long as the server has asked for. It returns false if ctx ends.
func (r *retrying) wait() bool {
	timer := time.NewTimer(time.Until(r.after))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.ctx.Done():
	}
	return r.ctx.Err() == nil
}

// end is how the command ended.
func (r *retrying) end() error {
	err := r.err
	if r.again && r.ctx.Err() != nil && !errors.Is(err, r.ctx.Err()) {
		err = &base.Error{
			Outcome: base.OutcomeOf(err), Code: ctxCode(r.ctx), Cmd: base.NameOf(r.cmd),
			Message: "its ctx ended before it was sent again", Err: err,
		}
	}
	if r.lost {
		return mayHaveRun(err)
	}
	return err
}
