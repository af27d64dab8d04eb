package client

import (
	"context"
	"slices"

	"github.com/cmdstream/cmdstream/transport"
)

// inputs are what a running command is sent: docs/spec.md, section 12. They are kept
// until the server has said that the command took them, so that a session can send
// them again. The slot's mu protects them.
type inputs struct {
	kept    []*transport.Message // those after the ones that were taken
	taken   int                  // how many the server has given credit for
	made    int                  // how many there are, the end counted
	sent    int                  // how many of these went over the connection of the moment
	granted int                  // how many there may be
	ended   bool                 // no more follow
	unknown bool                 // the server was asked how many have come
	sender  *transport.Conn      // over which a goroutine is sending them; nil: nobody is
	changed chan struct{}        // closed when granted changes, or the command ends; nil: nobody waits

	unanswered bool // the command has ended by a failure or a loss, and no result had come
}

func newInputs() *inputs { return &inputs{granted: transport.InputWindow} }

// restart is for a command that is sent once more.
func (in *inputs) restart() { in.sent, in.unknown = 0, false }

// again returns what a command begins with that is sent once more, from the beginning:
// the inputs that it was sent. It is nil where that can't be, since a result has come, an
// input is not kept any more, or is compressed for another link.
func (in *inputs) again() *inputs {
	compressed := func(m *transport.Message) bool { return m.Compressed }
	if !in.unanswered || in.taken > 0 || slices.ContainsFunc(in.kept, compressed) {
		return nil
	}
	next := newInputs()
	next.kept, next.made, next.ended = slices.Clone(in.kept), in.made, in.ended
	return next
}

// resume goes on where the server says that they stand. It returns true where some are
// to be sent.
func (in *inputs) resume(state transport.SlotState) (goesOn bool) {
	in.sent, in.unknown = state.Inputs, false
	in.grant(state.Inputs + state.Credit - in.granted)
	return in.sent < in.made
}

// grant notes that n more may come, and that as many were taken. What was not sent was
// not taken, whatever the server says.
func (in *inputs) grant(n int) {
	if n <= 0 {
		return
	}
	in.granted += n
	if taken := min(in.granted-transport.InputWindow, in.sent); taken > in.taken {
		in.kept, in.taken = in.kept[taken-in.taken:], taken
	}
	in.wake()
}

func (in *inputs) wake() {
	if in.changed != nil {
		close(in.changed)
		in.changed = nil
	}
}

// sendInputs sends the inputs that were not sent yet over conn, if that is the
// command's. One goroutine at a time does so for a connection; it waits for room, and
// until a large one is written, for nothing may overtake that.
func (s *slot[T]) sendInputs(ctx context.Context, conn *transport.Conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.inputs
	if in == nil || in.sender == conn {
		return nil
	}
	in.sender = conn
	defer func() {
		if in.sender == conn {
			in.sender = nil
		}
	}()
	for s.inputs == in && s.conn == conn && s.sent && !in.unknown && in.sent < in.made {
		kept := in.kept[in.sent-in.taken]
		m := &transport.Message{Kind: transport.Input, Slot: s.index, Body: kept.Body, Compressed: kept.Compressed, Last: kept.Last}
		in.kept[in.sent-in.taken] = m
		flush, err := conn.Append(m)
		if err == nil {
			in.sent++
		}
		s.mu.Unlock()
		if flush {
			conn.Flush(false)
		}
		switch {
		case err == transport.ErrNoRoom:
			err = conn.Room(ctx)
		case err == nil && m.Large():
			err = conn.Wait(ctx, m)
		}
		s.mu.Lock()
		if err != nil {
			return err
		}
	}
	return nil
}

// failInputs is the end of the inputs of a command that ends by a failure or a loss: it
// may be sent once more. The caller holds mu.
func (s *slot[T]) failInputs() {
	if s.inputs != nil {
		s.inputs.unanswered = s.got == 0
	}
	s.dropInputs()
}

// dropInputs is the end of a command's inputs: what is on its way is given up. The
// caller holds mu.
func (s *slot[T]) dropInputs() {
	if s.inputs != nil {
		s.dropInputsNow()
	}
}

func (s *slot[T]) dropInputsNow() {
	for _, m := range s.inputs.kept {
		if s.conn != nil && m.Large() {
			s.conn.Abort(m)
		}
	}
	s.inputs.wake()
	s.inputs = nil
}

// inputCredit takes the server's credit for inputs.
func (l *link[T]) inputCredit(m *transport.Message) error {
	s := l.lookup(m.Slot)
	if s == nil {
		return l.stray(m)
	}
	defer s.mu.Unlock()
	switch {
	case s.standing != known:
		return tooEarly(m)
	case s.inputs == nil && !s.canceled:
		return transport.BrokenRule("credit for inputs came on slot %d, whose command is sent none", m.Slot)
	case s.inputs != nil:
		s.inputs.grant(m.Credit)
	}
	return nil
}
