package policy_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/policy"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

// afterTwo is a breaker that opens for a minute after two failures.
func afterTwo() circuitbreaker.CircuitBreaker[any] {
	return circuitbreaker.NewBuilder[any]().WithFailureThreshold(2).WithDelay(time.Minute).Build()
}

func TestWhatOpensABreaker(t *testing.T) {
	for name, test := range map[string]struct {
		err   error
		opens bool
	}{
		"not connected":           {unsent, true},
		"not sent in time":        {ended(base.NotSent, base.ErrDeadline), true},
		"lost":                    {lost, true},
		"too late":                {ended(base.Unknown, base.ErrDeadline), true},
		"busy":                    {busy, true},
		"draining":                {ended(base.Rejected, base.ErrDraining), true},
		"expired at the server":   {ended(base.Rejected, base.ErrDeadline), true},
		"it succeeds":             {nil, false},
		"failed":                  {failed, false},
		"panicked":                {ended(base.Failed, base.ErrPanic), false},
		"unknown command":         {ended(base.Rejected, base.ErrUnknownCmd), false},
		"not encoded":             {ended(base.NotSent, base.ErrEncode), false},
		"several results":         {ended(base.Unknown, base.ErrSeveralResults), false},
		"given up":                {ended(base.Unknown, base.ErrCanceled), false},
		"closed":                  {ended(base.Unknown, base.ErrClosed), false},
		"error of other software": {errors.New("no"), false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				for _, results := range []bool{false, true} {
					b := afterTwo()
					c := via(policy.Breaker[int](b))
					for range 2 {
						s := attempts(step{err: test.err})
						if results {
							all(c, t.Context(), command{steps: s})
						} else {
							do(c, t.Context(), s)
						}
					}
					if b.IsOpen() != test.opens {
						t.Errorf("Results %v: it is %v", results, b.State())
					}
				}
			})
		})
	}
}

// While it is open nothing leaves the client; then one is let through.
func TestAnOpenBreaker(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := afterTwo()
		c := via(policy.Breaker[int](b))
		for range 2 {
			want(t, do(c, t.Context(), attempts(step{err: unsent})), base.NotSent, base.ErrNotConnected)
		}
		time.Sleep(15 * time.Second)
		s := attempts(succeed)
		_, fromResults := all(c, t.Context(), command{steps: s})
		for _, err := range []error{do(c, t.Context(), s), fromResults} {
			want(t, err, base.NotSent, base.ErrBusy, circuitbreaker.ErrOpen)
			var e *base.Error
			if errors.As(err, &e) && e.RetryAfter != 45*time.Second {
				t.Errorf("RetryAfter is %v", e.RetryAfter)
			}
		}
		if s.count() != 0 {
			t.Errorf("%d commands were sent", s.count())
		}
		time.Sleep(time.Minute)

		// Half open, two may go through, and no more.
		hold := make(chan error, 2)
		for range 2 {
			go func() { hold <- do(c, t.Context(), attempts(step{takes: time.Second})) }()
		}
		time.Sleep(time.Millisecond)
		err := do(c, t.Context(), s)
		want(t, err, base.NotSent, base.ErrBusy)
		var e *base.Error
		if errors.As(err, &e) && e.RetryAfter != 100*time.Millisecond {
			t.Errorf("RetryAfter is %v", e.RetryAfter)
		}
		for range 2 {
			if err := <-hold; err != nil {
				t.Error(err)
			}
		}
		if !b.IsClosed() {
			t.Errorf("it is %v", b.State())
		}
	})
}

// Half open, a command that is given up, or a loop that is left before its first result,
// closes nothing, and gives its place back.
func TestAHalfOpenBreakerAndCommandsThatShowNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := circuitbreaker.NewBuilder[any]().Build()
		c := via(policy.Breaker[int](b))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for name, use := range map[string]func(){
			"given up": func() { do(c, ctx, attempts(step{takes: time.Minute})) },
			"panic": func() {
				defer func() { recover() }()
				do(c, t.Context(), attempts(step{panics: true}))
			},
		} {
			b.HalfOpen()
			use()
			if !b.IsOpen() {
				t.Errorf("%s: it is %v", name, b.State())
			}
			b.Close()
			use()
			if !b.IsClosed() {
				t.Errorf("%s: it was closed, and is %v", name, b.State())
			}
		}
		b.HalfOpen()
		for range c.Results(t.Context(), command{steps: attempts(step{results: 3})}) {
			break // the server has answered
		}
		if !b.IsClosed() {
			t.Errorf("it is %v", b.State())
		}
	})
}

// With retries around it, a breaker is asked for each attempt, and waited for.
func TestRetryWaitsForABreaker(t *testing.T) {
	bubble(t, func(t *testing.T) {
		breaker := circuitbreaker.NewBuilder[any]().WithFailureThreshold(2).WithDelay(30 * time.Second).Build()
		c := policy.Retry[int](three().WithMaxAttempts(5))(policy.Breaker[int](breaker)(script))
		s := attempts(step{err: unsent}, step{err: unsent}, succeed)
		begin := time.Now()
		if err := do(c, t.Context(), s); err != nil || s.count() != 3 {
			t.Errorf("%v, after %d attempts", err, s.count())
		}
		took(t, begin, 31*time.Second) // the breaker opens after a second
	})
}
