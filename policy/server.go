package policy

import (
	"context"
	"errors"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/bulkhead"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/ratelimiter"
)

// ServeBulkhead runs a command while fewer than the bulkhead allows are running. What finds
// no place, within the policy's MaxWaitTime, is Rejected as base.ErrBusy, and its client told
// to try again after retryAfter; 0: it is not told when. It is for server.Conf.Use.
func ServeBulkhead[T, R any](b bulkhead.Bulkhead[R], retryAfter time.Duration) handler.Middleware[T] {
	if b == nil {
		return brokenServer[T]("the Bulkhead is nil")
	}
	return serveLimited[T](failsafe.With[R](b), b.ReleasePermit, retryAfter)
}

// ServeRateLimit runs as many commands in a time as the limiter allows. What would have to
// wait for longer than the policy's MaxWaitTime is Rejected as base.ErrBusy, as with
// [ServeBulkhead].
func ServeRateLimit[T, R any](limiter ratelimiter.RateLimiter[R], retryAfter time.Duration) handler.Middleware[T] {
	if limiter == nil {
		return brokenServer[T]("the RateLimiter is nil")
	}
	return serveLimited[T](failsafe.With[R](limiter), func() {}, retryAfter)
}

func serveLimited[T, R any](executor failsafe.Executor[R], release func(), retryAfter time.Duration) handler.Middleware[T] {
	return func(next handler.Invoker[T]) handler.Invoker[T] {
		return handler.InvokerFunc[T](func(ctx context.Context, at time.Time, seq base.Seq, cmd base.Cmd[T], proxy base.Proxy) error {
			err, refused := within(ctx, executor, release, func() error { return next.Invoke(ctx, at, seq, cmd, proxy) })
			if refused != nil {
				return refusalBy(ctx, base.Rejected, "", refused, retryAfter)
			}
			return err
		})
	}
}

// ServeBreaker runs commands while a circuit breaker is closed, and is for what they depend
// on, such as a database: failed says which errors of theirs tell that this is in trouble. nil:
// a deadline that has passed, and an *base.Error in the error's tree that [Breaker] would count,
// such as that of a command that they have sent themselves. A panic counts, too. The breaker's
// own conditions are not asked.
//
// While the breaker is open a command is Rejected as base.ErrBusy, and its client told when the
// breaker will let one through. A command that its client gives up counts as a success, but as a
// failure while the breaker is half open.
func ServeBreaker[T, R any](breaker circuitbreaker.CircuitBreaker[R], failed func(err error) bool) handler.Middleware[T] {
	if breaker == nil {
		return brokenServer[T]("the CircuitBreaker is nil")
	}
	return func(next handler.Invoker[T]) handler.Invoker[T] {
		return handler.InvokerFunc[T](func(ctx context.Context, at time.Time, seq base.Seq, cmd base.Cmd[T], proxy base.Proxy) error {
			if !breaker.TryAcquirePermit() {
				return refusal(base.Rejected, "", circuitbreaker.ErrOpen, untilOpen(breaker.RemainingDelay()))
			}
			p := permit[R]{breaker: breaker}
			defer p.record(failure) // unless it returns
			err := next.Invoke(ctx, at, seq, cmd, proxy)
			p.record(servedVerdict(ctx, err, failed))
			return err
		})
	}
}

// servedVerdict judges how a command of a server has ended.
func servedVerdict(ctx context.Context, err error, failed func(err error) bool) verdict {
	switch {
	case err == nil:
		return success
	case errors.Is(ctx.Err(), context.Canceled):
		return nothing
	case failed != nil && failed(err), failed == nil && (errors.Is(err, context.DeadlineExceeded) || verdictOf(err) == failure):
		return failure
	}
	return success
}

// brokenServer is a middleware that can't work.
func brokenServer[T any](message string) handler.Middleware[T] {
	return func(handler.Invoker[T]) handler.Invoker[T] {
		return handler.InvokerFunc[T](func(context.Context, time.Time, base.Seq, base.Cmd[T], base.Proxy) error {
			return &base.Error{Outcome: base.Rejected, Code: base.ErrConf, Message: "policy: " + message}
		})
	}
}
