package policy_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/cmdstreamtest"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/policy"
	"github.com/cmdstream/cmdstream/server"
	"github.com/failsafe-go/failsafe-go/bulkhead"
	"github.com/failsafe-go/failsafe-go/ratelimiter"
)

// Ask is answered by the function that is the receiver.
type Ask struct{ For string }

type answer func(ctx context.Context, ask string) (string, error)

func (a Ask) Run(ctx context.Context, f answer) (string, error) { return f(ctx, a.For) }

var set = func() *codec.Set[answer] {
	set := codec.NewSet[answer](json.Format{})
	codec.Unary[Ask](set, 1)
	return set
}()

// serve returns a client of a server with a middleware.
func serve(t *testing.T, f answer, use handler.Middleware[answer]) *client.Client[answer] {
	return cmdstreamtest.New(t, set.Client(), set.Server(), f, cmdstreamtest.Conf[answer]{
		Server: server.Conf[answer]{Use: []handler.Middleware[answer]{use}, OnPanic: func(handler.Panic) {}},
	})
}

// rejected checks a refusal of a server's, and when to come back.
func rejected(t *testing.T, err error, after time.Duration) {
	t.Helper()
	want(t, err, base.Rejected, base.ErrBusy)
	var e *base.Error
	if errors.As(err, &e) && (e.RetryAfter != after || !e.Remote) {
		t.Errorf("RetryAfter is %v, want %v: %+v", e.RetryAfter, after, e)
	}
}

func TestServeBulkhead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		c := serve(t, func(ctx context.Context, ask string) (string, error) {
			if ask == "panic" {
				panic("not today")
			}
			<-release
			return ask, nil
		}, policy.ServeBulkhead[answer](bulkhead.New[any](1), 3*time.Second))
		_, err := cmdstream.Do(t.Context(), c, Ask{"panic"})
		want(t, err, base.Failed, base.ErrPanic)
		ended := make(chan error, 1)
		go func() {
			_, err := cmdstream.Do(t.Context(), c, Ask{})
			ended <- err
		}()
		synctest.Wait()
		_, err = cmdstream.Do(t.Context(), c, Ask{})
		rejected(t, err, 3*time.Second)
		close(release)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestServeRateLimit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := serve(t, func(context.Context, string) (string, error) { return "yes", nil },
			policy.ServeRateLimit[answer](ratelimiter.NewBursty[any](1, time.Hour), time.Minute))
		if _, err := cmdstream.Do(t.Context(), c, Ask{}); err != nil {
			t.Error(err)
		}
		_, err := cmdstream.Do(t.Context(), c, Ask{})
		rejected(t, err, time.Minute)
	})
}

func TestServeBreaker(t *testing.T) {
	database := errors.New("the database is down")
	f := func(ctx context.Context, ask string) (string, error) {
		switch ask {
		case "late":
			return "", context.DeadlineExceeded
		case "downstream":
			return "", &base.Error{Outcome: base.Unknown, Code: base.ErrConnLost, Cmd: "Other"}
		case "panic":
			panic("not today")
		case "well":
			return "well", nil
		case "database":
			return "", database
		case "wait":
			<-ctx.Done()
			return "", ctx.Err()
		}
		return "", errors.New("no such article")
	}
	for ask, opens := range map[string]bool{"late": true, "downstream": true, "panic": true, "database": false, "article": false} {
		bubble(t, func(t *testing.T) {
			b := afterTwo()
			c := serve(t, f, policy.ServeBreaker[answer](b, nil))
			for range 2 {
				_, err := cmdstream.Do(t.Context(), c, Ask{ask})
				want(t, err, base.Failed)
			}
			if b.IsOpen() != opens {
				t.Errorf("%s: it is %v", ask, b.State())
			}
		})
	}
	bubble(t, func(t *testing.T) {
		b := afterTwo()
		c := serve(t, f, policy.ServeBreaker[answer](b, func(err error) bool { return errors.Is(err, database) }))
		for range 2 {
			cmdstream.Do(t.Context(), c, Ask{"late"})
			cmdstream.Do(t.Context(), c, Ask{"article"})
		}
		if !b.IsClosed() {
			t.Errorf("it is %v", b.State())
		}
		for range 2 {
			cmdstream.Do(t.Context(), c, Ask{"database"})
		}
		time.Sleep(20 * time.Second)
		_, err := cmdstream.Do(t.Context(), c, Ask{})
		rejected(t, err, 40*time.Second)

		// Half open, a command that its client gives up closes nothing.
		b.HalfOpen()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		canceled, give := context.WithCancel(ctx)
		time.AfterFunc(time.Millisecond, give)
		cmdstream.Do(canceled, c, Ask{"wait"})
		time.Sleep(time.Second)
		if b.IsClosed() || b.Metrics().Failures() != 1 {
			t.Errorf("it is %v, with %d failures", b.State(), b.Metrics().Failures())
		}
		b.HalfOpen()
		for range 2 {
			if _, err := cmdstream.Do(t.Context(), c, Ask{"well"}); err != nil {
				t.Error(err)
			}
		}
		if !b.IsClosed() {
			t.Errorf("after it went well it is %v", b.State())
		}
	})
}

func TestServedPoliciesThatAreNil(t *testing.T) {
	for name, m := range map[string]handler.Middleware[answer]{
		"Breaker": policy.ServeBreaker[answer, any](nil, nil), "Bulkhead": policy.ServeBulkhead[answer, any](nil, 0),
		"RateLimit": policy.ServeRateLimit[answer, any](nil, 0),
	} {
		c := serve(t, func(context.Context, string) (string, error) { t.Errorf("%s: it was run", name); return "", nil }, m)
		_, err := cmdstream.Do(t.Context(), c, Ask{})
		want(t, err, base.Rejected, base.ErrConf)
	}
}
