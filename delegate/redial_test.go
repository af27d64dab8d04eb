package delegate_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/delegate"
)

// bounds returns the shortest and the longest of many waits before attempt n.
func bounds(b delegate.Backoff, n int) (shortest, longest time.Duration) {
	shortest = time.Duration(1<<63 - 1)
	for range 2000 {
		wait := b.Wait(n)
		shortest, longest = min(shortest, wait), max(longest, wait)
	}
	return shortest, longest
}

func TestBackoff(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		b     delegate.Backoff
		n     int
		limit time.Duration
	}{
		{delegate.Backoff{}, 0, 10 * ms},
		{delegate.Backoff{}, 1, 20 * ms},
		{delegate.Backoff{}, 2, 40 * ms},
		{delegate.Backoff{}, 8, 2560 * ms},
		{delegate.Backoff{}, 9, 5000 * ms},
		{delegate.Backoff{}, 40, 5000 * ms},
		{delegate.Backoff{}, 61, 5000 * ms},
		{delegate.Backoff{}, 62, 5000 * ms},
		{delegate.Backoff{}, 100, 5000 * ms},
		{delegate.Backoff{}, 1 << 40, 5000 * ms},
		{delegate.Backoff{First: time.Minute}, 0, 5000 * ms},
		{delegate.Backoff{First: 1, Max: 1<<63 - 1}, 62, 1<<63 - 1},
		{delegate.Backoff{First: 1, Max: 1<<63 - 1}, 61, 1 << 61},
		{delegate.Backoff{First: 3 * ms, Max: 12 * ms}, 1, 6 * ms},
		{delegate.Backoff{First: 3 * ms, Max: 12 * ms}, 2, 12 * ms},
		{delegate.Backoff{First: 3 * ms, Max: 12 * ms}, 3, 12 * ms},
	} {
		t.Run(fmt.Sprintf("%v, %d", c.b, c.n), func(t *testing.T) {
			// Full jitter: anywhere below the limit. Each bound would be missed once
			// in 10^44 runs.
			shortest, longest := bounds(c.b, c.n)
			if shortest < 0 || shortest > c.limit/20 || longest < c.limit-c.limit/20 || longest >= c.limit {
				t.Errorf("waits from %v to %v, the limit is %v", shortest, longest, c.limit)
			}
		})
	}
}

// attempts is a Redialer whose attempts fail as told; the one after the last
// succeeds. It notes when they were made.
type attempts struct {
	delegate.Redialer
	made     []time.Time
	failures []delegate.Attempt
}

func newAttempts(fail ...error) *attempts {
	a := &attempts{}
	a.Try = func(context.Context) error {
		a.made = append(a.made, time.Now())
		if n := len(a.made); n <= len(fail) {
			return fail[n-1]
		}
		return nil
	}
	a.OnFailure = func(f delegate.Attempt) { a.failures = append(a.failures, f) }
	return a
}

func TestRedialUntilItSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAttempts(io.EOF, io.ErrNoProgress, io.ErrClosedPipe)
		start := time.Now()
		if err := a.Connect(t.Context(), io.EOF); err != nil {
			t.Fatal(err)
		}
		if len(a.made) != 4 || len(a.failures) != 3 {
			t.Fatalf("%d attempts, %d failures", len(a.made), len(a.failures))
		}
		if first := a.made[0].Sub(start); first >= 10*time.Millisecond {
			t.Errorf("the first attempt was made after %v", first)
		}
		for i, f := range a.failures {
			limit := 20 * time.Millisecond << i
			if f.Number != i+1 || f.RetryIn >= limit || a.made[i+1].Sub(a.made[i]) != f.RetryIn {
				t.Errorf("%+v, the next one came after %v", f, a.made[i+1].Sub(a.made[i]))
			}
		}
		if a.failures[2].Err != io.ErrClosedPipe {
			t.Errorf("the last failure was told as %v", a.failures[2].Err)
		}
	})
}

func TestTheGrowthGoesOnUntilReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAttempts()
		a.Backoff = delegate.Backoff{First: time.Second, Max: time.Hour}
		longest := func() (longest time.Duration) {
			for range 8 {
				start := time.Now()
				a.Connect(t.Context(), io.EOF)
				longest = max(longest, time.Since(start))
			}
			return longest
		}
		if d := longest(); d < 2*time.Second { // all are shorter once in two million runs
			t.Errorf("the longest of 8 waits was %v", d)
		}
		for range 100 {
			a.Reset()
			start := time.Now()
			a.Connect(t.Context(), io.EOF)
			if d := time.Since(start); d >= time.Second {
				t.Errorf("after Reset it waited %v", d)
			}
		}
	})
}

func TestFinalErrors(t *testing.T) {
	for _, code := range []base.Code{base.ErrServerInfo, base.ErrVersion, base.ErrUnauthorized} {
		final := fmt.Errorf("dialing: %w", &base.Error{Code: code})
		a := newAttempts(final)
		if err := a.Connect(t.Context(), io.EOF); err != final || len(a.made) != 1 || len(a.failures) != 0 {
			t.Errorf("%s: got %v after %d attempts", code, err, len(a.made))
		}
	}
	for _, code := range []base.Code{base.ErrFull, base.ErrDraining, base.ErrConnLost, base.ErrHello} {
		if delegate.Final(code) {
			t.Errorf("%s is final", code)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for _, c := range []struct{ asked, least, most time.Duration }{
		{10 * s, 10 * s, 15 * s},
		{time.Minute, time.Minute, 90 * s},
		{100 * time.Hour, time.Minute, 90 * s},
		{1, 0, 40 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			full := &base.Error{Code: base.ErrFull, RetryAfter: c.asked}
			for range 50 {
				a := newAttempts(fmt.Errorf("dialing: %w", full))
				start := time.Now()
				a.Connect(t.Context(), full) // the reason of the loss asks for it too
				for _, wait := range []time.Duration{a.made[0].Sub(start), a.made[1].Sub(a.made[0])} {
					if wait < c.least || wait > c.most {
						t.Errorf("asked for %v, waited %v", c.asked, wait)
					}
				}
			}
		})
	}
}

func TestTheCtxEndsTheRedialing(t *testing.T) {
	cause := errors.New("enough")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		a := newAttempts()
		time.AfterFunc(5*s, func() { cancel(cause) })
		start := time.Now()
		err := a.Connect(ctx, &base.Error{RetryAfter: time.Minute})
		if err != cause || len(a.made) != 0 || time.Since(start) != 5*s {
			t.Errorf("got %v after %v and %d attempts", err, time.Since(start), len(a.made))
		}
		if err := a.Connect(ctx, nil); err != cause || len(a.made) != 0 {
			t.Errorf("got %v after %d attempts", err, len(a.made))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		a := &delegate.Redialer{Try: func(ctx context.Context) error {
			cancel(cause)
			return io.EOF
		}}
		if err := a.Connect(ctx, io.EOF); err != cause {
			t.Errorf("got %v", err)
		}
	})
}

func TestAnAttemptHasAnEnd(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{0: 10 * s, 3 * s: 3 * s} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			a := &delegate.Redialer{HelloTimeout: timeout, Try: func(ctx context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			}}
			if err := a.Once(t.Context()); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != want {
				t.Errorf("got %v after %v", err, time.Since(start))
			}
		})
	}
}
