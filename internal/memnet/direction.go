package memnet

import (
	"math"
	"sync"
	"time"
)

// direction is one of the two byte streams of a link. All of it is protected by
// the mutex of the link.
//
// Waiting is done on a sync.Cond only: it counts as durably blocked in a bubble
// of testing/synctest, which a mutex held for long would not.
type direction struct {
	link    *link
	reverse *direction

	// changed tells the readers and writers to look again.
	changed sync.Cond

	buffer  ring
	written int64 // bytes the writer has got rid of
	taken   int64 // bytes the reader has got
	arrived int64 // bytes the reader may have

	finished   bool // the writer can write no more
	ended      bool // the reader knows
	readerGone bool // the reader's end is closed

	// writing serialises the calls of Write: one is not mixed up with another.
	writing bool

	plan       Plan
	reads      sizes
	deliveries sizes

	underway []delivery
	timer    *time.Timer // runs out when the first delivery arrives
}

func (d *direction) init(link *link, reverse *direction, size int) {
	d.link, d.reverse = link, reverse
	d.changed.L = &link.mu
	d.buffer.size = size
}

// accept takes bytes of p from the writer, as many as there is room for before
// the cut, and returns their number. It is not called on a finished direction.
func (d *direction) accept(p []byte) int {
	n := min(len(p), d.buffer.room())
	if d.plan.Cut == FIN || d.plan.Cut == RST {
		n = int(min(int64(n), d.plan.At-d.written))
	}
	if n == 0 {
		return 0
	}
	d.buffer.push(p[:n])
	start := d.written
	d.written += int64(n)
	for offset, bits := range d.plan.Corrupt {
		if offset >= start && offset < d.written {
			d.buffer.flip(int(offset-d.taken), bits)
		}
	}
	d.send(start)
	d.cutIfDue()
	return n
}

// take moves bytes that have arrived to p and returns their number.
func (d *direction) take(p []byte) int {
	ready := min(d.arrived, d.horizon()) - d.taken
	n := int(min(int64(len(p)), ready))
	if n <= 0 {
		return 0
	}
	n = d.reads.limit(n)
	d.buffer.pop(p[:n])
	d.taken += int64(n)
	d.changed.Broadcast()
	return n
}

// atEnd reports whether the reader has got all there will ever be.
func (d *direction) atEnd() bool {
	return d.ended && d.taken == d.arrived && d.arrived < d.horizon()
}

// setPlan replaces the plan.
func (d *direction) setPlan(p Plan) {
	d.plan = p
	d.reads = newSizes(p.Seed, 0, p.ShortReads)
	d.deliveries = newSizes(p.Seed, 1, p.ShortDeliveries)
	d.cutIfDue()
	d.changed.Broadcast()
	// Without the Stall of this direction, the writer of the other one may learn
	// that its reader has gone.
	d.reverse.changed.Broadcast()
}

// cutIfDue breaks off a direction that has reached its cut. A Stall needs no
// doing: the horizon hides what is behind it. A Partition becomes two.
func (d *direction) cutIfDue() {
	if d.written < d.plan.At {
		return
	}
	switch d.plan.Cut {
	case FIN:
		d.finish()
	case RST:
		d.link.doReset()
	case Partition:
		d.plan.Cut = Stall
		d.reverse.plan.Cut, d.reverse.plan.At = Stall, d.reverse.written
		d.reverse.changed.Broadcast()
	}
}

// horizon is the offset that nothing gets across.
func (d *direction) horizon() int64 {
	if d.plan.Cut == Stall || d.plan.Cut == Partition {
		return d.plan.At
	}
	return math.MaxInt64
}

// silent reports whether what would be written now would never arrive.
func (d *direction) silent() bool {
	return d.written >= d.horizon()
}

// broken reports whether writing is in vain and the writer can know: it has
// ended the stream, or the reader has gone and that word can get through.
func (d *direction) broken() bool {
	return d.finished || d.readerGone && !d.silent() && !d.reverse.silent()
}

// finish ends the stream after what was written.
func (d *direction) finish() {
	if d.finished {
		return
	}
	d.finished = true
	if d.plan.Delay <= 0 && len(d.underway) == 0 {
		d.ended = true
	} else {
		d.enqueue(delivery{upTo: d.written, end: true, at: time.Now().Add(d.plan.Delay)})
	}
	d.changed.Broadcast()
}

// wake makes the calls blocked on the direction look again. It takes the lock so
// as not to come between their look and their sleep.
func (d *direction) wake() {
	d.link.mu.Lock()
	defer d.link.mu.Unlock()
	d.changed.Broadcast()
}

// drop loses all that the reader has not got.
func (d *direction) drop() {
	d.buffer.clear()
	d.underway = nil
	if d.timer != nil {
		d.timer.Stop()
	}
	d.changed.Broadcast()
}
