package handler

import (
	"reflect"
	"sync"
	"sync/atomic"
	"time"
)

// paces knows the types of commands that take long.
type paces struct {
	known atomic.Int64 // how many there are in types
	types sync.Map     // from reflect.Type to *pace
}

// pace is how long commands of one type take. What two goroutines count at once may be
// lost: it does no harm.
type pace struct {
	average atomic.Int64 // of those that a leader has run, in nanoseconds: a moving average
	apart   atomic.Int64 // the type is slow until so many in a row have not been tooLong
}

// So many commands of a slow type must be quick in a row before a leader runs one again. One that
// was stopped may just have lost its processor: there are more if another takes long, too.
const (
	provenAfter  = 256
	stoppedAfter = 16
)

// undecided is the average of a type of which little is known.
const undecided = int64(quick) / 2

// slow returns the pace of a command's type, if that is slow; else nil.
func (p *paces) slow(cmd any) *pace {
	if p.known.Load() == 0 {
		return nil
	}
	if v, ok := p.types.Load(reflect.TypeOf(cmd)); ok && v.(*pace).apart.Load() > 0 {
		return v.(*pace)
	}
	return nil
}

// ranApart notes how long a command of a slow type has taken.
func (p *pace) ranApart(took time.Duration) {
	if took < tooLong {
		p.apart.Add(-1)
	} else {
		p.apart.Store(provenAfter)
	}
}

// ran notes how long a command has taken that a leader ran; stopped says that it took
// so long that another has become the leader.
func (p *paces) ran(cmd any, took time.Duration, stopped bool) {
	if took <= quick && p.known.Load() == 0 {
		return
	}
	key := reflect.TypeOf(cmd)
	v, ok := p.types.Load(key)
	if !ok {
		if took <= quick {
			return
		}
		fresh := new(pace)
		fresh.average.Store(undecided)
		if v, ok = p.types.LoadOrStore(key, fresh); !ok {
			p.known.Add(1)
		}
	}
	this := v.(*pace)
	average := this.average.Load()
	average += (int64(min(took, 3*quick)) - average) / 32 // one may have lost its processor for a while
	switch {
	case average > int64(quick):
		this.apart.Store(provenAfter)
		average = undecided
	case stopped:
		this.apart.Store(stoppedAfter)
	case average < int64(quick)/8 && p.types.CompareAndDelete(key, v):
		p.known.Add(-1)
	}
	this.average.Store(average)
}

// spending is what a leader has spent on commands, as far as one that it reads now may have waited
// for them. A command waits for none that was run before all had been read, if it had not come then;
// nor for more commands than may be open at once. So a new period begins when all has been read, and
// after as many commands, and what counts is the present period and the one before.
type spending struct {
	now, before time.Duration // of these periods
	commands    int           // that were read in the present one
	counted     bool          // that began after commands
	emptied     int           // how often all had been read
	open        int           // the most that were open at once
}

// tooMuch tells whether it is so much that the leader may not run the command that it has just read,
// on a slot, having read all that had come so often.
func (s *spending) tooMuch(slot, emptied int) bool {
	s.open = max(s.open, slot+1)
	switch {
	case emptied > s.emptied+1:
		*s = spending{open: s.open}
	case emptied > s.emptied && s.counted:
		*s = spending{before: s.before + s.now, open: s.open}
	case emptied > s.emptied || s.commands >= s.open:
		*s = spending{before: s.now, counted: emptied == s.emptied, open: s.open}
	}
	s.emptied = emptied
	s.commands++
	return s.before+s.now >= mostSpent
}

// add adds what a command took. To hand over what comes after one that has stalled would help nobody:
// there was no processor to be had.
func (s *spending) add(took time.Duration) {
	if took > switchCost && took < stalled {
		s.now += took
	}
}
