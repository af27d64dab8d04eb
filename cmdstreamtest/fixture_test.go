package cmdstreamtest_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
)

// Calc is the receiver. Wait commands tell begun, and end when release is closed
// or, unless stubborn, with their ctx.
type Calc struct {
	added    *atomic.Int64
	begun    chan struct{}
	release  chan struct{}
	stubborn bool
}

func newCalc() Calc {
	return Calc{added: new(atomic.Int64), begun: make(chan struct{}, 10), release: make(chan struct{})}
}

// Add is a command with one result.
type Add struct{ A, B int }

// Run adds.
func (c Add) Run(_ context.Context, calc Calc) (int, error) {
	calc.added.Add(1)
	return c.A + c.B, nil
}

// Wait is a command that takes its time.
type Wait struct{}

// Run waits.
func (Wait) Run(ctx context.Context, calc Calc) (string, error) {
	calc.begun <- struct{}{}
	done := ctx.Done()
	if calc.stubborn {
		done = nil
	}
	select {
	case <-calc.release:
		return "released", nil
	case <-done:
		return "", context.Cause(ctx)
	}
}

var set = codec.NewSet[Calc](json.Format{})

func init() {
	codec.Unary[Add](set, 1)
	codec.Unary[Wait](set, 2)
}

// fake is a testing.TB whose failures are kept, and whose cleanups run when the
// function of run has returned.
type fake struct {
	testing.TB
	ctx      context.Context
	mu       sync.Mutex
	errors   []string
	cleanups []func()
}

func (f *fake) Helper()                  {}
func (f *fake) Context() context.Context { return f.ctx }
func (f *fake) Cleanup(cleanup func())   { f.cleanups = append(f.cleanups, cleanup) }

func (f *fake) Errorf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errors = append(f.errors, fmt.Sprintf(format, args...))
}

func (f *fake) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	runtime.Goexit()
}

// run calls test with a fake, as package testing would, and returns its failures.
func run(ctx context.Context, test func(t testing.TB)) (errors []string) {
	ctx, cancel := context.WithCancel(ctx)
	f := &fake{ctx: ctx}
	done := make(chan struct{})
	go func() {
		defer close(done)
		test(f)
	}()
	<-done
	cancel()
	for i := len(f.cleanups) - 1; i >= 0; i-- {
		f.cleanups[i]()
	}
	return f.errors
}
