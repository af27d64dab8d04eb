package load

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// sleep is an Op that takes a time, unless its ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func code(err error) string { return err.Error() }

// about tells whether d is want within the precision of a histogram.
func about(d, want time.Duration) bool { return max(d-want, want-d) <= want/500 }

func TestCallersCallAsFastAsTheyCan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var progress Progress
		r := Run(t.Context(), Options{Callers: 4, Warmup: 100 * time.Millisecond, Duration: time.Second, Grace: time.Second, Code: code},
			func(ctx context.Context, caller int) error { return sleep(ctx, 10*time.Millisecond) }, &progress)
		if r.Calls != 400 || r.PerSecond() != 400 || r.Elapsed != time.Second {
			t.Errorf("%d calls, %v/s in %v, want 400 in 1s", r.Calls, r.PerSecond(), r.Elapsed)
		}
		if r.Failures() != 0 || r.Unfinished != 0 || r.Unbegun != 0 {
			t.Errorf("%d failed, %d unfinished, %d not begun", r.Failures(), r.Unfinished, r.Unbegun)
		}
		l := r.Latencies()
		for i, quantile := range Quantiles {
			if !about(l.At[i], 10*time.Millisecond) {
				t.Errorf("p%v is %v, want 10ms", quantile, l.At[i])
			}
		}
		if succeeded, failed := progress.Calls(); succeeded != 440 || failed != 0 {
			t.Errorf("the progress has %d and %d calls, want 440 with those of the warm-up", succeeded, failed)
		}
	})
}

// A stall of 200 ms, at 100 calls a second, keeps 20 calls waiting: they are late by 200,
// 190, 180 … ms. Without regard to when they were due, only one call would be slow.
func TestARateCountsFromWhenACallWasDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		r := Run(t.Context(), Options{Callers: 1, Rate: 100, Duration: time.Second, Grace: time.Second, Code: code},
			func(ctx context.Context, caller int) error {
				if calls.Add(1) == 50 {
					return sleep(ctx, 200*time.Millisecond)
				}
				return nil
			}, nil)
		if r.Calls != 100 || r.Unbegun != 0 {
			t.Fatalf("%d calls, %d not begun, want 100 and 0", r.Calls, r.Unbegun)
		}
		if got, want := r.at(90), 100*time.Millisecond; !about(got, want) {
			t.Errorf("p90 is %v, want %v", got, want)
		}
		if got := r.at(79); got > time.Microsecond {
			t.Errorf("p79 is %v: those that did not wait took no time", got)
		}
		if got := r.Latencies().Max; !about(got, 200*time.Millisecond) {
			t.Errorf("the longest is %v, want 200ms", got)
		}
	})
}

func TestARateThatIsNotReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := Run(t.Context(), Options{Callers: 2, Rate: 100, Duration: time.Second, Grace: time.Second, Code: code},
			func(ctx context.Context, caller int) error { return sleep(ctx, 100*time.Millisecond) }, nil)
		if r.Calls != 20 || r.Unbegun != 80 {
			t.Errorf("%d calls, %d not begun, want 20 and 80", r.Calls, r.Unbegun)
		}
	})
}

func TestARateOfManyCallersIsThatOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := Run(t.Context(), Options{Callers: 50, Rate: 10, Warmup: time.Second, Duration: 2 * time.Second, Grace: time.Second, Code: code},
			func(ctx context.Context, caller int) error { return sleep(ctx, 10*time.Millisecond) }, nil)
		if r.Calls != 20 || r.Unbegun != 0 || r.Unfinished != 0 {
			t.Errorf("%d calls, %d not begun, %d unfinished, want 20, 0 and 0", r.Calls, r.Unbegun, r.Unfinished)
		}
		if got := r.Latencies().Max; !about(got, 10*time.Millisecond) {
			t.Errorf("the longest is %v, want 10ms", got)
		}
	})
}

func TestFailuresAreCountedByCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		var progress Progress
		r := Run(t.Context(), Options{Callers: 1, Duration: time.Second, Grace: time.Second, Code: code},
			func(ctx context.Context, caller int) error {
				sleep(ctx, 10*time.Millisecond)
				switch calls.Add(1) % 10 {
				case 0:
					return errors.New("busy")
				case 1, 2:
					return errors.New("exec")
				}
				return nil
			}, &progress)
		if r.Calls != 70 || r.Failed["busy"] != 10 || r.Failed["exec"] != 20 || len(r.Failed) != 2 || r.Failures() != 30 {
			t.Errorf("%d calls, failed: %v", r.Calls, r.Failed)
		}
		if _, failed := progress.Calls(); failed != 30 {
			t.Errorf("the progress has %d failures", failed)
		}
	})
}

func TestCallsThatGoOnAreCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		r := Run(t.Context(), Options{Callers: 3, Duration: time.Second, Grace: 500 * time.Millisecond, Code: code},
			func(ctx context.Context, caller int) error {
				if caller == 0 {
					return sleep(ctx, 400*time.Millisecond) // the third ends after 1.2 s, within the grace
				}
				return sleep(ctx, time.Hour)
			}, nil)
		if r.Calls != 3 || r.Unfinished != 2 || r.Failures() != 0 {
			t.Errorf("%d calls, %d unfinished, failed: %v; want 3, 2 and none", r.Calls, r.Unfinished, r.Failed)
		}
		if took := time.Since(began); took != 1500*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

func TestTheEndOfCtxIsTheEnd(t *testing.T) {
	for _, rate := range []float64{0, 100} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 505*time.Millisecond)
			defer cancel()
			began := time.Now()
			r := Run(ctx, Options{Callers: 1, Rate: rate, Duration: time.Hour, Grace: time.Hour, Code: code},
				func(ctx context.Context, caller int) error { return sleep(ctx, 10*time.Millisecond) }, nil)
			if took := time.Since(began); took != 505*time.Millisecond || r.Elapsed != took {
				t.Errorf("it took %v, and says %v", took, r.Elapsed)
			}
			if r.Calls != 50 || r.Unfinished != 1 {
				t.Errorf("rate %v: %d calls, %d unfinished, want 50 and 1", rate, r.Calls, r.Unfinished)
			}
		})
	}
}

func TestErrOverDoesNotCount(t *testing.T) {
	for _, rate := range []float64{0, 100} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			var calls atomic.Int64
			r := Run(ctx, Options{Callers: 2, Rate: rate, Duration: time.Hour, Code: code},
				func(ctx context.Context, caller int) error {
					sleep(ctx, 10*time.Millisecond)
					if calls.Add(1) > 10 {
						return ErrOver
					}
					return nil
				}, nil)
			if r.Calls != 10 || r.Failures() != 0 || r.Unfinished != 0 || calls.Load() != 12 {
				t.Errorf("rate %v: %d calls of %d, %d unfinished, failed: %v", rate, r.Calls, calls.Load(), r.Unfinished, r.Failed)
			}
		})
	}
}

func TestPlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		r := Run(t.Context(), Options{Callers: 1, Duration: 20 * time.Second, Code: code},
			func(ctx context.Context, caller int) error {
				return sleep(ctx, time.Duration(1+calls.Add(1)%100)*time.Millisecond/10)
			}, nil)
		svg, err := r.Plot("Echo <of> & more")
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		for decoder := xml.NewDecoder(bytes.NewReader(svg)); ; {
			token, err := decoder.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%v in\n%s", err, svg)
			}
			if data, ok := token.(xml.CharData); ok {
				text.Write(data)
				text.WriteByte('\n')
			}
		}
		for _, want := range []string{"Echo <of> & more", "0%", "90%", "99%", "99.9%", "10.0ms", "latency", "quantile"} {
			if !strings.Contains(text.String(), want+"\n") {
				t.Errorf("it lacks %q:\n%s", want, text.String())
			}
		}
	})
}

func TestNothingMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := Run(t.Context(), Options{Callers: 1, Duration: time.Second, Code: code},
			func(ctx context.Context, caller int) error { return sleep(ctx, time.Minute) }, nil)
		if r.Calls != 0 || r.Unfinished != 1 || r.Latencies().Max != 0 || r.PerSecond() != 0 {
			t.Errorf("got %+v", r)
		}
		if _, err := r.Plot(""); err == nil || !strings.Contains(err.Error(), "nothing to plot") {
			t.Errorf("got %v", err)
		}
	})
	if got := (Result{}).PerSecond(); got != 0 {
		t.Errorf("nothing in no time is %v/s", got)
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 999: "999ns", 1500: "1.50µs", 45 * time.Microsecond: "45.0µs", 123456 * time.Microsecond: "123ms",
		2 * time.Second: "2.00s", 90 * time.Minute: "5400s",
	} {
		if got := Short(d); got != want {
			t.Errorf("%d: got %s, want %s", d, got, want)
		}
	}
}
