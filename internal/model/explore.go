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
	*model
	seed    maphash.Seed
	seen    map[uint64]struct{} // hashes: of a hundred million states two are the same once in four thousand runs
	places  []place
	at      uint32  // in places: the state from which steps are taken
	next    state   // after a step from there
	further []state // from which none was taken yet
}

// explore visits all states of a scenario, or as many as limit says, or until a
// property is violated.
func explore(x scenario, limit int, without *rule) (f found) {
	begin := time.Now()
	e := &explorer{model: newModel(x, without), seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}}
	e.next = e.start()
	e.reach(0)
	var current []state
	for len(e.further) > 0 && e.fault == "" && len(e.places) < limit {
		current, e.further = e.further, current[:0]
		f.depth++
		for i := range current {
			if e.goOn(&current[i]); e.fault != "" {
				f.fault, f.trace = e.fault, e.trace()
				break
			}
			e.at++
		}
	}
	f.full = len(e.further) == 0 && f.fault == ""
	f.states, f.took = len(e.places), time.Since(begin)
	return f
}

// goOn takes all steps that are possible in a state.
func (e *explorer) goOn(s *state) {
	over := true // nobody goes on but the adversary
	e.next = *s
	for n, step := range e.steps {
		if !step(&e.next) {
			continue
		}
		if e.reach(uint16(n)); e.fault != "" {
			e.at = uint32(len(e.places) - 1)
			return
		}
		over = over && e.next.budget != s.budget
		e.next = *s
	}
	if over {
		e.fault = e.ended(s)
	}
}

// reach notes the state in next, if it is a new one or a fault.
func (e *explorer) reach(step uint16) {
	hash := maphash.Comparable(e.seed, e.next)
	if _, known := e.seen[hash]; known && e.fault == "" {
		return
	}
	e.seen[hash] = struct{}{}
	e.places = append(e.places, place{e.at, step})
	e.further = append(e.further, e.next)
}

// trace tells how the state at which the explorer is was reached.
func (e *explorer) trace() []string {
	var path []uint16
	for at := e.at; at != 0; at = e.places[at].before {
		path = append(path, e.places[at].step)
	}
	e.tracing, e.next = true, e.start()
	for _, step := range slices.Backward(path) {
		e.steps[step](&e.next)
	}
	return e.events
}

// print writes the trace, if there is one.
func (f *found) print(w io.Writer) {
	for i, line := range f.trace {
		fmt.Fprintf(w, "    %3d  %s\n", i+1, line)
	}
	if f.fault != "" {
		fmt.Fprintf(w, "         %s\n", f.fault)
	}
}
