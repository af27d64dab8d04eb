package policy_test

import (
	"context"
	"errors"
	"iter"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// command is a command that says what its client does with it: each attempt ends as the next
// of the steps says, and the last step is repeated.
type command struct {
	may   bool // run twice
	steps *steps
}

func (c command) Exec(context.Context, time.Time, base.Seq, int, base.Proxy) error { return nil }

func (c command) Idempotent() bool { return c.may }

type steps struct {
	mu   sync.Mutex
	each []step
	made int
}

type step struct {
	takes   time.Duration // or until the ctx ends
	results int           // before err
	err     error
	panics  bool
	deaf    bool // to the end of its ctx
}

func attempts(each ...step) *steps { return &steps{each: each} }

func (s *steps) next() step {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	return s.each[min(s.made, len(s.each))-1]
}

func (s *steps) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.made
}

type number int

func (number) LastOne() bool { return false }

// script is a client that does what its commands say.
var script = cmdstream.Calls[int]{
	DoFunc: func(ctx context.Context, cmd base.Cmd[int]) (base.Result, error) {
		s := cmd.(command).steps.next()
		if err := s.pass(ctx); err != nil {
			return nil, err
		}
		return number(1), nil
	},
	ResultsFunc: func(ctx context.Context, cmd base.Cmd[int]) iter.Seq2[base.Result, error] {
		return func(yield func(base.Result, error) bool) {
			s := cmd.(command).steps.next()
			for n := range s.results {
				if !yield(number(n), nil) {
					return
				}
			}
			if err := s.pass(ctx); err != nil {
				yield(nil, err)
			}
		}
	},
}

func (s step) pass(ctx context.Context) error {
	if s.panics {
		panic("not today")
	}
	if s.deaf || s.takes == 0 {
		time.Sleep(s.takes)
		return s.err
	}
	select {
	case <-time.After(s.takes):
		return s.err
	case <-ctx.Done():
		code := base.ErrCanceled
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			code = base.ErrDeadline
		}
		return ended(base.Unknown, code)
	}
}

// ended is the error of a command.
func ended(outcome base.Outcome, code base.Code) error {
	return &base.Error{Outcome: outcome, Code: code, Seq: 7}
}

var (
	busy    = ended(base.Rejected, base.ErrBusy)
	unsent  = ended(base.NotSent, base.ErrNotConnected)
	lost    = ended(base.Unknown, base.ErrConnLost)
	failed  = ended(base.Failed, base.ErrExec)
	succeed = step{}
)

// via returns the script behind a middleware.
func via(m cmdstream.Middleware[int]) cmdstream.Client[int] { return cmdstream.Use[int](script, m) }

// do does a command of Do, and all does one of Results.
func do(c cmdstream.Client[int], ctx context.Context, s *steps) error {
	_, err := c.Do(ctx, command{steps: s})
	return err
}

func all(c cmdstream.Client[int], ctx context.Context, cmd command) (got int, err error) {
	for _, err = range c.Results(ctx, cmd) {
		if err == nil {
			got++
		}
	}
	return got, err
}

// want checks an error's outcome and what errors.Is must find in it.
func want(t testing.TB, err error, outcome base.Outcome, is ...error) {
	t.Helper()
	if got := base.OutcomeOf(err); got != outcome {
		t.Errorf("got the outcome %v, want %v: %v", got, outcome, err)
	}
	for _, target := range is {
		if !errors.Is(err, target) {
			t.Errorf("errors.Is does not find %q in %q", target, err)
		}
	}
}

// took checks how much simulated time has passed since begin.
func took(t testing.TB, begin time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(begin); got != want {
		t.Errorf("it took %v, want %v", got, want)
	}
}

func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}
