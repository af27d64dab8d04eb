package main

import (
	"fmt"
	"hash/maphash"
)

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
	places  []place             // of all states
	at      uint32              // in places: the state from which steps are taken
	next    state               // after a step from there
	further []state             // from which none was taken yet
	depth   int
}

// explore visits all states of a scenario, or as many as limit says, or until a
// property is violated: then the events are those that lead there.
func explore(x scenario, limit int, without *rule) *explorer {
	e := &explorer{model: newModel(x, without), seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}}
	e.places, e.further = make([]place, 1), []state{{budget: x.budget}}
	var current []state
	for len(e.further) > 0 && e.fault == "" && len(e.places) < limit {
		current, e.further = e.further, current[:0]
		e.depth++
		for i := range current {
			if e.goOn(&current[i]); e.fault != "" {
				e.tracing = true
				e.retrace(e.at)
				break
			}
			e.at++
		}
	}
	return e
}

// goOn takes all steps that are possible in a state.
func (e *explorer) goOn(s *state) {
	over := true // nobody goes on but the adversary
	e.next = *s
	for n, step := range e.steps {
		if !step(&e.next) {
			continue
		}
		over = over && e.next.budget != s.budget
		hash := maphash.Comparable(e.seed, e.next)
		if _, known := e.seen[hash]; !known || e.fault != "" {
			e.seen[hash] = struct{}{}
			e.places = append(e.places, place{e.at, uint16(n)})
			e.further = append(e.further, e.next)
		}
		if e.fault != "" {
			e.at = uint32(len(e.places) - 1)
			return
		}
		e.next = *s
	}
	if over {
		e.ended(s)
	}
}

// retrace takes the steps once more that lead to a place.
func (e *explorer) retrace(at uint32) {
	if at == 0 {
		e.next = state{budget: e.budget}
		return
	}
	e.retrace(e.places[at].before)
	e.steps[e.places[at].step](&e.next)
}

// report tells how it comes to what is wrong.
func (e *explorer) report() (lines string) {
	for i, event := range e.events {
		lines += fmt.Sprintf("    %3d  %s\n", i+1, event)
	}
	return lines + "         " + e.fault
}
