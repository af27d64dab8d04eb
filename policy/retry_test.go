package policy_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/policy"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
)

// three makes three attempts, a second apart.
func three() retrypolicy.Builder[base.Result] {
	return retrypolicy.NewBuilder[base.Result]().WithMaxAttempts(3).WithDelay(time.Second)
}

// The outcome says which commands are sent again.
func TestWhatIsRetried(t *testing.T) {
	session := &base.Error{Code: base.ErrSessionLost, ID: base.ID{Seq: 3}}
	for name, test := range map[string]struct {
		err      error
		may      bool
		attempts int
	}{
		"not sent":                     {unsent, false, 3},
		"not sent in time":             {ended(base.NotSent, base.ErrDeadline), false, 3},
		"busy":                         {busy, false, 3},
		"draining":                     {ended(base.Rejected, base.ErrDraining), false, 3},
		"full":                         {ended(base.Rejected, base.ErrFull), false, 3},
		"idempotent, lost":             {lost, true, 3},
		"idempotent, too late":         {ended(base.Unknown, base.ErrDeadline), true, 3},
		"lost":                         {lost, false, 1},
		"failed":                       {failed, true, 1},
		"unknown command":              {ended(base.Rejected, base.ErrUnknownCmd), true, 1},
		"not encoded":                  {ended(base.NotSent, base.ErrEncode), true, 1},
		"given up before it was sent":  {ended(base.NotSent, base.ErrCanceled), true, 1},
		"given up":                     {ended(base.Unknown, base.ErrCanceled), true, 1},
		"closed":                       {ended(base.Unknown, base.ErrClosed), true, 1},
		"idempotent, in a session":     {session, true, 1},
		"an error of other middleware": {errors.New("no"), true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := via(policy.Retry[int](three()))
				begin := time.Now()
				s := attempts(step{err: test.err})
				_, err := c.Do(t.Context(), command{test.may, s})
				if s.count() != test.attempts || !errors.Is(err, test.err) {
					t.Errorf("%d attempts, want %d: %v", s.count(), test.attempts, err)
				}
				took(t, begin, time.Duration(test.attempts-1)*time.Second)
				s = attempts(step{err: test.err})
				if _, err := all(c, t.Context(), command{test.may, s}); s.count() != test.attempts || !errors.Is(err, test.err) {
					t.Errorf("Results: %d attempts, want %d: %v", s.count(), test.attempts, err)
				}
			})
		})
	}
}

func TestRetryUntilItSucceeds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := via(policy.Retry[int](three()))
		s := attempts(step{err: busy}, step{err: unsent}, succeed)
		if result, err := c.Do(t.Context(), command{steps: s}); result != number(1) || err != nil {
			t.Errorf("got %v, %v", result, err)
		}
		s = attempts(step{err: busy}, step{results: 4})
		if n, err := all(c, t.Context(), command{steps: s}); n != 4 || err != nil || s.count() != 2 {
			t.Errorf("got %d results, %v, after %d attempts", n, err, s.count())
		}
	})
}

// Without a policy of the user's there is a sensible one.
func TestRetryByDefault(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := via(policy.Retry[int](nil))
		begin := time.Now()
		s := attempts(step{err: busy})
		want(t, do(c, t.Context(), s), base.Rejected, base.ErrBusy)
		if d := time.Since(begin); s.count() != 3 || d < 10*time.Millisecond || d > 100*time.Millisecond {
			t.Errorf("%d attempts in %v", s.count(), d)
		}
	})
}

// The policy's own conditions narrow what is retried, and can't widen it.
func TestRetryConditions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := via(policy.Retry[int](three().HandleErrors(base.ErrBusy, base.ErrExec).AbortIf(func(_ base.Result, err error) bool {
			var e *base.Error
			return errors.As(err, &e) && e.Message == "stop"
		})))
		for name, test := range map[string]struct {
			err      error
			attempts int
		}{
			"handled":              {busy, 3},
			"not handled":          {unsent, 1},
			"aborted":              {&base.Error{Outcome: base.Rejected, Code: base.ErrBusy, Message: "stop"}, 1},
			"handled, but has run": {failed, 1},
		} {
			s := attempts(step{err: test.err})
			if err := do(c, t.Context(), s); s.count() != test.attempts || !errors.Is(err, test.err) {
				t.Errorf("%s: %d attempts, want %d: %v", name, s.count(), test.attempts, err)
			}
		}
		// One that has succeeded is not sent again whatever the policy says of its result.
		c = via(policy.Retry[int](three().HandleResult(number(1))))
		s := attempts(succeed)
		if result, err := c.Do(t.Context(), command{true, s}); s.count() != 1 || result != number(1) || err != nil {
			t.Errorf("%d attempts: %v, %v", s.count(), result, err)
		}
	})
}

// The server says when to come back, but not for ever.
func TestRetryAfter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		later := func(d time.Duration) step {
			return step{err: &base.Error{Outcome: base.Rejected, Code: base.ErrBusy, RetryAfter: d}}
		}
		c := via(policy.Retry[int](three()))
		for retryAfter, waited := range map[time.Duration]time.Duration{
			100 * time.Millisecond: time.Second, 5 * time.Second: 5 * time.Second, 24 * time.Hour: time.Minute,
		} {
			begin := time.Now()
			if err := do(c, t.Context(), attempts(later(retryAfter), succeed)); err != nil {
				t.Error(err)
			}
			took(t, begin, waited)
		}
		// Who has no time for that is not made to wait.
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		begin := time.Now()
		want(t, do(c, ctx, attempts(later(5*time.Second))), base.Rejected, base.ErrBusy)
		took(t, begin, 0)
	})
}

// The policy's MaxDuration ends the attempts, but it does not cut short the wait that the
// server has asked for. A deadline does.
func TestRetryAfterAndMaxDuration(t *testing.T) {
	bubble(t, func(t *testing.T) {
		later := &base.Error{Outcome: base.Rejected, Code: base.ErrBusy, RetryAfter: 3 * time.Second}
		c := via(policy.Retry[int](three().WithMaxAttempts(-1).WithMaxDuration(time.Second).WithDelay(10 * time.Millisecond)))
		begin := time.Now()
		s := attempts(step{err: later})
		want(t, do(c, t.Context(), s), base.Rejected, base.ErrBusy)
		if took(t, begin, 3*time.Second); s.count() != 2 {
			t.Errorf("%d attempts", s.count())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin = time.Now()
		s = attempts(step{err: later})
		want(t, do(c, ctx, s), base.Rejected, base.ErrBusy)
		if took(t, begin, 0); s.count() != 1 {
			t.Errorf("%d attempts within the deadline", s.count())
		}
	})
}

// The end of ctx ends the waiting, and the error tells both.
func TestRetryEndsWithItsCtx(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := via(policy.Retry[int](three()))
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		begin := time.Now()
		err := do(c, ctx, attempts(step{err: unsent}))
		took(t, begin, 1500*time.Millisecond)
		want(t, err, base.NotSent, base.ErrNotConnected, base.ErrDeadline, context.DeadlineExceeded)

		canceled, cancel := context.WithCancel(t.Context())
		time.AfterFunc(3*time.Second, cancel)
		begin = time.Now()
		later := &base.Error{Outcome: base.Rejected, Code: base.ErrBusy, RetryAfter: time.Minute}
		err = do(c, canceled, attempts(step{err: later}))
		took(t, begin, 3*time.Second)
		want(t, err, base.Rejected, base.ErrBusy, base.ErrCanceled, context.Canceled)

		// A result that has come counts, though ctx has ended meanwhile.
		ending, cancel := context.WithCancel(t.Context())
		defer cancel()
		s := attempts(step{results: 1})
		n := 0
		for _, err := range c.Results(ending, command{steps: s}) {
			if n++; err != nil {
				t.Error(err)
			}
			cancel()
		}
		if n != 1 || s.count() != 1 {
			t.Errorf("%d results of %d attempts", n, s.count())
		}
	})
}

// An attempt that may have run is not forgotten for the sake of one that did not.
func TestRetryRemembersTheUnknown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := via(policy.Retry[int](three()))
		s := attempts(step{err: lost}, step{err: busy})
		_, err := c.Do(t.Context(), command{true, s})
		want(t, err, base.Unknown, base.ErrBusy)
		s = attempts(step{err: lost}, step{err: failed})
		_, err = c.Do(t.Context(), command{true, s})
		want(t, err, base.Failed, base.ErrExec)
	})
}

// A loop that has yielded something is not begun anew; one that is left ends.
func TestRetryOfResults(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := via(policy.Retry[int](three()))
		s := attempts(step{results: 2, err: lost})
		n, err := all(c, t.Context(), command{true, s})
		want(t, err, base.Unknown, base.ErrConnLost)
		if n != 2 || s.count() != 1 {
			t.Errorf("%d results, %d attempts", n, s.count())
		}
		s = attempts(step{err: busy}, step{results: 5, err: lost})
		for range c.Results(t.Context(), command{true, s}) {
			break
		}
		if s.count() != 2 {
			t.Errorf("%d attempts", s.count())
		}
	})
}
