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
	further [][]state           // from which none was taken yet, in pieces: to make room none is copied
	spare   [][]state           // pieces of which all were taken
	depth   int
}

// pieceSize is how many states there are in a piece.
const pieceSize = 1 << 10

// explore visits all states of a scenario, or as many as limit says, or until a
// property is violated: then the events are those that lead there.
func explore(x scenario, limit int, without *rule) *explorer {
	e := &explorer{model: newModel(x, without), seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}}
	e.places = make([]place, 1)
	e.keep(&state{budget: x.budget})
	for len(e.further) > 0 && e.fault == "" && len(e.places) < limit {
		current := e.further
		e.further = nil
		e.depth++
		for _, piece := range current {
			if e.goOnFrom(piece); e.fault != "" {
				e.tracing = true
				e.retrace(e.at)
				break
			}
			e.spare = append(e.spare, piece[:0])
		}
	}
	return e
}

// keep adds a state to those from which steps are to be taken.
func (e *explorer) keep(s *state) {
	n := len(e.further)
	if n == 0 || len(e.further[n-1]) == pieceSize {
		var piece []state
		if m := len(e.spare); m > 0 {
			piece, e.spare = e.spare[m-1], e.spare[:m-1]
		} else {
			piece = make([]state, 0, pieceSize)
		}
		e.further, n = append(e.further, piece), n+1
	}
	e.further[n-1] = append(e.further[n-1], *s)
}

// goOnFrom takes all steps that are possible in each of some states, until one is wrong.
func (e *explorer) goOnFrom(piece []state) {
	for i := range piece {
		if e.goOn(&piece[i]); e.fault != "" {
			return
		}
		e.at++
	}
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
			e.keep(&e.next)
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
