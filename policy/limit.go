package policy

import (
	"context"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/bulkhead"
	"github.com/failsafe-go/failsafe-go/ratelimiter"
)

// Bulkhead sends a command while fewer than the bulkhead allows are open. A loop of Results
// is one until its end. What finds no place, within the policy's MaxWaitTime, ends as
// NotSent, base.ErrBusy.
func Bulkhead[T, R any](b bulkhead.Bulkhead[R]) cmdstream.Middleware[T] {
	if b == nil {
		return broken[T]("the Bulkhead is nil")
	}
	return limited[T](failsafe.With[R](b), b.ReleasePermit)
}

// RateLimit sends as many commands in a time as the limiter allows. What would have to wait
// for longer than the policy's MaxWaitTime ends as NotSent, base.ErrBusy.
func RateLimit[T, R any](limiter ratelimiter.RateLimiter[R]) cmdstream.Middleware[T] {
	if limiter == nil {
		return broken[T]("the RateLimiter is nil")
	}
	return limited[T](failsafe.With[R](limiter), func() {})
}

func limited[T, R any](executor failsafe.Executor[R], release func()) cmdstream.Middleware[T] {
	return around[T](func(ctx context.Context, cmd any, command func() error) error {
		err, refused := within(ctx, executor, release, command)
		if refused != nil {
			return refusalBy(ctx, base.NotSent, base.NameOf(cmd), refused, 0)
		}
		return err
	})
}

// within calls command in an execution of failsafe, if the policy lets it: else refused is
// why not. release gives the policy's permit back where failsafe does not, after a panic.
func within[R any](ctx context.Context, executor failsafe.Executor[R], release func(), command func() error) (err, refused error) {
	begun := false
	failed := executor.WithContext(ctx).Run(func() error {
		begun = true
		returned := false
		defer func() {
			if !returned {
				release()
			}
		}()
		err = command()
		returned = true
		return nil
	})
	if begun {
		return err, nil
	}
	return nil, failed
}

// refusal is the error of a command that a policy refuses, for a reason of failsafe's.
func refusal(outcome base.Outcome, cmd string, reason error, retryAfter time.Duration) *base.Error {
	return &base.Error{
		Outcome: outcome, Code: base.ErrBusy, Cmd: cmd,
		Message: "a policy has refused it", Err: reason, RetryAfter: retryAfter,
	}
}

// refusalBy is refusal, unless the reason is the end of ctx.
func refusalBy(ctx context.Context, outcome base.Outcome, cmd string, reason error, retryAfter time.Duration) *base.Error {
	if reason != ctx.Err() {
		return refusal(outcome, cmd, reason, retryAfter)
	}
	return &base.Error{Outcome: outcome, Code: ctxCode(ctx), Cmd: cmd, Message: "its ctx ended while it waited for a policy", Err: context.Cause(ctx)}
}
