package delegate

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"time"

	"github.com/cmdstream/cmdstream/base"
)

// Dialer connects to a server, or to another one of the same service.
type Dialer func(ctx context.Context) (net.Conn, error)

// Backoff says how long to wait between two attempts to connect. Before attempt
// n (the first is 0) it is a random time below First·2ⁿ, Max at most: exponential
// backoff with full jitter, so that the clients of a server that comes back
// arrive spread out. (The rule is from Marc Brooker, "Exponential Backoff And
// Jitter", AWS Architecture Blog, 2015.)
type Backoff struct {
	// First bounds the wait before the first attempt; 0: 10 ms.
	First time.Duration
	// Max bounds every wait; 0: 5 s.
	Max time.Duration
	// Reset is how long a connection must have lived, or until it has completed
	// a command, for the next loss to start again at First; 0: 1 s.
	Reset time.Duration
}

// Defaults of Backoff.
const (
	DefaultBackoffFirst = 10 * time.Millisecond
	DefaultBackoffMax   = 5 * time.Second
	DefaultBackoffReset = time.Second
)

// WithDefaults returns b with defaults in place of zeros.
func (b Backoff) WithDefaults() Backoff {
	if b.First <= 0 {
		b.First = DefaultBackoffFirst
	}
	if b.Max <= 0 {
		b.Max = DefaultBackoffMax
	}
	if b.Reset <= 0 {
		b.Reset = DefaultBackoffReset
	}
	return b
}

// Wait returns a random wait before attempt n.
func (b Backoff) Wait(n int) time.Duration {
	b = b.WithDefaults()
	limit := b.Max
	if b.First < b.Max>>n { // and so First·2ⁿ does not overflow
		limit = b.First << n
	}
	return rand.N(limit)
}

// Attempt is one failed attempt of a Redialer.
type Attempt struct {
	// Number counts from 1 since the growth of the backoff was last reset.
	Number int
	// Err is why it failed.
	Err error
	// RetryIn is how long the Redialer waits before the next.
	RetryIn time.Duration
}

// Redialer connects again and again until it succeeds. It is for one goroutine.
type Redialer struct {
	// Try makes one attempt to connect. Its ctx ends after HelloTimeout.
	Try func(ctx context.Context) error
	// HelloTimeout bounds an attempt, dialing included; 0: DefaultHelloTimeout.
	HelloTimeout time.Duration
	Backoff      Backoff
	// OnFailure, if set, hears of each failed attempt.
	OnFailure func(Attempt)

	attempts int           // since the last Reset
	wait     time.Duration // before the next attempt
}

// Reset ends the growth of the backoff.
func (r *Redialer) Reset() { r.attempts = 0 }

// Once makes one attempt, at once.
func (r *Redialer) Once(ctx context.Context) error {
	timeout := r.HelloTimeout
	if timeout <= 0 {
		timeout = DefaultHelloTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return r.Try(ctx)
}

// Connect connects again after a connection, or an attempt at one, has failed
// for the given reason. It waits as the backoff says, and as long as the reason
// asks to, and tries until it has a connection, ctx ends, or the failure is one
// that trying again can't mend: a ServerInfo that does not match, another
// version, no authorization, a session that the server has lost.
func (r *Redialer) Connect(ctx context.Context, reason error) error {
	r.plan(reason)
	for {
		if err := sleep(ctx, r.wait); err != nil {
			return err
		}
		r.attempts++
		err := r.Once(ctx)
		if err == nil || Final(err) {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r.plan(err)
		if r.OnFailure != nil {
			r.OnFailure(Attempt{Number: r.attempts, Err: err, RetryIn: r.wait})
		}
	}
}

// maxRetryAfter bounds the wait that a server can ask for.
const maxRetryAfter = time.Minute

// plan sets the wait before the next attempt: what the backoff says, but at
// least the server's retry-after and up to half of that more.
func (r *Redialer) plan(reason error) {
	r.wait = r.Backoff.Wait(r.attempts)
	var e *base.Error
	if errors.As(reason, &e) && e.RetryAfter > 0 {
		least := min(e.RetryAfter, maxRetryAfter)
		r.wait = max(r.wait, least+rand.N(least/2+1))
	}
}

// Final tells whether a failed attempt to connect will not succeed later either.
func Final(err error) bool {
	return errors.Is(err, base.ErrSessionLost) || errors.Is(err, base.ErrServerInfo) || errors.Is(err, base.ErrVersion) || errors.Is(err, base.ErrUnauthorized)
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
