package policy_test

import (
	"context"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/policy"
	"github.com/failsafe-go/failsafe-go/bulkhead"
	"github.com/failsafe-go/failsafe-go/ratelimiter"
)

func TestBulkhead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := bulkhead.NewBuilder[any](2).WithMaxWaitTime(5 * time.Second).Build()
		c := via(policy.Bulkhead[int](b))
		ended := make(chan error, 2)
		go func() { ended <- do(c, t.Context(), attempts(step{takes: time.Minute})) }()
		go func() {
			_, err := all(c, t.Context(), command{steps: attempts(step{results: 3, takes: 10 * time.Second})})
			ended <- err
		}()
		time.Sleep(time.Second)

		begin := time.Now()
		s := attempts(succeed)
		want(t, do(c, t.Context(), s), base.NotSent, base.ErrBusy, bulkhead.ErrFull)
		took(t, begin, 5*time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		want(t, do(c, ctx, s), base.NotSent, base.ErrDeadline, context.DeadlineExceeded)
		ctx, cancel = context.WithCancel(t.Context())
		cancel()
		_, err := all(c, ctx, command{steps: s})
		want(t, err, base.NotSent, base.ErrCanceled, context.Canceled)
		if s.count() != 0 {
			t.Errorf("%d were sent", s.count())
		}
		if err := do(c, t.Context(), s); err != nil { // the loop ends meanwhile
			t.Error(err)
		}
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
}

// Whatever ends a command, its place is free again.
func TestBulkheadGivesPlacesBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := bulkhead.New[any](1)
		c := via(policy.Bulkhead[int](b))
		over := make(chan struct{})
		for _, use := range []func(){
			func() { do(c, t.Context(), attempts(step{err: failed})) },
			func() { do(c, t.Context(), attempts(step{panics: true})) },
			func() {
				_, err := all(c, t.Context(), command{steps: attempts(step{results: 3, err: failed})})
				want(t, err, base.Failed)
			},
			func() {
				for range c.Results(t.Context(), command{steps: attempts(step{results: 3, err: failed})}) {
					break
				}
			},
			func() {
				for range c.Results(t.Context(), command{steps: attempts(step{results: 3})}) {
					panic("not today")
				}
			},
		} {
			go func() {
				defer func() {
					recover()
					over <- struct{}{}
				}()
				use()
			}()
			<-over
			if !b.TryAcquirePermit() {
				t.Fatal("a place is not free")
			}
			b.ReleasePermit()
		}
	})
}

func TestRateLimit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := via(policy.RateLimit[int](ratelimiter.NewBurstyBuilder[any](2, time.Hour).WithMaxWaitTime(time.Second).Build()))
		s := attempts(succeed)
		for range 2 {
			if err := do(c, t.Context(), s); err != nil {
				t.Error(err)
			}
		}
		want(t, do(c, t.Context(), s), base.NotSent, base.ErrBusy, ratelimiter.ErrExceeded)
		if s.count() != 2 {
			t.Errorf("%d were sent", s.count())
		}
		time.Sleep(2 * time.Hour)
		if n, err := all(c, t.Context(), command{steps: attempts(step{results: 2})}); n != 2 || err != nil {
			t.Errorf("%d results, %v", n, err)
		}
	})
}

// A policy that is not there is an error of each command, and no panic.
func TestPoliciesThatAreNil(t *testing.T) {
	for name, m := range map[string]cmdstream.Middleware[int]{
		"Hedge": policy.Hedge[int](nil), "Breaker": policy.Breaker[int, any](nil),
		"Bulkhead": policy.Bulkhead[int, any](nil), "RateLimit": policy.RateLimit[int, any](nil),
	} {
		s := attempts(succeed)
		_, fromResults := all(via(m), t.Context(), command{steps: s})
		for _, err := range []error{do(via(m), t.Context(), s), fromResults} {
			if want(t, err, base.NotSent, base.ErrConf); s.count() != 0 {
				t.Errorf("%s: it was sent", name)
			}
		}
	}
}
