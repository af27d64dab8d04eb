package handler

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// Session is the commands of one client, and what holds for all of them. A client
// that asked for a session finds it again over its next connection: docs/spec.md,
// section 11. That of any other client ends with its connection.
type Session[T any] struct {
	handler       *Handler[T]
	ctx           context.Context // of whose values those of the commands are; of the reader
	maxResultSize int
	compression   transport.Compression // nil: none
	named         bool                  // the client asked for it: it may outlive a connection
	id            transport.SessionID
	principal     string

	ended    atomic.Bool // its commands are canceled, or will be
	draining atomic.Pointer[base.Error]
	last     atomic.Pointer[transport.Conn] // the connection of the moment, or the last one

	mu      sync.Mutex    // protects what follows
	running int           // commands whose Exec has not returned, and the one that is being let in
	table   []*command[T] // by slot; nil: never used, or the last command on it is in past
	past    []over        // by slot: the last command that is over
	answers [][]byte      // by slot: the answer of that command, in a session with a name
	left    []*command[T] // running ones whose slot is another's already
	free    []*command[T] // records of commands that are over, and in no Send; the last one is used next, as it is still in a cache
	unused  int           // of free, the first ones: not used since trim
	resting bool          // no command has come since rest

	// life protects what follows; it is taken before mu.
	life     sync.Mutex
	epoch    uint64          // of the newest connection
	resuming context.Context // what ctx becomes once that is attached
	conn     *Conn[T]        // attached; nil: the session is without a connection
	hellos   int             // that are about to resume it
	over     error           // why it has ended; nil: it has not
	expiry   *time.Timer     // while it is without a connection

	small, large, failures keeping // results up to transport.AckAbove, and above it
}

func newSession[T any](h *Handler[T], ctx context.Context, hello *transport.Hello) *Session[T] {
	return &Session[T]{handler: h, ctx: ctx, maxResultSize: hello.MaxResultSize}
}

// Running returns how many commands have not returned yet.
func (s *Session[T]) Running() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running
}

// crowd tells whether other commands are likely to send results now.
func (s *Session[T]) crowd() bool { return s.Running() > 1 }

// drain lets no further command begin.
func (s *Session[T]) drain(retryAfter time.Duration) {
	s.draining.Store(&base.Error{
		Outcome: base.Rejected, Code: base.ErrDraining,
		Message: "the server is shutting down and takes no more commands", RetryAfter: retryAfter,
	})
}

// record finds a record for a new command on its slot, and returns how many are running with
// it.
func (s *Session[T]) record(m *transport.Message, slots bool) (x *command[T], running int, err error) {
	s.mu.Lock()
	if x, err = s.recordLocked(m, slots); err == nil {
		s.running++
		s.resting = false
	}
	running = s.running
	s.mu.Unlock()
	return x, running, err
}

func (s *Session[T]) recordLocked(m *transport.Message, slots bool) (*command[T], error) {
	if m.Slot >= len(s.table) {
		s.grow(m.Slot)
	}
	x, past := s.table[m.Slot], &s.past[m.Slot]
	if slots && past.forbids(m.Seq) {
		return nil, tooOld(m, past.seq)
	}
	if past.unseen {
		s.seen(m.Slot)
	}
	if x != nil {
		if again, err := s.vacate(x, m, slots); again || err != nil {
			return x, err
		}
	}
	x = s.spare(m.Seq)
	s.table[m.Slot] = x
	return x, nil
}

// grow makes room for the commands of a slot. The caller holds mu.
func (s *Session[T]) grow(slot int) {
	for slot >= len(s.table) {
		s.table = append(s.table, nil)
		s.past = append(s.past, over{})
		if s.named {
			s.answers = append(s.answers, nil)
		}
	}
}

// vacate lets go of a slot's last command, whose record x is, for the new one in m. It tells
// whether the record may serve again. The caller holds mu.
func (s *Session[T]) vacate(x *command[T], m *transport.Message, slots bool) (again bool, err error) {
	x.mu.Lock()
	ended, last, busy, free := x.hasEnded(), over{seq: x.seq, rejected: x.rejected}, x.running, x.mayServe()
	x.mu.Unlock()
	switch {
	case !ended:
		return false, transport.BrokenRule("a command came on slot %d, where command %d is open", m.Slot, last.seq)
	case slots && last.forbids(m.Seq): // the plain wire has no slots to speak of
		return false, tooOld(m, last.seq)
	case busy:
		x.letGo()
		x.place = len(s.left)
		s.left = append(s.left, x)
	case last.seq < m.Seq && free:
		return true, nil
	default:
		x.letGo()
	}
	return false, nil
}

// keepFree is how many records a session keeps that no command has had for a while. After a burst the
// others are the garbage collector's.
const keepFree = 64

// over is a command that is over.
type over struct {
	seq        base.Seq
	rejected   bool // and so it may come once more
	answered   bool // in a session: by one small result, which is in answers
	unseen     bool // for its client has not acknowledged it
	compressed bool // it is
}

// forbids tells whether a command may not come after it on its slot.
func (o *over) forbids(seq base.Seq) bool { return seq < o.seq || seq == o.seq && !o.rejected }

func tooOld(m *transport.Message, seq base.Seq) error {
	return transport.BrokenRule("command %d came on slot %d after command %d", m.Seq, m.Slot, seq)
}

// spare returns a record for which there is no command, and has been none that came after
// the given one: so a Proxy that was kept is told from the new one's by its Seq. The caller
// holds mu.
func (s *Session[T]) spare(seq base.Seq) *command[T] {
	for n := len(s.free) - 1; n >= 0; n-- {
		x := s.free[n]
		s.free[n], s.free, s.unused = nil, s.free[:n], min(s.unused, n)
		if x.seq < seq && x.ctx.mayServe() {
			return x
		}
	}
	return newCommand(s)
}

// finish lets go of a command whose Exec has returned, and ends it, where it has not ended yet:
// a last result was due. Its ctx ends in any case: a goroutine that the command left behind may
// wait for that.
func (s *Session[T]) finish(x *command[T]) {
	if x.held > 0 {
		x.memory.give(x.held)
		x.held = 0
	}
	x.value = nil
	x.reader.Release()
	if cap(x.body) > keepBody {
		s.handler.memory.bodies.Put(x.body)
		x.body = nil
	}
	s.mu.Lock()
	x.mu.Lock()
	x.running, x.cmd = false, nil
	if x.armed {
		x.armed = false
		s.handler.wheel.Stop(&x.timer)
	}
	var t told
	if !x.hasEnded() {
		t = x.endLocked(noResult(), false)
		t.apart = !x.led()
	}
	x.ctx.cancel(context.Canceled, errReturned)
	if cap(x.ctx.metadata) > keepMetadata { // the record may stay, and its memory was given back
		x.ctx.metadata = nil
	}
	x.endInputs()
	spent, last := x.ended, over{seq: x.seq, rejected: x.rejected}
	if spent && s.named && s.table[x.slot] == x { // its client may not have seen what it sent
		spent = s.takeAnswer(x, &last)
	}
	free := x.mayServe()
	x.mu.Unlock()
	switch {
	case s.table[x.slot] != x:
		n := len(s.left) - 1
		s.left[x.place], s.left[n].place = s.left[n], x.place
		s.left[n], s.left = nil, s.left[:n]
	case spent:
		s.table[x.slot], s.past[x.slot] = nil, last
	default:
		free = false // it stays the slot's
	}
	if free && !s.resting {
		s.free = append(s.free, x)
	}
	s.returned()
	s.mu.Unlock()
	x.tell(t)
}

// returned counts a command that does not run any more. After the last one of a burst most of its
// records are let go at once, for it may be the last one of all. The caller holds mu.
func (s *Session[T]) returned() {
	if s.running--; s.running == 0 && len(s.free) > keepFree {
		s.free, s.unused = slices.Clone(s.free[len(s.free)-keepFree:]), 0
	}
}

// trim gives up the records that nobody has used since it was called last, but for keepFree.
func (s *Session[T]) trim() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := min(s.unused, len(s.free)-keepFree); n > 0 {
		s.free = slices.Clone(s.free[n:])
	}
	s.unused = len(s.free)
}

// rest gives up the records that nobody uses, until the next command those, too, that running ones
// have.
func (s *Session[T]) rest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free, s.unused, s.resting = nil, 0, true
}

// end ends the session and the ctx of its commands, for a reason; only the first
// call counts.
func (s *Session[T]) end(reason error) {
	s.life.Lock()
	first := s.close(reason)
	s.life.Unlock()
	if first {
		s.endCommands(reason)
	}
}

// close lets nobody resume the session any more, unless it was closed before. The caller holds
// life, and calls endCommands afterwards.
func (s *Session[T]) close(reason error) (first bool) {
	if s.over != nil {
		return false
	}
	s.over = reason
	if s.expiry != nil {
		s.expiry.Stop()
	}
	return true
}

func (s *Session[T]) endCommands(reason error) {
	s.ended.Store(true) // from now on none becomes past
	s.mu.Lock()
	commands := slices.Concat(s.table, s.left)
	s.seenAll()
	s.mu.Unlock()
	for _, x := range commands {
		if x != nil {
			x.lose(reason)
		}
	}
	if s.named {
		s.small.close()
		s.large.close()
	}
}

// lose ends the command with its session.
func (x *command[T]) lose(reason error) {
	x.mu.Lock()
	seq := x.seq
	x.mu.Unlock()
	x.cancel(seq, context.Canceled, &base.Error{Outcome: base.Unknown, Code: base.ErrConnLost, Message: "the command's connection was lost", Err: reason})
	x.letGo()
}

// open tells, of a session without a connection, whether a command runs, or has ended
// and its client may not have seen all that it sent.
func (s *Session[T]) open() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running > 0 || slices.ContainsFunc(s.past, func(o over) bool { return o.unseen }) ||
		slices.ContainsFunc(s.table, func(x *command[T]) bool { return x != nil && x.unseen() })
}
