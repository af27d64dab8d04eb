package debug_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/debug"
)

func TestCommandsAreCounted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		page := debug.New()
		c, _ := connect(t, page, World{"fail": func(context.Context) error { return errors.New("no") }})
		for n := range 10 {
			name := ""
			if n%5 == 0 {
				name = "fail"
			}
			cmdstream.Do(t.Context(), c, Work{Name: name, Took: time.Duration(n+1) * 10 * time.Millisecond})
		}
		synctest.Wait()
		for _, side := range both {
			got := find(t, page, side, "debug_test.Work")
			if got.Succeeded != 8 || got.Failed != 2 || got.InFlight != 0 {
				t.Errorf("%s: %d succeeded, %d failed, %d are in flight", side, got.Succeeded, got.Failed, got.InFlight)
			}
			within := func(name string, got, want time.Duration) {
				t.Helper()
				if got < want || got > want+want/8 {
					t.Errorf("%s: %s is %v, want %v", side, name, got, want)
				}
			}
			within("p50", got.Latency.P50, 50*time.Millisecond)
			within("p90", got.Latency.P90, 90*time.Millisecond)
			within("p99", got.Latency.P99, 100*time.Millisecond)
			within("p999", got.Latency.P999, 100*time.Millisecond)
			if got.Latency.Max != 100*time.Millisecond {
				t.Errorf("%s: the longest took %v", side, got.Latency.Max)
			}
			sum, before := uint64(0), time.Duration(0)
			for _, b := range got.Latency.Buckets {
				if b.Below <= before || b.Count == 0 {
					t.Errorf("%s: the buckets are %v", side, got.Latency.Buckets)
				}
				sum, before = sum+b.Count, b.Below
			}
			if sum != 10 {
				t.Errorf("%s: %d are in the buckets", side, sum)
			}
		}
	})
}

func TestRates(t *testing.T) {
	bubble(t, func(t *testing.T) {
		page := debug.New()
		c, _ := connect(t, page, World{"fail": func(context.Context) error { return errors.New("no") }})
		// In the second n there are n%3 that end, and one of three fails.
		for n := range 100 {
			for i := range n % 3 {
				name := ""
				if i == 1 {
					name = "fail"
				}
				cmdstream.Do(t.Context(), c, Work{Name: name})
			}
			time.Sleep(time.Second)
		}
		synctest.Wait()
		for _, side := range both {
			got := find(t, page, side, "debug_test.Work")
			if len(got.PerSecond) != debug.Seconds || len(got.FailedPerSecond) != debug.Seconds {
				t.Fatalf("%s: %d and %d seconds", side, len(got.PerSecond), len(got.FailedPerSecond))
			}
			for i := range got.PerSecond {
				n := 100 - debug.Seconds + i
				if got.PerSecond[i] != uint32(n%3) || got.FailedPerSecond[i] != uint32(n%3/2) {
					t.Errorf("%s: in the second %d there were %d, %d failed", side, n, got.PerSecond[i], got.FailedPerSecond[i])
				}
			}
		}
		time.Sleep(10 * time.Minute)
		if got := find(t, page, debug.ServerSide, "debug_test.Work"); slices.Max(got.PerSecond) != 0 {
			t.Errorf("after a pause: %v", got.PerSecond)
		}
	})
}

func TestCommandsInFlight(t *testing.T) {
	bubble(t, func(t *testing.T) {
		page := debug.New()
		c, _ := connect(t, page, nil)
		var all sync.WaitGroup
		const n = 150
		for range n {
			all.Go(func() { cmdstream.Do(t.Context(), c, Work{Took: time.Hour}) })
			time.Sleep(time.Second)
		}
		synctest.Wait()
		s := page.Snapshot()
		if s.InFlight != 2*n || len(s.Oldest) != debug.MaxOldest {
			t.Fatalf("%d are in flight, %d are listed", s.InFlight, len(s.Oldest))
		}
		for _, side := range both {
			if got := find(t, page, side, "debug_test.Work"); got.InFlight != n {
				t.Errorf("%s: %d are in flight", side, got.InFlight)
			}
		}
		servers := 0
		for i, r := range s.Oldest {
			if want := time.Duration(n-i/2) * time.Second; r.Age != want || r.Name != "debug_test.Work" {
				t.Errorf("the oldest but %d is %+v, want an age of %v", i, r, want)
			}
			if r.Side == debug.ServerSide {
				servers++
				if r.Seq != int64(i/2+1) || r.Remote == "" {
					t.Errorf("at the server: %+v", r)
				}
			}
		}
		if servers != debug.MaxOldest/2 {
			t.Errorf("%d of them are at the server", servers)
		}
		all.Wait()
		synctest.Wait()
		if s := page.Snapshot(); s.InFlight != 0 || len(s.Oldest) != 0 {
			t.Errorf("at the end %d are in flight: %+v", s.InFlight, s.Oldest)
		}
	})
}

// A command whose code panics, or ends its goroutine, has failed, and is not in flight for
// good.
func TestCommandsThatDoNotReturn(t *testing.T) {
	for name, does := range map[string]func(context.Context) error{
		"panic":  func(context.Context) error { panic("boom") },
		"goexit": goexit,
	} {
		bubble(t, func(t *testing.T) {
			page := debug.New()
			c, _ := connect(t, page, World{"work": does})
			if _, err := cmdstream.Do(t.Context(), c, Work{Name: "work"}); !errors.Is(err, base.ErrPanic) {
				t.Errorf("%s: the client got %v", name, err)
			}
			synctest.Wait()
			for _, side := range both {
				got := find(t, page, side, "debug_test.Work")
				if got.InFlight != 0 || got.Failed != 1 || got.Failures[0].Code != string(base.ErrPanic) || got.Failures[0].Outcome != "failed" {
					t.Errorf("%s, %s: %+v", name, side, got)
				}
			}
		})
	}
}

func TestFailures(t *testing.T) {
	bubble(t, func(t *testing.T) {
		page := debug.New()
		var next error
		c, _ := connect(t, page, World{"fail": func(context.Context) error { return next }})
		fail := func(err error) debug.FailureInfo {
			t.Helper()
			next = err
			cmdstream.Do(t.Context(), c, Work{Name: "fail"})
			synctest.Wait()
			return find(t, page, debug.ServerSide, "debug_test.Work").Failures[0]
		}
		for _, test := range []struct {
			err                 error
			text, code, outcome string
		}{
			{errors.New("out of stock"), "out of stock", "exec", "failed"},
			{&base.Error{Outcome: base.Rejected, Code: base.ErrBusy, Message: "later"}, "cmdstream: later", "busy", "failed"}, // it has run
			{fmt.Errorf("a layer: %w", &base.Error{Outcome: base.Failed, Code: "gone"}), "a layer: cmdstream: gone", "gone", "failed"},
			{errors.New("\xff\xfe"), "\uFFFD", "exec", "failed"},
			{panicking{}, "an error of type debug_test.panicking, whose Error panicked", "exec", "failed"},
			{(*base.Error)(nil), "an *Error that is nil", "exec", "failed"},
			{errors.New(""), "", "exec", "failed"},
		} {
			got := fail(test.err)
			if got.Text != test.text || got.Code != test.code || got.Outcome != test.outcome {
				t.Errorf("%#v is shown as %+v", test.err, got)
			}
			if got.Remote == "" || got.Seq == 0 || !got.Time.Equal(time.Now()) {
				t.Errorf("it came as %+v", got)
			}
		}
		for _, long := range []string{strings.Repeat("x", 1<<20), strings.Repeat("é", 1000), "x" + strings.Repeat("世", 1000)} {
			got := fail(errors.New(long)).Text
			if len(got) > debug.MaxText || len(got) < debug.MaxText-8 || !utf8.ValidString(got) || !strings.HasPrefix(long, strings.TrimSuffix(got, "…")) {
				t.Errorf("of a long text there is %q", got)
			}
		}
		for n := range 40 {
			fail(fmt.Errorf("failure %d", n))
		}
		for _, side := range both {
			got := find(t, page, side, "debug_test.Work").Failures
			if len(got) != debug.MaxFailures {
				t.Fatalf("%s: %d failures are kept", side, len(got))
			}
			for i, f := range got {
				if want := fmt.Sprintf("failure %d", 39-i); f.Text != want {
					t.Errorf("%s: at %d there is %q, want %q", side, i, f.Text, want)
				}
			}
		}
	})
}

type panicking struct{}

func (panicking) Error() string { panic("no text") }

// At the client it counts how a loop over results ends.
func TestLoopsOverResults(t *testing.T) {
	bubble(t, func(t *testing.T) {
		page := debug.New()
		var failing error
		c, _ := connect(t, page, World{"count": func(context.Context) error { return failing }})
		seen := func(loop func(int) bool) (numbers int, err error) {
			for _, err := range cmdstream.Results(t.Context(), c, Count{To: 5}) {
				if err != nil {
					return numbers, err
				}
				numbers++
				if !loop(numbers) {
					break
				}
			}
			return numbers, nil
		}
		if n, err := seen(func(int) bool { return true }); n != 5 || err != nil {
			t.Errorf("%d came, then %v", n, err)
		}
		if n, err := seen(func(n int) bool { return n < 2 }); n != 2 || err != nil {
			t.Errorf("%d came, then %v", n, err)
		}
		failing = errors.New("lost count")
		if n, err := seen(func(int) bool { return true }); n != 5 || err == nil || err.Error() != "lost count" {
			t.Errorf("%d came, then %v", n, err)
		}
		func() {
			defer func() { recover() }()
			seen(func(int) bool { panic("the loop") })
		}()
		got := find(t, page, debug.ClientSide, "debug_test.Count")
		if got.Succeeded != 2 || got.Failed != 2 || got.InFlight != 0 {
			t.Errorf("it shows %+v", got)
		}
		if len(got.Failures) != 2 || got.Failures[1].Text != "lost count" || got.Failures[0].Code != "panic" {
			t.Errorf("it shows %+v", got.Failures)
		}
	})
}

// Nothing is asked of a client that a command does not allow, and none is nothing to fear.
func TestCommandsThatAreNone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		page := debug.New()
		c, _ := connect(t, page, nil)
		for range 2 {
			if _, err := c.Do(t.Context(), nil); err == nil {
				t.Error("nil is a command")
			}
			var pointer *base.Unary[World, string, Work]
			c.Do(t.Context(), pointer)
		}
		if got := find(t, page, debug.ClientSide, "(nil)"); got.Failed != 2 {
			t.Errorf("it shows %+v", got)
		}
		names := 0
		for _, c := range page.Snapshot().Commands {
			if strings.HasPrefix(c.Name, "*base.Unary[") && c.Failed == 2 {
				names++
			}
		}
		if names != 1 {
			t.Errorf("it shows %+v", page.Snapshot().Commands)
		}
	})
}
