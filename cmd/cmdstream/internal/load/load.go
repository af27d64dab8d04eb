// Package load puts load on something and measures how long it takes.
//
//	result := load.Run(ctx, load.Options{Callers: 64, Rate: 10_000, Duration: 10 * time.Second}, op)
package load

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Options says how much load there is to be.
type Options struct {
	// Callers is how many goroutines call.
	Callers int
	// Rate is how many calls are to begin a second, by all callers together, whatever
	// becomes of those before; 0: each caller calls again as soon as its last call has
	// ended.
	Rate float64
	// Warmup is the time before what counts begins.
	Warmup time.Duration
	// Duration is the time that counts.
	Duration time.Duration
	// Grace is how long calls that are under way at the end may still take.
	Grace time.Duration
	// Code names an error, to count those that are alike.
	Code func(err error) string
}

// ErrOver is what an Op returns when it could not call any more. That does not count, and
// its caller ends.
var ErrOver = errors.New("no further call is possible")

// Op is one call, by the caller of a number from 0 on. Many goroutines call it at once.
type Op func(ctx context.Context, caller int) error

// Result is what was measured.
type Result struct {
	// Elapsed is the time that counted.
	Elapsed time.Duration
	// Calls that succeeded; Failed ones by the name of their error.
	Calls  int64
	Failed map[string]int64
	// Unfinished calls were still under way when the load and its grace were over.
	Unfinished int64
	// Unbegun calls were due by the Rate, and all callers were busy until the end.
	Unbegun int64
	// Latency is that of the calls that succeeded, in ns. With a Rate it is counted
	// from when a call was due, so that it has in it how long it had to wait for a caller:
	// what is slow does not hide how many it has kept waiting.
	Latency *hdrhistogram.Histogram
}

// Failures returns how many calls failed.
func (r Result) Failures() (n int64) {
	for _, failed := range r.Failed {
		n += failed
	}
	return n
}

// PerSecond returns how many calls succeeded a second.
func (r Result) PerSecond() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Calls) / r.Elapsed.Seconds()
}

// Progress is how far a load is. It may be read at any time.
type Progress struct {
	calls, failures atomic.Int64
}

// Calls returns how many calls have ended so far, well or not.
func (p *Progress) Calls() (succeeded, failed int64) { return p.calls.Load(), p.failures.Load() }

// maxLatency is the longest latency that is told from longer ones.
const maxLatency = time.Hour

// shards is how many histograms there are, so that callers seldom wait for each other.
const shards = 8

// run is a load under way.
type run struct {
	Options
	op       Op
	progress *Progress
	began    time.Time    // of the warm-up
	counts   time.Time    // from then on calls count
	ends     time.Time    // until then calls begin
	next     atomic.Int64 // of the calls of a Rate
	open     atomic.Int64 // calls that count, and have not ended
	shards   [shards]shard
}

type shard struct {
	mu      sync.Mutex // protects what follows
	latency *hdrhistogram.Histogram
	failed  map[string]int64
}

// Run puts load on op until it is over, or ctx ends, and returns what was measured until
// then. It returns once all calls have returned: op must heed its ctx. progress may be
// nil.
func Run(ctx context.Context, o Options, op Op, progress *Progress) Result {
	if progress == nil {
		progress = new(Progress)
	}
	r := &run{Options: o, op: op, progress: progress, began: time.Now()}
	r.counts = r.began.Add(o.Warmup)
	r.ends = r.counts.Add(o.Duration)
	for i := range r.shards {
		r.shards[i] = shard{latency: hdrhistogram.New(1, int64(maxLatency), 3), failed: map[string]int64{}}
	}
	calls, cancel := context.WithCancel(ctx)
	defer cancel()
	beginning, stop := context.WithDeadline(ctx, r.ends)
	defer stop()
	var callers sync.WaitGroup
	for caller := range o.Callers {
		callers.Go(func() { r.call(beginning, calls, caller) })
	}
	<-beginning.Done()
	over := time.Now()
	late := time.AfterFunc(o.Grace, cancel)
	defer late.Stop()
	callers.Wait()

	result := Result{Latency: r.shards[0].latency, Failed: r.shards[0].failed, Unfinished: r.open.Load()}
	for i := range r.shards[1:] {
		s := &r.shards[1+i]
		result.Latency.Merge(s.latency)
		for code, n := range s.failed {
			result.Failed[code] += n
		}
	}
	result.Calls = result.Latency.TotalCount()
	result.Elapsed = max(0, min(over.Sub(r.counts), o.Duration))
	if o.Rate > 0 {
		due := int64(math.Ceil(min(over.Sub(r.began), o.Warmup+o.Duration).Seconds() * o.Rate))
		result.Unbegun = max(0, due-r.next.Load())
	}
	return result
}

// call is a caller: it calls until beginning ends.
func (r *run) call(beginning, calls context.Context, caller int) {
	if r.Rate > 0 {
		r.callInTime(beginning, calls, caller)
		return
	}
	for over := false; !over && !r.isOver(beginning); {
		now := time.Now()
		over = r.one(calls, caller, now, now)
	}
}

// isOver tells whether no further call begins.
func (r *run) isOver(beginning context.Context) bool {
	return beginning.Err() != nil || !time.Now().Before(r.ends)
}

// callInTime takes one call after the other of those that are due by the Rate.
func (r *run) callInTime(beginning, calls context.Context, caller int) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		n := r.next.Add(1) - 1
		due := r.began.Add(time.Duration(float64(n) / r.Rate * float64(time.Second)))
		wait := time.Until(due)
		switch {
		case !due.Before(r.ends):
			r.next.Add(-1) // it is not due any more
			return
		case wait <= 0 && r.isOver(beginning):
			r.next.Add(-1) // it was due, and did not begin
			return
		case wait > 0:
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-calls.Done():
				r.next.Add(-1)
				return
			}
		}
		from := due
		if wait > 0 {
			// The caller was there in time. That its timer is late, by up to a millisecond,
			// is no latency of what is measured.
			from = time.Now()
		}
		if r.one(calls, caller, due, from) {
			return
		}
	}
}

// one makes a call that is due, and records what became of it. Its latency counts from a
// time. It returns true if no further call is possible.
func (r *run) one(ctx context.Context, caller int, due, from time.Time) (over bool) {
	counts := !due.Before(r.counts)
	if counts {
		r.open.Add(1)
	}
	err := r.op(ctx, caller)
	took := time.Since(from)
	if errors.Is(err, ErrOver) {
		if counts {
			r.open.Add(-1)
		}
		return true
	}
	if err != nil && errors.Is(err, ctx.Err()) {
		return true // it was cut off: it stays open
	}
	if err != nil {
		r.progress.failures.Add(1)
	} else {
		r.progress.calls.Add(1)
	}
	if !counts {
		return false
	}
	r.open.Add(-1)
	s := &r.shards[caller%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.failed[r.Code(err)]++
		return false
	}
	s.latency.RecordValue(int64(max(1, min(took, maxLatency))))
	return false
}
