// Package policy is retries, hedges, circuit breakers, bulkheads and rate limits for
// clients and servers of cmdstream, by github.com/failsafe-go/failsafe-go. A policy is made
// with that library; what it is applied to, this package decides.
//
//	retries := retrypolicy.NewBuilder[base.Result]().WithMaxRetries(3).WithBackoff(20*time.Millisecond, time.Second)
//	breaker := circuitbreaker.NewBuilder[any]().WithFailureThresholdRatio(5, 10).WithDelay(time.Second).Build()
//
//	c := cmdstream.Use(conn, policy.Retry[Calc](retries), policy.Breaker[Calc](breaker))
//	sum, err := cmdstream.Do(ctx, c, Add{2, 3})
//
// The outcome of a command decides what may be done again:
//
//   - NotSent, and Rejected as busy, draining or full: it did not run, so [Retry] sends it
//     again, after the error's RetryAfter at least;
//   - Unknown: only if the command says that it is idempotent, and has no ID: in a session
//     it is the client that sends it again, under the same ID;
//   - Failed, and all else: never.
//
// Each attempt is a command of its own, with an ID of its own where there is a session. A
// command that is idempotent only because it looks its base.CommandID up must not be hedged.
//
// What a policy refuses never left the client: NotSent, base.ErrBusy, with the policy's own
// error in its tree, such as circuitbreaker.ErrOpen. At the server it is Rejected, base.ErrBusy,
// with a RetryAfter: [ServeBreaker], [ServeBulkhead], [ServeRateLimit].
//
// The order matters: in cmdstream.Use(conn, retry, breaker) each attempt asks the breaker.
// Middleware is for Do and Results: the client's own Send and Open pass it by. A client of
// client.NewReconnect waits for its next connection by itself; with FailFast it leaves that to
// the policies.
//
// All middleware here is for many goroutines at once, as its policies are. A nil policy is an
// error of each command, base.ErrConf.
package policy

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
)

// maxRetryAfter bounds the wait that a server can ask for.
const maxRetryAfter = time.Minute

// incurable are the codes of errors that are the same however often a command is sent.
var incurable = []base.Code{
	base.ErrCanceled, base.ErrClosed, base.ErrConf, base.ErrNilCmd, base.ErrUnknownCmd, base.ErrEncode, base.ErrPanic,
	base.ErrUnsupported, base.ErrTooLargeCmd, base.ErrSeveralResults, base.ErrServerInfo, base.ErrVersion,
	base.ErrUnauthorized,
}

// mayRetry tells whether a command that has ended by err may be sent again.
func mayRetry(cmd any, err error) bool {
	var e *base.Error
	if !errors.As(err, &e) || e == nil {
		return false
	}
	switch e.Outcome {
	case base.NotSent:
		return !slices.Contains(incurable, e.Code)
	case base.Rejected:
		return isRefused(e)
	case base.Unknown:
		return !slices.Contains(incurable, e.Code) && e.ID == (base.ID{}) && isIdempotent(cmd)
	}
	return false
}

// isRefused tells whether a server has refused a command for what will be over.
func isRefused(e *base.Error) bool {
	return e.Code == base.ErrBusy || e.Code == base.ErrDraining || e.Code == base.ErrFull
}

// isIdempotent asks a command whether it may run twice. A panic is no.
func isIdempotent(cmd any) (may bool) {
	defer func() { recover() }()
	return base.IsIdempotent(cmd)
}

// mayHaveRun returns err as that of a command of which an earlier, or another, attempt may
// have run.
func mayHaveRun(err error) error {
	var e *base.Error
	if !errors.As(err, &e) || e == nil || e.Outcome != base.NotSent && e.Outcome != base.Rejected {
		return err
	}
	unknown := *e
	unknown.Outcome = base.Unknown
	return &unknown
}

// ctxCode is the code of what ctx has ended by.
func ctxCode(ctx context.Context) base.Code {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return base.ErrDeadline
	}
	return base.ErrCanceled
}

// broken is a middleware that can't work.
func broken[T any](message string) cmdstream.Middleware[T] {
	return around[T](func(_ context.Context, cmd any, _ func() error) error {
		return &base.Error{Outcome: base.NotSent, Code: base.ErrConf, Cmd: base.NameOf(cmd), Message: "policy: " + message}
	})
}

// around is a middleware that has run call each command: command, which returns how it
// ended, or none.
func around[T any](run func(ctx context.Context, cmd any, command func() error) error) cmdstream.Middleware[T] {
	return func(next cmdstream.Client[T]) cmdstream.Client[T] {
		return cmdstream.Calls[T]{
			DoFunc: func(ctx context.Context, cmd base.Cmd[T]) (result base.Result, err error) {
				err = run(ctx, cmd, func() error {
					var err error
					result, err = next.Do(ctx, cmd)
					return err
				})
				return result, err
			},
			ResultsFunc: func(ctx context.Context, cmd base.Cmd[T]) iter.Seq2[base.Result, error] {
				return func(yield func(base.Result, error) bool) {
					left := false
					err := run(ctx, cmd, func() error {
						for result, err := range next.Results(ctx, cmd) {
							if err != nil {
								return err
							}
							if left = !yield(result, nil); left {
								break
							}
						}
						return nil
					})
					if err != nil && !left {
						yield(nil, err)
					}
				}
			},
		}
	}
}
