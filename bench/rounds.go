package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/cmdstream/cmdstream/bench/systems"
)

// A plan is all that is to be run.
type plan struct {
	settings
	systems []systems.System
	works   []workload
	modes   []mode
	rounds  int
	run     func(systems.System, workload, mode, settings) (sample, error)
	// wire: also count bytes on the wire.
	wire bool
	// told hears of runs that failed, as they do.
	told io.Writer
	bar  *progress
}

// execute runs workload after workload, mode after mode. In each the rounds of all
// systems interleave: a machine that is busy for a while is so for everyone. Each
// round begins with another system.
func (p *plan) execute(r *results) {
	for _, w := range p.works {
		r.Workloads = append(r.Workloads, told{w, w.text()})
		for _, m := range p.modes {
			if slices.Contains(w.Modes, m) {
				r.Figures = append(r.Figures, p.workload(w, m)...)
			}
		}
		if p.wire && w.Kind == echo {
			p.countWire(r, w)
		}
	}
	p.bar.end()
	r.compare()
}

func (p *plan) workload(w workload, m mode) []*figure {
	figures := make([]*figure, len(p.systems))
	for i, system := range p.systems {
		info := system.Info()
		figures[i] = &figure{System: info.Name, Kind: info.Kind, Workload: w.Name, Mode: m}
		if !w.applies(info) {
			figures[i].Missing = errNotApplicable.Error()
		}
	}
	for round := range p.rounds {
		for turn := range p.systems {
			i := (turn + round) % len(p.systems)
			f, system := figures[i], p.systems[i]
			if !w.applies(system.Info()) {
				continue
			}
			p.bar.step(fmt.Sprintf("%s, %s, %s", f.System, w.Name, processes(m)))
			if f.Missing != "" {
				continue
			}
			found, err := p.run(system, w, m, p.settings)
			if system.Info().SendsMessages {
				delete(found, writes)
			}
			if err == nil && f.System == typed && w.Name == "echo-64" && m == oneProcess {
				found[jsonAlone], err = measureJSON(p.duration)
			}
			if err == nil {
				f.samples = append(f.samples, found)
				continue
			}
			f.Missing = errNotApplicable.Error()
			if !errors.Is(err, errNotApplicable) {
				f.Missing = "failed: " + oneLine(err)
				p.bar.clear()
				fmt.Fprintf(p.told, "%s failed at %s, %s: %v\n", f.System, w.Name, processes(m), err)
			}
		}
	}
	for _, f := range figures {
		f.medians()
	}
	return figures
}

// countWire adds what is counted once to the figures of both modes.
func (p *plan) countWire(r *results, w workload) {
	for _, system := range p.systems {
		info := system.Info()
		if !w.applies(info) || info.Windowed {
			continue
		}
		p.bar.say(fmt.Sprintf("%s, %s, bytes on the wire", info.Name, w.Name))
		found, err := countWire(system, w, p.settings)
		if err != nil {
			p.bar.clear()
			fmt.Fprintf(p.told, "%s failed at %s, bytes on the wire: %v\n", info.Name, w.Name, err)
			continue
		}
		for _, f := range r.Figures {
			if f.System != info.Name || f.Workload != w.Name || f.Missing != "" {
				continue
			}
			for metric, v := range found {
				f.Values[metric] = v
			}
		}
	}
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

func processes(m mode) string {
	if m == oneProcess {
		return "one process"
	}
	return "two processes"
}

// A progress shows on a terminal how far the runs are, and how long they will take.
type progress struct {
	to         io.Writer // nil: it shows nothing
	all, begun int
	start      time.Time
}

const barWidth = 24

func (p *progress) step(what string) {
	if p.begun == 0 {
		p.start = time.Now()
	}
	p.say(what)
	p.begun++
}

func (p *progress) say(what string) {
	if p.to == nil {
		return
	}
	done := barWidth * p.begun / max(p.all, 1)
	left := "?"
	if p.begun > 0 {
		left = (time.Since(p.start) / time.Duration(p.begun) * time.Duration(p.all-p.begun)).Round(time.Second).String()
	}
	fmt.Fprintf(p.to, "\r\x1b[K[%s%s] %d/%d, %s left: %s", strings.Repeat("#", done), strings.Repeat(".", barWidth-done), p.begun, p.all, left, what)
}

// clear makes room for a line.
func (p *progress) clear() {
	if p.to != nil {
		fmt.Fprint(p.to, "\r\x1b[K")
	}
}

func (p *progress) end() { p.clear() }
