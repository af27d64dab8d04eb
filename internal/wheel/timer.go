package wheel

// Timer is one deadline, to be embedded in the struct of its owner. The zero
// value with Fire set is ready for [Wheel.Start]. A Timer must not be copied
// after its first use, and while it is armed it belongs to one wheel.
type Timer struct {
	// Fire is called when the time has come, in the wheel's goroutine and
	// without the wheel's lock, so it may call Start and Stop. It must not block,
	// for it holds up all other timers. It is set once, before the first Start.
	Fire func()

	// The links of the list that the timer is in; nil if it is not armed.
	next, previous *Timer
	tick           int64
}

// unlink takes t out of its list.
func (t *Timer) unlink() {
	t.previous.next = t.next
	t.next.previous = t.previous
	t.next, t.previous = nil, nil
}

// list is a circular doubly linked list of timers. Its root is a Timer too, so
// that a timer can be unlinked without knowing its list.
type list struct{ root Timer }

func (l *list) init() {
	l.root.next, l.root.previous = &l.root, &l.root
}

func (l *list) empty() bool {
	return l.root.next == &l.root
}

// first returns the oldest timer of a list that is not empty.
func (l *list) first() *Timer {
	return l.root.next
}

// push adds t at the end.
func (l *list) push(t *Timer) {
	t.previous, t.next = l.root.previous, &l.root
	t.previous.next = t
	l.root.previous = t
}

// moveDue moves the timers whose tick is not after now to the end of due, and
// returns the earliest tick of those that stay.
func (l *list) moveDue(now int64, due *list) (earliest int64) {
	earliest = never
	for t := l.root.next; t != &l.root; {
		following := t.next
		if t.tick <= now {
			t.unlink()
			due.push(t)
		} else {
			earliest = min(earliest, t.tick)
		}
		t = following
	}
	return earliest
}
