package policy_test

import (
	"context"
	"iter"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/policy"
	"github.com/failsafe-go/failsafe-go/hedgepolicy"
)

func hedge() hedgepolicy.Builder[base.Result] {
	return hedgepolicy.NewBuilderWithDelay[base.Result](time.Second).WithMaxHedges(2)
}

func TestHedge(t *testing.T) {
	slow := step{takes: time.Minute}
	for name, test := range map[string]struct {
		cmd      command
		attempts int
		took     time.Duration
	}{
		"fast":                 {command{true, attempts(step{takes: time.Millisecond})}, 1, time.Millisecond},
		"slow, then fast":      {command{true, attempts(slow, step{takes: time.Millisecond})}, 2, time.Second + time.Millisecond},
		"slow twice":           {command{true, attempts(slow, slow, step{takes: time.Millisecond})}, 3, 2*time.Second + time.Millisecond},
		"slow, not idempotent": {command{false, attempts(slow, step{takes: time.Millisecond})}, 1, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				begin := time.Now()
				result, err := via(policy.Hedge[int](hedge().Build())).Do(t.Context(), test.cmd)
				if result != number(1) || err != nil || test.cmd.steps.count() != test.attempts {
					t.Errorf("got %v, %v after %d attempts", result, err, test.cmd.steps.count())
				}
				took(t, begin, test.took)
			})
		})
	}
}

// Whatever did not run does not hide what may have.
func TestHedgeThatFails(t *testing.T) {
	for name, test := range map[string]struct {
		steps   *steps
		outcome base.Outcome
		code    base.Code
	}{
		"all refused":         {attempts(step{err: busy}), base.Rejected, base.ErrBusy},
		"one is under way":    {attempts(step{takes: time.Minute}, step{err: busy}), base.Unknown, base.ErrBusy},
		"one has run":         {attempts(step{takes: time.Minute}, step{err: failed}), base.Failed, base.ErrExec},
		"it panics elsewhere": {attempts(step{panics: true}), base.Unknown, base.ErrPanic},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				_, err := via(policy.Hedge[int](hedge().Build())).Do(t.Context(), command{true, test.steps})
				want(t, err, test.outcome, test.code)
			})
		})
	}
}

// A policy may want a success.
func TestHedgeUntilASuccess(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := via(policy.Hedge[int](hedge().CancelIf(func(_ base.Result, err error) bool { return err == nil }).Build()))
		result, err := c.Do(t.Context(), command{true, attempts(step{err: busy}, succeed)})
		if result != number(1) || err != nil {
			t.Errorf("got %v, %v", result, err)
		}
		_, err = c.Do(t.Context(), command{true, attempts(step{err: busy})})
		want(t, err, base.Rejected, base.ErrBusy)
	})
}

func TestHedgeEndsWithItsCtx(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := via(policy.Hedge[int](hedge().Build()))
		for _, timeout := range []time.Duration{time.Second, 1500 * time.Millisecond} { // with a hedge, or as it begins
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			begin := time.Now()
			_, err := c.Do(ctx, command{true, attempts(step{takes: time.Minute})})
			took(t, begin, timeout)
			want(t, err, base.Unknown, base.ErrDeadline, context.DeadlineExceeded)
			cancel()
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := c.Do(ctx, command{true, attempts(step{takes: time.Minute})})
		want(t, err, base.Unknown, base.ErrCanceled, context.Canceled)
	})
}

// What comes of a client that is deaf to its ctx counts, or is not waited for.
func TestHedgeOfTheDeaf(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := via(policy.Hedge[int](hedge().Build()))
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		result, err := c.Do(ctx, command{true, attempts(step{takes: 600 * time.Millisecond, deaf: true})})
		if result != number(1) || err != nil {
			t.Errorf("got %v, %v", result, err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		begin := time.Now()
		_, err = c.Do(ctx, command{true, attempts(step{takes: time.Minute, deaf: true})})
		took(t, begin, time.Second) // which is the policy's delay
		want(t, err, base.Unknown, base.ErrDeadline, context.DeadlineExceeded)
		time.Sleep(time.Hour) // a bubble must not end before its goroutines
	})
}

// Results are not hedged.
func TestHedgeOfResults(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := attempts(step{results: 3, takes: time.Minute})
		n, err := all(via(policy.Hedge[int](hedge().Build())), t.Context(), command{true, s})
		if n != 3 || err != nil || s.count() != 1 {
			t.Errorf("%d results, %v, %d attempts", n, err, s.count())
		}
	})
}

// blocking is an error that holds up who asks what it is.
type blocking struct{ stop chan struct{} }

func (blocking) Error() string { return "blocking" }

func (b blocking) Unwrap() error {
	<-b.stop
	return nil
}

// An attempt does not wait for what another one's error does.
func TestHedgeDoesNotWaitForAnError(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	var n atomic.Int32
	next := cmdstream.Calls[int]{
		ResultsFunc: func(context.Context, base.Cmd[int]) iter.Seq2[base.Result, error] { return nil },
		DoFunc: func(context.Context, base.Cmd[int]) (base.Result, error) {
			if n.Add(1) == 1 {
				time.Sleep(50 * time.Millisecond)
				return nil, blocking{stop}
			}
			time.Sleep(100 * time.Millisecond)
			return number(1), nil
		},
	}
	c := policy.Hedge[int](hedgepolicy.NewBuilderWithDelay[base.Result](10 * time.Millisecond).Build())(next)
	done := make(chan struct{})
	go func() { c.Do(context.Background(), command{true, nil}); close(done) }()
	select {
	case <-done:
	case <-time.After(2 * time.Second):
		t.Error("the second attempt waits for the error value of the first one")
	}
}
