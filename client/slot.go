package client

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/internal/wheel"
	"github.com/cmdstream/cmdstream/transport"
)

// slot is a place for one open command of a link. Its index is the command's
// name on the wire; the record is made once and used again and again.
//
// A slot is taken by a caller, who encodes the command and sends it; the reader
// puts what comes for it into in; whoever owns the command takes it out of
// there. It is released by the owner once the command's last frame was taken, or
// by the reader where nobody owns it any more.
//
// What is looked at together lies together: a thousand slots are in no cache. The first three
// lines of one, of 64 bytes each, are what the reader looks at.
type slot[T any] struct {
	link  *link[T]
	ready chan bool    // of capacity 1: something has changed for the owner; true: nothing more will
	seq   atomic.Int64 // the open command's, as its user knows it; 0 until it is appended

	// mu protects what follows, up to out. Without it who takes the slot writes cmd and until,
	// and the owner reads in and err once ready has said that the command is over.
	mu        sync.Mutex
	in        *inbox          // where the results go that come; it may be swapped with other when those are taken
	conn      *transport.Conn // where the command, and all about it, goes; nil: nowhere, at the moment
	owner     owner
	standing  standing
	sent      bool   // the command was appended
	wrote     bool   // a connection that has ended had taken all of it
	canceled  bool   // nobody wants the command any more
	ended     bool   // the last frame has come, or never will
	queued    bool   // a delivery is under way, or will be
	final     bool   // what ends the command is being delivered
	expired   bool   // the deadline has passed
	owed      bool   // the slot is in the link's owing
	resending bool   // a goroutine is sending the command again, which is large
	released  bool   // meanwhile it was released
	turn      uint32 // of owing, in which the first result has come that is not acknowledged

	inbox   inbox
	item    [1]item  // of inbox, where one is enough
	granted int      // results that the server may have sent by now, where the wire has credit
	got     int      // results that have come
	acked   int      // of these, in a session, the server knows
	small   [32]byte // of inbox, where that is enough

	cmd      base.Cmd[T]
	number   base.Seq                // the command's Seq on the wire
	err      *base.Error             // how it ended, unless by a result; it does not name the command
	until    moment                  // the command's deadline, by ctx or by Conf.Timeout
	deadline moment                  // by Conf.Timeout
	alarm    moment                  // when the timer fires; 0: it does not. It may be another command's
	results  chan<- base.AsyncResult // of Send
	inputs   *inputs                 // of a command of Open
	origin   *base.ID                // of a command that was sent in an earlier session
	settling chan struct{}           // closed when the command is sent, or not: its connection has ended meanwhile; nil: nobody waits
	other    *inbox                  // see in; made when it is needed
	space    chan struct{}           // closed when in was emptied; nil: nobody waits
	offering chan struct{}           // closed once the delivery no longer waits for its channel; nil: it never has

	// Of the owner.
	out     *inbox // what was taken out of in; nil: nothing
	next    int    // the item in out that is taken next
	from    int    // where its body begins
	size    int    // of the result that was popped last, once it was decompressed
	holding int    // bytes of memory that it has
	body    transport.Body
	credit  int       // results taken for which no credit was given back yet
	bytes   int       // that these had
	window  int       // how many may be on their way, of Results and Open
	pending *delivery // of Send; made when it is needed

	// Of the caller who took the slot, until the command is sent; message is the
	// connection's then. scratch keeps the encoded command until the slot is free.
	first      base.Seq // of a command that is sent once more: the Seq that its user knows; else 0
	mayHaveRun bool     // before, of such a command
	scratch    transport.Buffer
	shortBody  [short]byte // of scratch, where that is enough
	compressed transport.Buffer
	message    transport.Message

	index int
	timer wheel.Timer // of Conf.Timeout
}

// owner is who takes a command's results.
type owner uint8

const (
	nobody  owner = iota // the command was forgotten, or given up
	waiting              // a goroutine in Do or Results
	channel              // the channel of Send
)

// standing is where an open command stands with the server, in a session.
type standing uint8

const (
	known  standing = iota // as far as the connection has come
	listed                 // the server was asked whether it has seen the command
	unseen                 // it has not: the command is to be sent again
)

// short is how many bytes of a command a slot has room for, in itself.
const short = 56

// init makes a zero slot a free one, but for its index.
func (s *slot[T]) init(l *link[T]) {
	s.link, s.ready, s.window = l, make(chan bool, 1), window
	s.inbox.memory = &l.client.memory
	s.inbox.items, s.inbox.bytes = s.item[:0], s.small[:0]
	s.in = &s.inbox
	s.scratch.B = s.shortBody[:0]
}

// SetSeq implements transport.Sequenced. The connection calls it as it appends the
// command.
func (s *slot[T]) SetSeq(seq base.Seq) {
	s.number = seq
	if s.first != 0 {
		seq = s.first
	}
	s.seq.Store(int64(seq))
}

// signal wakes the owner, or has the results delivered. The caller holds mu.
func (s *slot[T]) signal() {
	if s.owner == channel {
		if !s.queued && s.sent {
			s.queued = true
			s.link.client.deliveries.add(s)
		}
	} // and a delivery that waits for its channel wakes up
	select {
	case s.ready <- s.ended:
	default:
	}
}

// arm starts the timer of the command's deadline. It is not stopped when the command ends: the
// next one's deadline is later, unless that one is sent again, and once the timer fires it is
// started for that. The caller holds mu.
func (s *slot[T]) arm() {
	s.alarm = s.deadline
	if s.timer.Fire == nil {
		s.timer.Fire = s.expire
	}
	c := s.link.client
	c.wheel.Start(&s.timer, time.Duration(s.deadline-c.clock.now()))
}

// expire is called by the wheel when the deadline may have passed; the slot may
// belong to a later command by then.
func (s *slot[T]) expire() {
	s.mu.Lock()
	s.alarm = 0
	timed := s.owner != nobody && s.deadline != 0
	expired := timed && s.link.client.clock.now() >= s.deadline
	switch {
	case expired:
		s.expired = true
		s.signal()
	case timed:
		s.arm()
	}
	s.mu.Unlock()
	if expired {
		s.kick()
	}
}

// wrap makes the error that ends the slot's command. Of a codec's err that is an
// *Error already it only adds which command it was, and the outcome, which a codec
// can't know.
func (s *slot[T]) wrap(outcome base.Outcome, code base.Code, message string, err error) *base.Error {
	e := &base.Error{Outcome: outcome, Code: code, Message: message, Err: err}
	if own := (*base.Error)(nil); code == base.ErrDecode && errors.As(err, &own) && own != nil {
		e = own
	}
	e = s.named(e)
	e.Outcome = outcome
	return e
}

// named returns a copy of err that tells the slot's command. It asks the command for its name: mu
// is not held.
func (s *slot[T]) named(err *base.Error) *base.Error {
	returned := false
	defer func() {
		if !returned {
			s.breakOff()
		}
	}()
	e := *err
	e.Seq, e.Cmd = base.Seq(s.seq.Load()), base.NameOf(s.cmd)
	returned = true
	if e.Outcome == base.Unknown {
		e.ID = s.id()
	}
	return &e
}

// id returns the command's ID; the zero ID where there is no session.
func (s *slot[T]) id() base.ID {
	switch {
	case s.origin != nil:
		return *s.origin
	case s.link.session != nil:
		return base.ID{Session: s.link.session.ID, Seq: s.number}
	}
	return base.ID{}
}

// giveUp leaves the command to itself: the server is told to cancel it, and the
// reader frees the slot when its last frame has come. It does nothing, and
// returns false, if that has come already: a ready result beats the wish to
// leave. The outcome is what is known of the command: NotSent where no connection has
// taken it, for then none will.
func (s *slot[T]) giveUp() (outcome base.Outcome, left bool) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return base.Unknown, false
	}
	outcome = s.untaken()
	s.owner, s.results, s.queued = nobody, nil, false // from now on the reader sees to the slot
	s.canceled = true
	s.settled() // of a large command, half of which was sent
	s.dropInputs()
	conn, flush := s.conn, false
	if conn != nil && conn.Supports(transport.Cancel) {
		cut := s.message.Large() && conn.Progress(&s.message) == transport.Cut // its last piece says enough
		if !cut {
			flush, _ = conn.Append(&transport.Message{Kind: transport.Cancel, Slot: s.index})
		}
	}
	s.link.client.orphan(s.leftovers())
	s.mu.Unlock()
	if flush {
		conn.Flush(false)
	}
	return outcome, true
}

// untaken returns what is known of an open command that is given up: NotSent where no
// connection has taken it, nor will, and else Unknown. The caller holds mu.
func (s *slot[T]) untaken() base.Outcome {
	if s.conn == nil && s.sent && !s.wrote && !s.resending {
		return base.NotSent
	}
	return base.Unknown
}

// leftovers takes all that has come for the command and was not taken. The owner
// calls it, holding mu.
func (s *slot[T]) leftovers() orphan[T] {
	o := newOrphan(s.link, base.Seq(s.seq.Load()), s.cmd)
	switch d := s.pending; {
	case !d.present():
	case d.result.Err == nil:
		o.items = append(o.items, item{})
		o.setApart(apart{value: d.result.Result, held: d.held})
		*d = delivery{}
	default:
		s.link.client.memory.give(d.held)
		*d = delivery{}
	}
	if s.out != nil {
		o.copy(s.out, s.next, s.from)
		s.out.reset() // and so the following is nothing where both are the same
	}
	o.copy(s.in, 0, 0)
	s.in.reset()
	s.out, s.next, s.from = nil, 0, 0
	s.makeSpace()
	return o
}

// giveCredit lets the server send n more results of the command seq, if that is
// still open.
func (s *slot[T]) giveCredit(seq base.Seq, n int) {
	if n == 0 {
		return
	}
	s.mu.Lock()
	conn, flush := s.conn, false
	if base.Seq(s.seq.Load()) == seq && !s.ended && !s.canceled {
		s.granted += n
		if conn != nil && conn.Supports(transport.Credit) {
			flush, _ = conn.Append(&transport.Message{Kind: transport.Credit, Slot: s.index, Credit: n})
		}
	}
	s.mu.Unlock()
	if flush {
		conn.Flush(false)
	}
}
