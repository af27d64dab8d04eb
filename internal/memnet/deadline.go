package memnet

import "time"

// deadline is one of the deadlines of a Conn.
type deadline struct {
	// wake runs in a goroutine of its own when the deadline is reached, and maybe
	// once more when it was replaced just then.
	wake func()

	at    time.Time // zero: none
	timer *time.Timer
}

// set replaces the deadline.
func (d *deadline) set(at time.Time) {
	d.stop()
	d.at = time.Time{}
	if at.IsZero() {
		return
	}
	// A deadline without a monotonic clock reading could be reached by the timer
	// but not by the clock, if that is adjusted.
	now := time.Now()
	left := at.Sub(now)
	d.at = now.Add(left)
	switch {
	case left <= 0:
	case d.timer == nil:
		d.timer = time.AfterFunc(left, d.wake)
	default:
		d.timer.Reset(left)
	}
}

func (d *deadline) passed() bool {
	return !d.at.IsZero() && !time.Now().Before(d.at)
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}
