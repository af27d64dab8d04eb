package policy

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

// halfOpenRetry is when to try again while a breaker lets only a few commands through.
const halfOpenRetry = 100 * time.Millisecond

// Breaker sends commands while a circuit breaker is closed. A failure is what tells of a
// server, or a network, in trouble: NotSent for want of a connection, Unknown, a deadline that
// has passed, and Rejected as busy, draining or full. All else says that the server is alive,
// an error of the command itself above all. The breaker's own conditions, such as
// HandleErrors, are not asked.
//
// While the breaker is open a command ends as NotSent, base.ErrBusy; RetryAfter is when the
// breaker will let one through. A loop of Results has succeeded with its first result. A
// command that its caller gives up shows nothing: it counts as a success, but as a failure
// while the breaker is half open.
func Breaker[T, R any](breaker circuitbreaker.CircuitBreaker[R]) cmdstream.Middleware[T] {
	if breaker == nil {
		return broken[T]("the CircuitBreaker is nil")
	}
	return func(next cmdstream.Client[T]) cmdstream.Client[T] {
		refused := func(cmd any) error {
			return refusal(base.NotSent, base.NameOf(cmd), circuitbreaker.ErrOpen, untilOpen(breaker.RemainingDelay()))
		}
		return cmdstream.Calls[T]{
			DoFunc: func(ctx context.Context, cmd base.Cmd[T]) (base.Result, error) {
				if !breaker.TryAcquirePermit() {
					return nil, refused(cmd)
				}
				p := permit[R]{breaker: breaker}
				defer p.end()
				result, err := next.Do(ctx, cmd)
				p.record(verdictOf(err))
				return result, err
			},
			ResultsFunc: func(ctx context.Context, cmd base.Cmd[T]) iter.Seq2[base.Result, error] {
				return func(yield func(base.Result, error) bool) {
					if !breaker.TryAcquirePermit() {
						yield(nil, refused(cmd))
						return
					}
					p := permit[R]{breaker: breaker}
					defer p.end()
					for result, err := range next.Results(ctx, cmd) {
						p.record(verdictOf(err))
						if !yield(result, err) {
							return
						}
					}
				}
			},
		}
	}
}

// untilOpen is the RetryAfter of a breaker that has so much of its delay left.
func untilOpen(left time.Duration) time.Duration {
	if left <= 0 {
		return halfOpenRetry
	}
	return left
}

// verdict is what a command says of the server.
type verdict uint8

const (
	success verdict = iota
	failure
	nothing
)

// verdictOf judges how a command of a client has ended.
func verdictOf(err error) verdict {
	if err == nil {
		return success
	}
	var e *base.Error
	switch {
	case !errors.As(err, &e) || e == nil || e.Outcome == base.Failed:
		return success
	case e.Code == base.ErrCanceled || e.Code == base.ErrClosed:
		return nothing
	case e.Outcome == base.Rejected && !isRefused(e) && e.Code != base.ErrDeadline, slices.Contains(incurable, e.Code):
		return success
	}
	return failure
}

// permit is a command that a breaker has let through: the breaker has to hear of it, once.
type permit[R any] struct {
	breaker  circuitbreaker.CircuitBreaker[R]
	recorded bool
}

func (p *permit[R]) record(v verdict) {
	if p.recorded {
		return
	}
	p.recorded = true
	if v == failure || v == nothing && p.breaker.IsHalfOpen() {
		p.breaker.RecordFailure()
		return
	}
	p.breaker.RecordSuccess()
}

// end is for what has ended without a verdict: a loop that was left, a panic.
func (p *permit[R]) end() { p.record(nothing) }
