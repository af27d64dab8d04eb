package load

import (
	"fmt"
	"time"
)

// Quantiles are those of a report, in percent.
var Quantiles = []float64{50, 75, 90, 95, 99, 99.9, 99.99}

// Latencies are what a report says of latencies. All are 0 where nothing was counted.
type Latencies struct {
	Min, Mean, Deviation, Max time.Duration
	// At has those of the Quantiles.
	At []time.Duration
}

// Latencies returns those of the calls that succeeded.
func (r Result) Latencies() Latencies {
	l := Latencies{At: make([]time.Duration, len(Quantiles))}
	if r.Latency == nil || r.Latency.TotalCount() == 0 {
		return l
	}
	l.Min, l.Max = time.Duration(r.Latency.Min()), time.Duration(r.Latency.Max())
	l.Mean, l.Deviation = time.Duration(r.Latency.Mean()), time.Duration(r.Latency.StdDev())
	for i, quantile := range Quantiles {
		l.At[i] = r.at(quantile)
	}
	return l
}

// at returns the latency at a quantile in percent.
func (r Result) at(quantile float64) time.Duration {
	return time.Duration(r.Latency.ValueAtQuantile(quantile))
}

// Short shows a duration with three digits, such as 1.23ms.
func Short(d time.Duration) string {
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{time.Second, "s"}, {time.Millisecond, "ms"}, {time.Microsecond, "µs"}} {
		if d < unit.size && d > -unit.size {
			continue
		}
		n := float64(d) / float64(unit.size)
		switch {
		case n < 10:
			return fmt.Sprintf("%.2f%s", n, unit.name)
		case n < 100:
			return fmt.Sprintf("%.1f%s", n, unit.name)
		}
		return fmt.Sprintf("%.0f%s", n, unit.name)
	}
	return d.String()
}
