package leak

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

// linger is the function to find in the stack of a leaked goroutine.
func linger(stop <-chan struct{}) { <-stop }

func TestMainCodeClean(t *testing.T) {
	if code := MainCode(func() int { return 0 }); code != 0 {
		t.Fatalf("exit code %d without a leak, want 0", code)
	}
}

func TestMainCodeKeepsFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		defer close(stop)
		code := MainCode(func() int {
			go linger(stop)
			return 7
		})
		if code != 7 {
			t.Fatalf("exit code %d, want the 7 of the failed run", code)
		}
	})
}

func TestMainCodeFindsLeak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		defer close(stop)
		var output bytes.Buffer
		started := time.Now()
		code := mainCode(func() int {
			go linger(stop)
			go linger(stop)
			return 0
		}, &output)
		if code != 1 {
			t.Errorf("exit code %d, want 1", code)
		}
		if !strings.Contains(output.String(), "2 goroutine(s)") || strings.Count(output.String(), "leak.linger(") != 2 {
			t.Errorf("the report does not show both goroutines:\n%s", output.String())
		}
		if waited := time.Since(started); waited < patience || waited > 2*patience {
			t.Errorf("waited %v for the goroutines, want about %v", waited, patience)
		}
	})
}

// A goroutine of the standard library counts if we started it.
func TestMainCodeFindsForeignFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var output bytes.Buffer
		code := mainCode(func() int {
			go time.Sleep(2 * patience)
			return 0
		}, &output)
		if code != 1 || !strings.Contains(output.String(), "time.Sleep") {
			t.Errorf("exit code %d, want 1; report:\n%s", code, output.String())
		}
		time.Sleep(2 * patience) // a bubble must not end before its goroutines
	})
}

func TestMainCodeWaitsForStragglers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		code := MainCode(func() int {
			go time.Sleep(patience / 2)
			return 0
		})
		if code != 0 {
			t.Fatalf("exit code %d for a goroutine that ends in time, want 0", code)
		}
	})
}

// recorder is a test whose end comes with finish, and that notes its failure.
type recorder struct {
	testing.TB
	cleanups []func()
	failures []any
}

func (r *recorder) Helper()                {}
func (r *recorder) Cleanup(f func())       { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Error(arguments ...any) { r.failures = append(r.failures, arguments...) }

func (r *recorder) finish() {
	for _, cleanup := range r.cleanups {
		cleanup()
	}
}

func TestCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		early, late := make(chan struct{}), make(chan struct{})
		defer close(early)
		go linger(early)

		var clean recorder
		Check(&clean)
		clean.finish()
		if len(clean.failures) > 0 {
			t.Errorf("failed for a goroutine that was there before:\n%s", clean.failures)
		}

		var leaking recorder
		Check(&leaking)
		go linger(late)
		defer close(late)
		leaking.finish()
		if len(leaking.failures) != 1 {
			t.Fatalf("%d failures for one leaked goroutine, want 1", len(leaking.failures))
		}
		if text := leaking.failures[0].(string); !strings.Contains(text, "1 goroutine(s)") || !strings.Contains(text, "leak.linger(") {
			t.Errorf("the report does not show the one goroutine:\n%s", text)
		}
	})
}

func TestCheckOutsideBubble(t *testing.T) {
	Check(t)
	done := make(chan struct{})
	go close(done)
	<-done
}

func TestManyGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const count = 1000 // their stacks need more than the first buffer
		stop := make(chan struct{})
		for range count {
			go linger(stop)
		}
		if found := len(goroutines()); found != count {
			t.Errorf("found %d goroutines, want %d", found, count)
		}
		close(stop)
	})
}
