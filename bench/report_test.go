package main

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/bench/systems"
)

// someResults has three systems at one workload.
func someResults() *results {
	r := &results{
		Workloads: []told{{echoWork("echo-64", 64, 1, small), "what it is"}},
		Figures: []*figure{
			{System: "cmdstream", Kind: systems.Ours, samples: []sample{{opsPerSecond: 600_000, cpu: 2}, {opsPerSecond: 700_000, cpu: 3}, {opsPerSecond: 100, cpu: 2.5}}},
			{System: "cmdstream-json", Kind: systems.Ours, samples: []sample{{opsPerSecond: 200_000, cpu: 5, jsonAlone: 2}}},
			{System: "arpc", Kind: systems.Peer, samples: []sample{{opsPerSecond: 100_000, cpu: 20}}},
			{System: "grpc", Kind: systems.Peer, samples: []sample{{opsPerSecond: 50_000, cpu: 10}}},
			{System: "drpc", Kind: systems.Peer, Missing: "failed: it is broken"},
			{System: "rawbatch", Kind: systems.Limit, samples: []sample{{opsPerSecond: 1_200_000, cpu: 0.5}}},
			{System: "raw", Kind: systems.Limit, Missing: errNotApplicable.Error()},
		},
	}
	for _, f := range r.Figures {
		f.Workload, f.Mode = "echo-64", oneProcess
		f.medians()
	}
	r.compare()
	return r
}

func TestMediansAndRatios(t *testing.T) {
	ours := someResults().Figures[0]
	if ours.Values[opsPerSecond] != 600_000 || ours.Values[cpu] != 2.5 || ours.Rounds != 3 {
		t.Errorf("%+v", ours)
	}
	// The best peer is another one for each metric.
	if ours.ToPeer[opsPerSecond] != 6 || ours.ToPeer[cpu] != 0.25 || ours.ToLimit[opsPerSecond] != 0.5 || ours.ToLimit[cpu] != 5 {
		t.Errorf("%v, %v", ours.ToPeer, ours.ToLimit)
	}
	if m := middle([]float64{4, 1, 2, 3}); m != 2.5 {
		t.Errorf("the median of four is %v", m)
	}
	if m := middle(nil); !math.IsNaN(m) {
		t.Errorf("the median of none is %v", m)
	}
}

func TestGoalsAreJudged(t *testing.T) {
	r := someResults()
	found := map[string]judged{}
	for _, j := range judge(r) {
		if j.Figure != nil {
			found[j.Goal+" "+string(j.Mode)] = j
		} else if j.Met || j.short() != "not measured" {
			t.Errorf("%s: %s", j.Goal, j.short())
		}
	}
	for goal, want := range map[string]struct {
		figure  float64
		against string
		short   string
	}{
		"64 callers: ops/s over the best peer's one":                  {6, "arpc", "met"},
		"JSON: CPU beside the raw codec's over marshalling alone one": {1.25, "", "met"},
	} {
		j := found[goal]
		if j.Figure == nil || *j.Figure != want.figure || j.Against != want.against || j.short() != want.short {
			t.Errorf("%s: %+v, %s", goal, j, j.short())
		}
	}
	r.Figures[0].Values[opsPerSecond] = 450_000
	for _, j := range judge(r) {
		if j.Goal == "64 callers: ops/s over the best peer's" && j.Mode == oneProcess && (j.Met || j.short() != "missed by 25 %") {
			t.Errorf("%+v, %s", j, j.short())
		}
	}
	for b, holds := range map[bound][3]bool{atLeast: {false, true, true}, atMost: {true, true, false}, below: {true, false, false}} {
		for i, v := range []float64{1, 2, 3} {
			if b.holds(v, 2) != holds[i] {
				t.Errorf("%v %s 2: %v", v, b, !holds[i])
			}
		}
	}
}

func TestTheTableIsAligned(t *testing.T) {
	r := someResults()
	var out bytes.Buffer
	align(&out, r.rows("echo-64", oneProcess, r.Figures))
	want := `
  system                          ops/s  CPU µs/op  x peer  x limit
  cmdstream                     600,000       2.50   6.00x    0.50x
  cmdstream-json                200,000       5.00   2.00x    0.17x
  arpc                          100,000       20.0   1.00x    0.08x
  grpc                           50,000       10.0   0.50x    0.04x
  rawbatch                    1,200,000       0.50  12.00x    1.00x
  cmdstream / best peer           6.00x      0.25x
  cmdstream / limit               0.50x      5.00x
  cmdstream-json / best peer      2.00x      0.50x
  cmdstream-json / limit          0.17x     10.00x
  drpc failed: it is broken
  not applicable: raw
`
	if got := "\n" + out.String(); got != want {
		t.Errorf("got:%s\nwant:%s", got, want)
	}
	out.Reset()
	r.Goals = judge(r)
	r.report(&out)
	for _, part := range []string{"echo-64, one process: what it is", "\nGoals\n", "met", "were not measured in this run"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("the report lacks %q:\n%s", part, out.String())
		}
	}
}

func TestNumbersAreReadable(t *testing.T) {
	for v, want := range map[float64]string{0: "0.00", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 12345.6: "12,346", -3: "-3.00", -250: "-250"} {
		if got := numberText(v); got != want {
			t.Errorf("%v is shown as %s, not %s", v, got, want)
		}
	}
	for n, want := range map[int64]string{7: "7", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234"} {
		if got := thousands(n); got != want {
			t.Errorf("%d is shown as %s, not %s", n, got, want)
		}
	}
}

func TestQuantilesAreClose(t *testing.T) {
	var l latencies
	for i := 1; i <= 10_000; i++ {
		l[i%shards].record(time.Duration(i) * time.Microsecond)
	}
	got, ok := l.quantiles(0.5, 0.99, 0.999)
	if !ok {
		t.Fatal("there are none")
	}
	for i, want := range []float64{5000, 9900, 9990} {
		if math.Abs(got[i]/want-1) > 0.01 {
			t.Errorf("%v instead of %v", got[i], want)
		}
	}
	for _, ns := range []uint64{0, 1, 127, 128, 255, 256, 1000, 123456, 1e9, 1e11} {
		if middle := middleOf(bucketOf(ns)); math.Abs(middle-float64(ns)) > float64(ns)/200+1 {
			t.Errorf("%d ns are counted as %v", ns, middle)
		}
	}
	if _, ok := new(latencies).quantiles(0.5); ok {
		t.Error("nothing has quantiles")
	}
}
