package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/cmdstream/cmdstream/base"
)

// Send sends cmd and returns its Seq; what comes of it goes into results, one
// after another. It returns once the command is in the send buffer; while that,
// or the number of commands in flight, is at its limit, or there is no
// connection, it waits up to Conf.SendTimeout. The error is an *base.Error with
// outcome NotSent or Rejected, and nothing goes into results.
//
// The results of all commands of Send are decoded by one goroutine: a codec that
// waits for something holds up all of them. One channel may serve many commands.
// A full channel holds up the results of its own commands and of no others: the
// server waits once as many results as the channel has room for, 1 to 16, are on
// their way. The errors that Close ends commands with are dropped if results does
// not take them within a quarter of a second. A channel that is closed counts as
// forgotten.
func (c *Client[T]) Send(cmd base.Cmd[T], results chan<- base.AsyncResult) (base.Seq, error) {
	if results == nil {
		return 0, &base.Error{Outcome: base.NotSent, Code: base.ErrNilResults, Cmd: base.NameOf(cmd), Message: "the results channel is nil"}
	}
	k := call[T]{cmd: cmd, owner: channel, results: results, credit: min(max(cap(results), 1), 16)}
	k.wait = c.conf.SendTimeout
	k.begin(&c.clock, c.conf.Timeout)
	_, seq, err := c.send(context.Background(), &k)
	return seq, err
}

// delivery is a result on its way into a channel of Send.
type delivery struct {
	is     bool // there is one
	result base.AsyncResult
	held   int  // bytes of memory that the result has
	final  bool // nothing follows
}

func (d *delivery) present() bool { return d != nil && d.is }

// deliver delivers what has come for a command of Send, as far as its channel
// takes it at once. If it does not, a goroutine of the command's own goes on.
// It is called from the queue of deliveries.
func (c *Client[T]) deliver(s *slot[T]) {
	if !s.deliver(false) {
		c.deliverSlowly(s)
	}
}

// deliverSlowly goes on with a delivery in a goroutine of the command's own, which may wait.
func (c *Client[T]) deliverSlowly(s *slot[T]) {
	c.delivering.Go(func() {
		returned := false
		defer func() {
			if !returned {
				c.failDelivery(s)
			}
		}()
		s.deliver(true)
		returned = true
	})
}

// failDelivery goes on with a delivery whose goroutine was ended by the codec, or by a method of the
// command, in another: that ends the command.
func (c *Client[T]) failDelivery(s *slot[T]) {
	if !s.pending.present() { // else it was the Logger
		s.hold(nil, s.errBrokenOff(), true)
	}
	c.deliverSlowly(s)
}

// errBrokenOff makes the error of the slot's command, where the codec, or a method of the command, has
// ended the goroutine. It is not asked for its name, for that may be what has.
func (s *slot[T]) errBrokenOff() *base.Error {
	e := exited(base.Failed)
	e.Seq, e.Cmd = base.Seq(s.seq.Load()), fmt.Sprintf("%T", s.cmd)
	s.mu.Lock()
	if s.got == 0 { // else it has run
		e.Outcome, e.ID = base.Unknown, s.id()
	}
	s.mu.Unlock()
	return e
}

// exited makes the error of a command whose code ends its goroutine.
func exited(outcome base.Outcome) *base.Error {
	return &base.Error{Outcome: outcome, Code: base.ErrPanic, Message: "the codec, or the command, ended its goroutine by runtime.Goexit"}
}

// deliver returns false where it would have to wait, and may not.
func (s *slot[T]) deliver(wait bool) bool {
	for s.pending.present() || s.advance() {
		final := s.pending.final
		ended, delivered, forgotten := s.offer()
		if wait && !delivered && !forgotten {
			delivered, forgotten = s.offerSlowly()
		}
		switch {
		case forgotten:
			s.mu.Lock()
			s.owner, s.results = nobody, nil
			s.mu.Unlock()
			s.disown()
			return true
		case !delivered && !wait:
			return false
		case !delivered:
			continue // something has changed
		}
		s.link.client.memory.give(s.pending.held)
		*s.pending = delivery{}
		if final {
			s.leave(ended)
			return true
		}
		if s.credit++; s.credit >= (s.message.Credit+1)/2 {
			s.returnCredit()
		}
	}
	return true
}

// sendAnew sends a command of Send once more, over another link, where err, which has
// ended it here, allows that. The slot keeps its place until then, so that the
// command can be found.
func (s *slot[T]) sendAnew(err *base.Error) bool {
	c := s.link.client
	s.mu.Lock()
	k := call[T]{
		cmd: s.cmd, owner: channel, results: s.results, credit: s.message.Credit,
		seq: base.Seq(s.seq.Load()), origin: s.origin, mayHaveRun: s.mayHaveRun,
		patience: patience{deadline: s.deadline, wait: c.conf.SendTimeout},
	}
	s.mu.Unlock()
	if k.results == nil || !c.again(s.link, &k, err) {
		return false
	}
	c.delivering.Go(func() {
		broken := exited(base.NotSent) // unless send returns
		broken.Cmd = err.Cmd
		var seq base.Seq
		err := error(broken)
		defer func() { s.sentAnew(&k, seq, err) }()
		_, seq, err = c.send(context.Background(), &k)
	})
	return true
}

// sentAnew is the end of sendAnew: the command is seq's slot's by now, or it has ended with err.
func (s *slot[T]) sentAnew(k *call[T], seq base.Seq, err error) {
	c := s.link.client
	if err != nil {
		var e *base.Error
		errors.As(k.ends(err), &e)
		e.Seq = k.seq
		s.hold(nil, e, true)
		c.deliverSlowly(s)
		return
	}
	if s.yieldSeq() {
		c.Forget(seq)
	}
	s.link.release(s)
}

// yieldSeq leaves the command's Seq to the slot on which it was sent once more. It returns whether
// the command was forgotten. Who looks for its slots finds this one or that, but never neither.
func (s *slot[T]) yieldSeq() (forgotten bool) {
	c := s.link.client
	c.mu.Lock()
	defer c.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq.Store(0)
	return s.owner == nobody
}

func (s *slot[T]) returnCredit() {
	s.giveCredit(base.Seq(s.seq.Load()), s.credit)
	s.credit = 0
}

// advance puts the next result into pending. It returns false when there is none
// at the moment; the reader will queue the slot again.
func (s *slot[T]) advance() bool {
	for {
		if result, last, err, ok := s.pop(); ok {
			if err == nil && !s.keep() {
				result, err = nil, s.named(s.link.client.memory.refusal(s.size))
			}
			s.hold(result, err, last)
			return true
		}
		s.mu.Lock()
		switch {
		case s.owner != channel:
			s.mu.Unlock()
			s.disown()
			return false
		case len(s.in.items) > 0:
			s.takeLocked()
			s.mu.Unlock()
		case s.ended:
			err, untouched := s.err, s.got == 0
			s.mu.Unlock()
			err = s.named(err)
			if untouched && s.sendAnew(err) {
				return false
			}
			s.hold(nil, err, true)
			return true
		case s.expired:
			outcome := s.untaken()
			s.canceled = outcome == base.NotSent // and so will no other connection take it
			s.mu.Unlock()
			err := s.wrap(base.Unknown, base.ErrDeadline, "its time, Conf.Timeout, is over", nil)
			s.hold(nil, withOutcome(err, outcome), true)
			return true
		default:
			s.queued = false
			credit, seq := s.credit, base.Seq(s.seq.Load())
			s.credit = 0
			s.mu.Unlock()
			s.giveCredit(seq, credit)
			return false
		}
	}
}

// keep takes the memory of the popped result, while it waits for its channel, if it has
// become larger by decompression than what it has. It returns false if there is none.
func (s *slot[T]) keep() bool {
	more := s.size - max(s.holding, keepInbox)
	if more <= 0 {
		return true
	}
	if !s.link.client.memory.take(more) {
		return false
	}
	s.holding += more
	return true
}

func (s *slot[T]) hold(result base.Result, err error, last bool) {
	if s.mayHaveRun {
		err = mayHaveRun(err, base.Seq(s.seq.Load()), s.id())
	}
	if s.pending == nil {
		s.pending = new(delivery)
	}
	*s.pending = delivery{
		is: true, held: s.holding,
		result: base.AsyncResult{Seq: base.Seq(s.seq.Load()), Result: result, Err: err},
		final:  last || err != nil,
	}
	s.holding = 0
}

// offer offers pending to the channel, without waiting. It holds the lock, so that nothing goes
// into the channel once Forget has returned. A closed channel counts as forgotten.
func (s *slot[T]) offer() (ended, delivered, forgotten bool) {
	defer s.closed(&forgotten)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.final = s.pending.final
	if s.results == nil {
		return s.ended, false, true
	}
	select {
	case s.results <- s.pending.result:
		return s.ended, true, false
	default:
		return s.ended, false, false
	}
}

// offerSlowly waits until the channel takes pending, or something has changed. One that takes
// nothing for too long after Close counts as forgotten, too.
func (s *slot[T]) offerSlowly() (delivered, forgotten bool) {
	defer s.closed(&forgotten)
	s.mu.Lock()
	results := s.results
	if results == nil {
		s.mu.Unlock()
		return false, true
	}
	over := make(chan struct{})
	s.offering = over
	s.mu.Unlock()
	defer close(over)
	select {
	case results <- s.pending.result:
		return true, false
	case <-s.ready:
		return false, false
	case <-s.link.client.giveUp:
		return false, true
	}
}

// closed recovers from a send on a closed channel. It is deferred before all else, so that the
// Logger may call the client: no lock is held by then, and no [Client.Forget] waits.
func (s *slot[T]) closed(forgotten *bool) {
	if v := recover(); v != nil {
		s.mu.Lock()
		s.results = nil // also if the Logger does not return
		s.mu.Unlock()
		s.link.client.conf.Logger.Error("a result could not be delivered", "seq", s.pending.result.Seq, "reason", v)
		*forgotten = true
	}
}

// disown ends the delivery of a command that was forgotten: what is left goes to
// the UnexpectedResultCallback, and from now on the reader sees to the slot.
func (s *slot[T]) disown() {
	s.mu.Lock()
	left, ended := s.leftovers(), s.ended
	if !ended {
		left.slot = s
	}
	credit := s.credit + s.link.client.orphan(left)
	s.credit, s.queued = 0, false
	s.mu.Unlock()
	if ended {
		s.link.release(s)
	} else {
		s.giveCredit(left.seq, credit)
	}
}
