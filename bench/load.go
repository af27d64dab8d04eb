package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cmdstream/cmdstream/bench/systems"
)

// A load is what the workers of one measurement share.
type load struct {
	size  int // of a body, in bytes
	every int // each so many calls one is timed
	phase atomic.Int32
	// counts has how many calls each worker has finished, cache lines apart.
	counts    []count
	latencies latencies
}

type count struct {
	n atomic.Uint64
	_ [56]byte
}

// The phases of a measurement.
const (
	warming int32 = iota
	measuring
	finished
)

// sampling is how seldom a call is timed where there are many callers and small bodies:
// the clock costs a good part of a quick system's call.
const sampling = 8

func newLoad(workers, size int) *load {
	l := &load{size: size, every: sampling, counts: make([]count, workers)}
	if workers == 1 || size >= 16*kibibyte {
		l.every = 1
	}
	return l
}

// done returns how many calls have been finished.
func (l *load) done() uint64 {
	sum := uint64(0)
	for i := range l.counts {
		sum += l.counts[i].n.Load()
	}
	return sum
}

// newBody returns a body for a worker: its first 8 bytes are a number that no other
// request of the measurement has, once setNumber has been called; the rest differs
// from worker to worker.
func newBody(size, worker int) []byte {
	return bytes.Repeat([]byte{byte(worker) | 1}, max(size, 8))
}

func setNumber(body []byte, worker int, call uint64) {
	binary.LittleEndian.PutUint64(body, uint64(worker)<<40|call)
}

var errWrongAnswer = errors.New("the answer is not what was sent")

// call makes one call after another until the measurement is finished.
func (l *load) call(worker int, caller systems.Caller) error {
	body := newBody(l.size, worker)
	done := &l.counts[worker].n
	for i := uint64(0); ; i++ {
		if l.phase.Load() == finished {
			return nil
		}
		setNumber(body, worker, i)
		timed := i%uint64(l.every) == 0
		var start time.Time
		if timed {
			start = time.Now()
		}
		answer, err := caller.Echo(body)
		if err != nil {
			return err
		}
		if timed {
			l.record(worker, start)
		}
		if !bytes.Equal(answer, body) {
			return errWrongAnswer
		}
		done.Store(i + 1)
	}
}

// record takes the latency of a call that ends now, if some of it lay within the
// measurement: one that was stuck all the time counts, too.
func (l *load) record(worker int, start time.Time) {
	if l.phase.Load() != warming {
		l.latencies[worker%shards].record(time.Since(start))
	}
}

// pace makes calls at a steady rate, on each of the callers in turn. One that is late
// is made at once.
func (l *load) pace(worker, workers int, callers []systems.Caller, interval time.Duration) error {
	body := newBody(l.size, worker)
	done := &l.counts[worker].n
	next := time.Now().Add(interval * time.Duration(worker) / time.Duration(workers))
	for i := uint64(0); ; i++ {
		time.Sleep(time.Until(next))
		next = next.Add(interval)
		if l.phase.Load() == finished {
			return nil
		}
		setNumber(body, worker, i)
		start := time.Now()
		answer, err := callers[i%uint64(len(callers))].Echo(body)
		if err != nil {
			return err
		}
		l.record(worker, start)
		if !bytes.Equal(answer, body) {
			return errWrongAnswer
		}
		done.Store(i + 1)
	}
}

// stream takes one stream of results after another.
func (l *load) stream(worker int, streamer systems.Streamer, results int) error {
	done := &l.counts[worker].n
	want := make([]byte, systems.ResultSize)
	for total := uint64(0); l.phase.Load() != finished; {
		number := 0
		err := streamer.Stream(results, func(result []byte) error {
			systems.FillResult(want, number)
			if !bytes.Equal(result, want) {
				return fmt.Errorf("result %d is %x", number, result)
			}
			number++
			total++
			done.Store(total)
			return nil
		})
		if err != nil {
			return err
		}
		if number != results {
			return fmt.Errorf("%d results instead of %d", number, results)
		}
	}
	return nil
}

// A window is a worker that has many calls open at once: a systems.Flow.
type window struct {
	load   *load
	worker int
	places []place
	asked  uint64
	done   uint64
}

// A place is a call that is open, or was.
type place struct {
	body  []byte
	call  uint64
	start time.Time
	timed bool
}

func (l *load) newWindow(worker, size int) *window {
	w := &window{load: l, worker: worker, places: make([]place, size)}
	for i := range w.places {
		w.places[i].body = newBody(l.size, worker)
	}
	return w
}

// Request numbers a call so that its place follows from the number.
func (w *window) Request(number int) []byte {
	p := &w.places[number]
	p.call += uint64(len(w.places))
	setNumber(p.body, w.worker, p.call+uint64(number))
	w.asked++
	p.timed = w.asked%uint64(w.load.every) == 0
	if p.timed {
		p.start = time.Now()
	}
	return p.body
}

// Answer implements systems.Flow.
func (w *window) Answer(answer []byte) (int, error) {
	if len(answer) < 8 {
		return 0, errWrongAnswer
	}
	call := binary.LittleEndian.Uint64(answer) & (1<<40 - 1)
	number := int(call % uint64(len(w.places)))
	p := &w.places[number]
	if !bytes.Equal(answer, p.body) {
		return 0, errWrongAnswer
	}
	if p.timed {
		w.load.record(w.worker, p.start)
	}
	w.done++
	w.load.counts[w.worker].n.Store(w.done)
	return number, nil
}

// Done implements systems.Flow.
func (w *window) Done() bool { return w.load.phase.Load() == finished }
