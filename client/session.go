package client

import (
	"context"
	"crypto/rand"
	"errors"
	"net"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/delegate"
	"github.com/cmdstream/cmdstream/transport"
)

// A session lets the commands of a link outlive its connection: docs/spec.md,
// section 11. When the connection has ended and nobody reads from it or writes to it
// any more, the link dials again, tells the server of its open slots, and goes on
// where each of them stands.

// newSession returns a session that is yet to be opened. Its id stands in one hello
// only: whoever gets no answer to that opens another.
func newSession() *transport.Session {
	session := &transport.Session{Epoch: 1}
	rand.Read(session.ID[:])
	return session
}

// resume makes a further connection for the session. It goes on until that succeeds,
// the server says that the session is lost, or another's, or must have lost it by its own
// word.
func (l *link[T]) resume(reason error) (*transport.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(l.client.ctx, l.sessionTime, errSessionTime)
	defer cancel()
	if l.redialer == nil {
		l.redialer = &delegate.Redialer{
			HelloTimeout: l.client.conf.SysDataReceiveTimeout, Backoff: l.client.conf.Backoff,
			Try: l.tryResume, OnFailure: l.client.reportAttempt,
		}
	}
	if l.livedWell() {
		l.redialer.Reset()
	}
	err := l.redialer.Connect(ctx, reason)
	switch {
	case err == nil:
		return l.fresh, nil
	case l.client.Err() != nil:
		return nil, l.client.Err()
	case errors.Is(err, errSessionTime):
		return nil, &base.Error{Code: base.ErrSessionLost, Message: "the session could not be resumed within the time for which the server keeps it, " + l.sessionTime.String(), Err: reason}
	case delegate.Final(err):
		var e *base.Error
		errors.As(err, &e)
		if e.Remote && e.Code == base.ErrUnauthorized { // but it may open another
			return nil, &base.Error{Code: base.ErrSessionLost, Message: "the session is not this client's any more", Err: err}
		}
		final := *e
		final.Outcome = base.Unknown // of the hello it was rejected; of the open commands nothing is known
		return nil, &final
	}
	return nil, err
}

var errSessionTime = errors.New("the session's time is over")

// tryResume makes one attempt. Each has an epoch of its own, so that the server can
// tell a hello that was long on its way.
func (l *link[T]) tryResume(ctx context.Context) error {
	c := l.client
	if l.end() != nil && l.isIdle() {
		return &base.Error{Code: base.ErrSessionLost, Message: "the session is not needed any more", Err: l.end()}
	}
	nc, err := c.dial(ctx)
	if err != nil {
		return err
	}
	session := *l.session
	session.Resume = true
	session.Epoch++
	l.session.Epoch = session.Epoch
	l.fresh, _, err = c.connect(ctx, nc, l, &session)
	return err
}

// attach lets the link go on over conn: the server is told of the open slots first.
// The error is the client's end, if that came meanwhile; then conn has failed.
func (l *link[T]) attach(conn *transport.Conn) error {
	table := *l.table.Load()
	list := &transport.Message{Kind: transport.Resume, Last: true}
	l.owing = owing[T]{}
	for _, s := range table {
		if state, open := s.list(); open {
			list.Slots = append(list.Slots, state)
		}
	}
	l.asking, l.asked = true, len(list.Slots)
	conn.Post(list)
	for _, state := range list.Slots {
		table[state.Slot].follow(conn, state)
	}
	l.use(conn)
	if err := l.client.attached(l, conn); err != nil {
		return err
	}
	if reason := l.end(); reason != nil && l.isIdle() { // its last command has ended meanwhile
		l.client.retire(l, reason)
	}
	return nil
}

// list returns what the server is to know of the slot, if a command is open on it.
func (s *slot[T]) list() (state transport.SlotState, open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen()
	if s.seq.Load() == 0 || s.ended {
		return state, false
	}
	s.standing = listed
	state = transport.SlotState{
		Slot: s.index, Seq: s.number, Seen: s.got, Credit: s.granted - s.got, Canceled: s.canceled,
	}
	if s.inputs != nil {
		state.Inputs, s.inputs.unknown = s.inputs.made, true
	}
	return state, true
}

// follow lets what concerns the slot go over conn, and sends what has changed since
// the slot was listed.
func (s *slot[T]) follow(conn *transport.Conn, state transport.SlotState) {
	s.mu.Lock()
	flush := s.followLocked(conn, state)
	s.mu.Unlock()
	if flush {
		conn.Flush(false)
	}
}

// followLocked is follow, without the flush that is due. The caller holds mu.
func (s *slot[T]) followLocked(conn *transport.Conn, state transport.SlotState) (flush bool) {
	s.conn = conn
	if more := s.granted - state.Seen - state.Credit; more > 0 {
		flush, _ = conn.Append(&transport.Message{Kind: transport.Credit, Slot: s.index, Credit: more})
	}
	if s.canceled && !state.Canceled {
		cancels, _ := conn.Append(&transport.Message{Kind: transport.Cancel, Slot: s.index})
		flush = flush || cancels
	}
	return flush
}

// answered takes the server's answer to the list. One that breaks a rule changes
// nothing: it is checked as a whole first.
func (l *link[T]) answered(conn *transport.Conn, m *transport.Message) error {
	if !l.asking {
		return transport.BrokenRule("the server sent a list of slots, and was not asked for one")
	}
	l.asking = false
	if len(m.Slots) != l.asked {
		return transport.BrokenRule("the server's list has %d slots, the client's had %d", len(m.Slots), l.asked)
	}
	for _, state := range m.Slots {
		if err := l.checkAnswer(state); err != nil {
			return err
		}
	}
	var again []*slot[T]
	for _, state := range m.Slots {
		if s := l.lookup(state.Slot); s != nil {
			if s.stands(state) {
				again = append(again, s)
			}
			s.mu.Unlock()
		}
	}
	if len(again) > 0 {
		l.client.tasks.Go(func() { l.sendAgain(conn, again) })
	}
	return nil
}

// checkAnswer says what is wrong with an item of the server's list. What it has found
// right stays so: only the reader, which is here, takes what comes for a command.
func (l *link[T]) checkAnswer(state transport.SlotState) error {
	s := l.lookup(state.Slot)
	if s == nil {
		return transport.BrokenRule("the server's list has slot %d, where no command is open", state.Slot)
	}
	defer s.mu.Unlock()
	switch in := s.inputs; {
	case s.standing != listed:
		return transport.BrokenRule("the server's list has slot %d, the client's had not", state.Slot)
	case state.Unseen && (s.got > 0 || in != nil && in.taken > 0):
		return transport.BrokenRule("the server has not seen the command on slot %d, of which it has sent results or taken inputs", state.Slot)
	case !state.Unseen && in != nil && (state.Inputs < in.taken || state.Inputs > in.made):
		return transport.BrokenRule("the server has %d inputs on slot %d, of %d to %d", state.Inputs, state.Slot, in.taken, in.made)
	}
	return nil
}

// stands notes where the slot's command stands with the server. It returns true
// where the client has something to send, or a slot to free. The caller holds mu.
func (s *slot[T]) stands(state transport.SlotState) (goesOn bool) {
	if state.Unseen {
		s.standing, s.conn = unseen, nil
		return true
	}
	s.standing = known
	return s.inputs != nil && s.inputs.resume(state)
}

// sendAgain sends the commands that the server has not seen, and the inputs that it
// has not. It is a goroutine of its own, since it may have to wait for room; it ends
// when all is sent, or with the connection.
func (l *link[T]) sendAgain(conn *transport.Conn, slots []*slot[T]) {
	for _, s := range slots {
		err := s.sendAgain(conn)
		for err == transport.ErrNoRoom {
			if err = conn.Room(l.client.ctx); err == nil {
				err = s.sendAgain(conn)
			}
		}
		if err == nil {
			err = s.sendInputs(l.client.ctx, conn)
		}
		if err != nil {
			return // the next connection will see to the rest
		}
	}
}

// sendAgain sends the slot's command over conn, if it is unseen. It is what the
// command was, but for the time left, and all the credit that was given since.
func (s *slot[T]) sendAgain(conn *transport.Conn) error {
	s.mu.Lock()
	switch {
	case s.standing != unseen || s.ended:
		s.mu.Unlock()
		return nil
	case s.canceled:
		s.ended = true
		forgotten := s.owner == nobody && !s.queued // else its owner is being told of the end
		s.mu.Unlock()
		if forgotten {
			s.link.release(s)
		}
		return nil
	}
	s.message = transport.Message{
		Kind: transport.Command, Slot: s.index, Seq: s.number, Credit: s.granted, Timeout: s.link.client.clock.left(s.until),
		Body: s.message.Body, Compressed: s.message.Compressed, Metadata: s.message.Metadata, Origin: s.origin,
	}
	told := s.granted
	flush, err := conn.Append(&s.message)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	s.link.client.counters.sentAgain.Add(1)
	s.standing = known
	if s.inputs != nil {
		s.inputs.restart()
	}
	if s.resending = s.message.Large(); !s.resending {
		s.conn = conn
	}
	large := s.resending
	s.mu.Unlock()
	if flush {
		conn.Flush(false)
	}
	if !large {
		return nil
	}
	err = conn.Wait(s.link.client.ctx, &s.message)
	s.resent(conn, told, err)
	return err
}

// resent is the end of sending a large command again. Nothing about it may overtake it:
// what came up meanwhile goes out now. The slot may even be free.
func (s *slot[T]) resent(conn *transport.Conn, told int, err error) {
	s.mu.Lock()
	s.resending = false
	if err != nil {
		s.wrote = s.wrote || conn.Wrote(&s.message)
	}
	s.settled()
	released, flush := s.released, false
	s.released = false
	if !released && !s.ended && err == nil { // else, once mu is free, it may be another command's
		flush = s.followLocked(conn, transport.SlotState{Credit: told})
	}
	s.mu.Unlock()
	if released {
		s.link.release(s)
	}
	if flush {
		conn.Flush(false)
	}
}

// connect says hello over nc, for a link that is new, or that resumes its session.
func (c *Client[T]) connect(ctx context.Context, nc net.Conn, l *link[T], session *transport.Session) (conn *transport.Conn, _ transport.Hello, err error) {
	defer func() {
		if conn == nil && err == nil { // Credentials, or CheckServerInfo, ends the goroutine
			nc.Close()
		}
	}()
	l.arriving = &arriving{memory: &c.memory} // the last connection's has ended
	conf := c.delegateConf(l)
	conf.Session = session
	if c.conf.Credentials != nil {
		if conf.Credentials, err = c.credentials(ctx); err != nil {
			nc.Close()
			return nil, transport.Hello{}, err
		}
	}
	return delegate.Connect(ctx, nc, conf)
}
