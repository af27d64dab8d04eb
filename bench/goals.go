package main

import (
	"fmt"
	"math"

	"github.com/cmdstream/cmdstream/bench/systems"
)

// A goal is what this library wants of itself, in figures of one run of the program.
type goal struct {
	text    string
	mode    mode
	bound   bound
	target  float64
	figure  func(r *results, m mode) (v float64, ok bool)
	against func(r *results, m mode) string // whom it is compared with; nil: nobody
}

// A bound is how a figure has to stand to its target.
type bound string

// The bounds.
const (
	atLeast bound = ">="
	atMost  bound = "<="
	below   bound = "<"
)

// noAllocs is what counts as none: a runtime allocates now and then by itself.
const noAllocs = 0.05

// judged is a goal beside what was found.
type judged struct {
	Goal    string   `json:"goal"`
	Mode    mode     `json:"mode"`
	Bound   bound    `json:"bound"`
	Target  float64  `json:"target"`
	Figure  *float64 `json:"figure"` // none: the run did not have what it takes
	Against string   `json:"against,omitempty"`
	Met     bool     `json:"met"`
}

const (
	plain   = "cmdstream"
	session = "cmdstream-session"
	typed   = "cmdstream-json"
)

// goals returns all goals.
func goals() []goal {
	all := []goal{
		toLimit("1 caller: p50 over the bare connection's", oneProcess, atMost, 1.15, "echo-1", median),
		toPeer("1 caller: p50 over the best peer's", oneProcess, below, 1, "echo-1", median),
		toLimit("1 caller: p50 over the bare connection's", twoProcesses, atMost, 1.5, "echo-1", median),
		toPeer("1 caller: p50 over the best peer's", twoProcesses, atMost, 0.6, "echo-1", median),
		toPeer("64 callers: ops/s over the best peer's", oneProcess, atLeast, 6, "echo-64", opsPerSecond),
		toPeer("64 callers: ops/s over the best peer's", twoProcesses, atLeast, 5, "echo-64", opsPerSecond),
		toPeer("1024 callers: ops/s over the best peer's", oneProcess, atLeast, 6, "echo-1024", opsPerSecond),
		ours("1024 callers: µs of CPU a command, both ends", oneProcess, atMost, 2.5, "echo-1024", cpu),
		toPeer("1024 callers: ops/s over the best peer's", twoProcesses, atLeast, 5, "echo-1024", opsPerSecond),
		toPeer("64 callers, deadlines: ops/s over the best peer's", oneProcess, atLeast, 6, "timeout-64", opsPerSecond),
		ours("64 callers, deadlines: allocations a command", oneProcess, atMost, noAllocs, "timeout-64", allocs),
		toPeer("1024 callers, deadlines: ops/s over the best peer's", oneProcess, atLeast, 6, "timeout-1024", opsPerSecond),
		ours("1024 callers, deadlines: allocations a command", oneProcess, atMost, noAllocs, "timeout-1024", allocs),
		toPeer("64 callers, 1 KiB: ops/s over the best peer's", oneProcess, atLeast, 5, "echo-64-1KiB", opsPerSecond),
		toPeer("64 callers, 64 KiB: ops/s over the best peer's", oneProcess, atLeast, 1.3, "echo-64-64KiB", opsPerSecond),
		toLimit("64 callers, 64 KiB: ops/s over the raw echo's", oneProcess, atLeast, 0.85, "echo-64-64KiB", opsPerSecond),
		ours("a window of 200 with Send: ops/s", oneProcess, atLeast, 1e6, "window-200", opsPerSecond),
		ours("one stream: results a second", oneProcess, atLeast, 2e6, "stream-1", opsPerSecond),
		ours("one stream: allocations a result", oneProcess, atMost, noAllocs, "stream-1", allocs),
		ours("64 streams: results a second", oneProcess, atLeast, 2e6, "stream-64", opsPerSecond),
		ours("64 streams: allocations a result", oneProcess, atMost, noAllocs, "stream-64", allocs),
		ours("64 callers: allocations a command", oneProcess, atMost, noAllocs, "echo-64", allocs),
		ours("64 callers: bytes on the wire beside the body, command", oneProcess, atMost, 4, "echo-64", wireUp),
		ours("64 callers: bytes on the wire beside the body, result", oneProcess, atMost, 3, "echo-64", wireDown),
		ours("10,000 idle connections: bytes of each at the server", twoProcesses, atMost, 8*kibibyte, "idle-10000", serverPerConn),
		{
			text: "10,000 connections: CPU a command over one connection's", mode: twoProcesses, bound: atMost, target: 1.5,
			figure: between(plain, "conns-10000", plain, "conns-1", cpu),
		},
		{
			text: "JSON: CPU beside the raw codec's over marshalling alone", mode: oneProcess, bound: atMost, target: 1.3,
			figure: func(r *results, m mode) (float64, bool) {
				ours, ok := r.value(typed, "echo-64", m, cpu)
				path, okPath := r.value(plain, "echo-64", m, cpu)
				alone, okAlone := r.value(typed, "echo-64", m, jsonAlone)
				return (ours - path) / alone, ok && okPath && okAlone
			},
		},
	}
	for _, metric := range []struct{ name, text string }{{burstTime, "time"}, {memoryPerCall, "memory"}, {allocated, "bytes allocated"}} {
		all = append(all, toPeer("100,000 at once: "+metric.text+" over the best peer's", oneProcess, atMost, 0.5, "burst-100000", metric.name))
	}
	for _, m := range bothModes {
		all = append(all, goal{
			text: "small commands: p99 beside a large one over without it", mode: m, bound: atMost, target: 2,
			figure: func(r *results, m mode) (float64, bool) {
				with, ok := r.value(plain, "beside-64MiB", m, highWith)
				without, okWithout := r.value(plain, "beside-64MiB", m, highWithout)
				return with / without, ok && okWithout
			},
		})
	}
	for _, work := range []string{"echo-64", "echo-1024"} {
		all = append(all, goal{
			text: work + ": ops/s with sessions over without", mode: oneProcess, bound: atLeast, target: 0.85,
			figure: between(session, work, plain, work, opsPerSecond),
		})
	}
	return all
}

// ours is a goal for a value by itself.
func ours(text string, m mode, b bound, target float64, work, metric string) goal {
	return goal{text: text, mode: m, bound: b, target: target, figure: func(r *results, m mode) (float64, bool) {
		return r.value(plain, work, m, metric)
	}}
}

func toPeer(text string, m mode, b bound, target float64, work, metric string) goal {
	return over(systems.Peer, text, m, b, target, work, metric)
}

func toLimit(text string, m mode, b bound, target float64, work, metric string) goal {
	return over(systems.Limit, text, m, b, target, work, metric)
}

// over is a goal for a value as a multiple of the best of a kind.
func over(kind systems.Kind, text string, m mode, b bound, target float64, work, metric string) goal {
	return goal{
		text: text, mode: m, bound: b, target: target,
		figure: func(r *results, m mode) (float64, bool) {
			v, ok := r.value(plain, work, m, metric)
			best, whose := r.best(kind, work, m, metric)
			return v / best, ok && whose != "" && best != 0
		},
		against: func(r *results, m mode) string {
			_, whose := r.best(kind, work, m, metric)
			return whose
		},
	}
}

// between returns the value of one system and workload as a multiple of another's.
func between(system, work, other, otherWork, metric string) func(*results, mode) (float64, bool) {
	return func(r *results, m mode) (float64, bool) {
		v, ok := r.value(system, work, m, metric)
		w, okOther := r.value(other, otherWork, m, metric)
		return v / w, ok && okOther && w != 0
	}
}

// judge holds the results against the goals. A goal for which a run has no figures is
// not met, and says so.
func judge(r *results) []judged {
	var all []judged
	for _, g := range goals() {
		j := judged{Goal: g.text, Mode: g.mode, Bound: g.bound, Target: g.target}
		if v, ok := g.figure(r, g.mode); ok && !math.IsNaN(v) && !math.IsInf(v, 0) {
			j.Figure = &v
			j.Met = g.bound.holds(v, g.target)
			if g.against != nil {
				j.Against = g.against(r, g.mode)
			}
		}
		all = append(all, j)
	}
	return all
}

func (b bound) holds(v, target float64) bool {
	switch b {
	case atLeast:
		return v >= target
	case below:
		return v < target
	}
	return v <= target
}

// short says by how much a goal is missed.
func (j judged) short() string {
	if j.Figure == nil {
		return "not measured"
	}
	if j.Met {
		return "met"
	}
	return fmt.Sprintf("missed by %.0f %%", 100*math.Abs(*j.Figure/j.Target-1))
}

// goalRows is the table of the goals that a run has figures for, and a last line for
// those that it has not.
func goalRows(all []judged) [][]string {
	table := [][]string{{"goal", "processes", "wanted", "found", "against", ""}}
	unmeasured := 0
	for _, j := range all {
		if j.Figure == nil {
			unmeasured++
			continue
		}
		table = append(table, []string{
			j.Goal, string(j.Mode), string(j.Bound) + " " + numberText(j.Target), numberText(*j.Figure), j.Against, j.short(),
		})
	}
	if unmeasured > 0 {
		table = append(table, []string{fmt.Sprintf("%d more of %d were not measured in this run", unmeasured, len(all))})
	}
	return table
}
