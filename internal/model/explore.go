package main

import (
	"fmt"
	"hash/maphash"
	"io"
	"slices"
	"time"
)

// found is what an exploration has come to.
type found struct {
	states int
	fault  string // what was violated; "": nothing
	trace  []string
	took   time.Duration
	depth  int
	full   bool // every state was visited
}

// place is how a state was reached first: by a step from an earlier one.
type place struct {
	before uint32
	step   uint16
}

// explorer visits the states of a scenario, those with the fewest steps first, so that
// the first trace that is found is the shortest.
type explorer struct {
	model
	seed    maphash.Seed
	seen    map[uint64]struct{} // hashes: of a hundred million states two are the same once in four thousand runs
	places  []place
	current []state
	further []state
	at      uint32 // in places
	taken   uint16 // steps from there
	result  *found
}

// explore visits all states of a scenario, or as many as limit says, or until a
// property is violated.
func explore(x scenario, limit int, without *rule) found {
	begin := time.Now()
	e := &explorer{model: model{scenario: x, without: without}, seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}}
	e.result = &found{}
	e.visit = e.reach
	e.next = e.start()
	e.at = 0
	e.reach()
	first := uint32(0)
	for len(e.further) > 0 && e.result.fault == "" && len(e.places) < limit {
		e.current, e.further = e.further, e.current[:0]
		e.result.depth++
		for i := range e.current {
			e.at, e.taken = first+uint32(i), 0
			e.steps(&e.current[i])
			if e.result.fault != "" {
				break
			}
			if e.moved {
				continue
			}
			if e.result.fault = e.ended(&e.current[i]); e.result.fault != "" {
				e.result.trace = e.trace(e.at)
				break
			}
		}
		first += uint32(len(e.current))
	}
	e.result.full = len(e.further) == 0 && e.result.fault == ""
	e.result.states, e.result.took = len(e.places), time.Since(begin)
	return *e.result
}

// start is the first state.
func (x *scenario) start() state {
	return state{cuts: x.cuts, evictions: x.evictions, restarts: x.restarts, cancels: x.cancels, rejections: x.rejections}
}

// reach notes the state in next, if it is a new one.
func (e *explorer) reach() {
	step := e.taken
	e.taken++
	if e.result.fault != "" {
		return
	}
	hash := maphash.Comparable(e.seed, e.next)
	if _, known := e.seen[hash]; known && e.fault == "" {
		return
	}
	e.seen[hash] = struct{}{}
	e.places = append(e.places, place{e.at, step})
	e.further = append(e.further, e.next)
	if e.fault != "" {
		e.result.fault = e.fault
		e.result.trace = e.trace(uint32(len(e.places) - 1))
	}
}

// trace tells how a state was reached.
func (e *explorer) trace(at uint32) (lines []string) {
	var path []uint16
	for ; at != 0; at = e.places[at].before {
		path = append(path, e.places[at].step)
	}
	slices.Reverse(path)
	m := model{scenario: e.scenario, without: e.without, tracing: true}
	s := m.start()
	for _, step := range path {
		n, next, events := uint16(0), s, []string(nil)
		m.visit = func() {
			if n == step {
				next, events = m.next, slices.Clone(m.events)
			}
			n++
		}
		m.steps(&s)
		s = next
		lines = append(lines, events...)
	}
	return lines
}

// print writes the trace, if there is one.
func (f *found) print(w io.Writer) {
	if f.fault == "" {
		return
	}
	for i, line := range f.trace {
		fmt.Fprintf(w, "    %3d  %s\n", i+1, line)
	}
	fmt.Fprintf(w, "         %s\n", f.fault)
}
