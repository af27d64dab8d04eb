package policy

import (
	"context"
	"fmt"
	"sync"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/hedgepolicy"
)

// Hedge sends a command of Do once more when it takes longer than the policy's delay, and
// takes the answer that comes first; the others are canceled. It does so with commands that
// say that they are idempotent, and with no others. It is of use where the attempts meet
// different servers, as with a group that is not sticky.
//
// Unless the policy has conditions of its own, an error that comes first counts as well. With
// CancelIf(func(_ base.Result, err error) bool { return err == nil }) the first success does.
func Hedge[T any](hedges hedgepolicy.HedgePolicy[base.Result]) cmdstream.Middleware[T] {
	if hedges == nil {
		return broken[T]("the HedgePolicy is nil")
	}
	executor := failsafe.With[base.Result](hedges)
	return func(next cmdstream.Client[T]) cmdstream.Client[T] {
		return cmdstream.Calls[T]{
			ResultsFunc: next.Results,
			DoFunc: func(ctx context.Context, cmd base.Cmd[T]) (base.Result, error) {
				if !isIdempotent(cmd) {
					return next.Do(ctx, cmd)
				}
				var h hedged
				result, err := executor.WithContext(ctx).GetWithExecution(func(exec failsafe.Execution[base.Result]) (base.Result, error) {
					h.begin()
					result, err := do(exec.Context(), next, cmd)
					h.note(result, err)
					return result, err
				})
				return h.end(ctx, cmd, result, err)
			},
		}
	}
}

// do is next.Do in a goroutine of failsafe's: a panic, which would end the process there, is
// an error.
func do[T any](ctx context.Context, next cmdstream.Client[T], cmd base.Cmd[T]) (result base.Result, err error) {
	defer func() {
		if v := recover(); v != nil {
			result, err = nil, &base.Error{Code: base.ErrPanic, Cmd: base.NameOf(cmd), Message: fmt.Sprintf("middleware panicked: %v", v)}
		}
	}()
	return next.Do(ctx, cmd)
}

// hedged is the attempts of a command that go on at once.
type hedged struct {
	mu       sync.Mutex // protects what follows
	begun    int
	harmless int         // have ended, and did not run
	result   base.Result // that came last, without an error
	err      error       // the last
}

func (h *hedged) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.begun++
}

func (h *hedged) note(result base.Result, err error) {
	outcome := base.OutcomeOf(err) // which asks the error, and so not under the lock
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil:
		h.result = result
		return
	case outcome == base.NotSent || outcome == base.Rejected:
		h.harmless++
	}
	h.err = err
}

// end is how the command ended: by what the policy has chosen, or, if that is nothing but the
// end of ctx, by what has come.
func (h *hedged) end(ctx context.Context, cmd any, result base.Result, err error) (base.Result, error) {
	h.mu.Lock()
	came, failed, all := h.result, h.err, h.harmless == h.begun
	h.mu.Unlock()
	if err != nil && err == ctx.Err() {
		switch {
		case came != nil:
			return came, nil
		case failed != nil:
			err = failed
		default:
			err = &base.Error{Code: ctxCode(ctx), Cmd: base.NameOf(cmd), Message: "its ctx ended while it was open", Err: context.Cause(ctx)}
		}
	}
	if !all { // have ended, and did not run
		err = mayHaveRun(err)
	}
	return result, err
}
