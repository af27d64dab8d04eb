package main

import (
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cmdstream/cmdstream/bench/systems"
)

// Results are what a run of the program has found, as they stand in its JSON.
type results struct {
	Machine machine `json:"machine"`
	Rounds  int     `json:"rounds"`
	// Duration is how long each run of a round was measured, in seconds.
	Duration float64 `json:"duration_seconds"`
	// Note says what makes these figures worth less than those of a full run.
	Note      string    `json:"note,omitempty"`
	Workloads []told    `json:"workloads"`
	Figures   []*figure `json:"figures"`
	Goals     []judged  `json:"goals"`
}

// told is a workload with what it means.
type told struct {
	workload
	Text string
}

// A figure is what one system has done at one workload: medians over the rounds.
type figure struct {
	System   string       `json:"system"`
	Kind     systems.Kind `json:"kind"`
	Workload string       `json:"workload"`
	Mode     mode         `json:"mode"`
	Rounds   int          `json:"rounds"`
	Values   sample       `json:"values,omitempty"`
	// Missing says why there are no values.
	Missing string `json:"missing,omitempty"`
	// ToPeer and ToLimit are the values as multiples of the best peer's and of the
	// limit's.
	ToPeer  sample `json:"to_best_peer,omitempty"`
	ToLimit sample `json:"to_limit,omitempty"`

	samples []sample
}

// more says of which metrics more is better.
var more = map[string]bool{opsPerSecond: true, largePerSec: true}

// medians turns the samples of all rounds into one.
func (f *figure) medians() {
	byMetric := map[string][]float64{}
	for _, s := range f.samples {
		for metric, v := range s {
			byMetric[metric] = append(byMetric[metric], v)
		}
	}
	if f.Values == nil {
		f.Values = sample{}
	}
	for metric, values := range byMetric {
		f.Values[metric] = middle(values)
	}
	f.Rounds = len(f.samples)
}

// middle is the median; of an even number of values the mean of the two in the middle.
func middle(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	if n == 0 {
		return math.NaN()
	}
	return (values[(n-1)/2] + values[n/2]) / 2
}

// of returns the figures of one workload in one mode.
func (r *results) of(workload string, m mode) []*figure {
	var found []*figure
	for _, f := range r.Figures {
		if f.Workload == workload && f.Mode == m {
			found = append(found, f)
		}
	}
	return found
}

// value returns one value, and whether there is one.
func (r *results) value(system, workload string, m mode, metric string) (float64, bool) {
	for _, f := range r.of(workload, m) {
		if f.System == system {
			v, ok := f.Values[metric]
			return v, ok
		}
	}
	return 0, false
}

// best returns the best value of a metric among systems of a kind, and whose it is.
func (r *results) best(kind systems.Kind, workload string, m mode, metric string) (best float64, whose string) {
	for _, f := range r.of(workload, m) {
		v, ok := f.Values[metric]
		if !ok || f.Kind != kind {
			continue
		}
		if whose == "" || more[metric] == (v > best) && v != best {
			best, whose = v, f.System
		}
	}
	return best, whose
}

// compare sets the ratios.
func (r *results) compare() {
	for _, f := range r.Figures {
		f.ToPeer, f.ToLimit = sample{}, sample{}
		for metric, v := range f.Values {
			for kind, ratios := range map[systems.Kind]sample{systems.Peer: f.ToPeer, systems.Limit: f.ToLimit} {
				if best, whose := r.best(kind, f.Workload, f.Mode, metric); whose != "" && best != 0 {
					ratios[metric] = v / best
				}
			}
		}
	}
}

// measureJSON finds what marshalling and unmarshalling alone costs of a typed echo of 32 bytes,
// in microseconds of CPU.
func measureJSON(d time.Duration) (float64, error) {
	body := newBody(small, 0)
	before, n := readCounters(), 0
	for start := time.Now(); time.Since(start) < d; n++ {
		setNumber(body, 0, uint64(n))
		if _, err := systems.Marshal(body); err != nil {
			return 0, err
		}
	}
	return float64(readCounters().minus(before).CPU.Nanoseconds()) / 1e3 / float64(n), nil
}

// save writes the results into a folder.
func (r *results) save(folder, name string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, name), append(data, '\n'), 0o644)
}

// metricsOf returns the names of all metrics that the figures have.
func metricsOf(figures []*figure) map[string]bool {
	found := map[string]bool{}
	for _, f := range figures {
		for metric := range maps.Keys(f.Values) {
			found[metric] = true
		}
	}
	return found
}
