package memnet

import "time"

// delivery is a part of the stream on its way to the reader: the bytes before an
// offset, and maybe the end.
type delivery struct {
	upTo int64
	end  bool
	at   time.Time
}

// send puts the bytes from start to what is written on their way.
func (d *direction) send(start int64) {
	short := d.plan.ShortDeliveries > 0
	if d.plan.Delay <= 0 && !short && len(d.underway) == 0 {
		d.arrived = d.written
		d.changed.Broadcast()
		return
	}
	pause := max(d.plan.Delay, 0)
	at := time.Now().Add(pause)
	if short {
		pause = max(pause, time.Nanosecond)
		if n := len(d.underway); n > 0 {
			at = later(at, d.underway[n-1].at.Add(pause))
		}
	}
	for start < d.written {
		start += int64(d.deliveries.limit(int(d.written - start)))
		d.enqueue(delivery{upTo: start, at: at})
		at = at.Add(pause)
	}
}

// enqueue adds a delivery, which does not overtake those under way.
func (d *direction) enqueue(next delivery) {
	n := len(d.underway)
	if n > 0 {
		next.at = later(next.at, d.underway[n-1].at)
	}
	d.underway = append(d.underway, next)
	if n == 0 {
		d.startTimer()
	}
}

// startTimer makes arrive run when the first delivery is due.
func (d *direction) startTimer() {
	wait := time.Until(d.underway[0].at)
	if d.timer == nil {
		d.timer = time.AfterFunc(wait, d.arrive)
	} else {
		d.timer.Reset(wait)
	}
}

// arrive hands what has been under way for long enough to the reader.
func (d *direction) arrive() {
	d.link.mu.Lock()
	defer d.link.mu.Unlock()
	now := time.Now()
	for len(d.underway) > 0 && !d.underway[0].at.After(now) {
		d.arrived, d.ended = d.underway[0].upTo, d.underway[0].end
		d.underway = d.underway[1:]
	}
	if len(d.underway) > 0 {
		d.startTimer()
	}
	d.changed.Broadcast()
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
