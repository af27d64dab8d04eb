package transport

import (
	"bufio"
	"fmt"
	"io"
	"slices"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/wire"
)

// partial is a body on its way in.
type partial struct {
	m       Message
	total   int
	body    []byte
	dropped bool // nobody wants it any more: its chunks are thrown away
}

// continues tells whether a frame is a further chunk.
func (p *partial) continues(h wire.Header) bool {
	switch h.Kind {
	case wire.KindCommand:
		return p.m.Kind == Command
	case wire.KindResult:
		return p.m.Kind == Result
	}
	return false
}

// drop gives the body up, and tells so in m unless that was done before: a
// failed Command or Result.
func (p *partial) drop(m *Message, err *base.Error) (tell bool) {
	if p.dropped {
		return false
	}
	p.dropped, p.body = true, nil
	*m = p.m
	m.Err = err
	return true
}

// readChunk reads a further chunk. At the last, p.m is the whole message, unless
// nobody is to hear of it.
func (f *framed) readChunk(r *bufio.Reader, h wire.Header, p *partial) (whole bool, err error) {
	if h.Flags&wire.FlagExtras != 0 {
		return false, &wire.RuleError{Rule: "a further chunk has extras"}
	}
	last := h.Flags&wire.FlagMore == 0
	if last {
		delete(f.partials, p.m.Slot)
	}
	if p.dropped {
		_, err := r.Discard(h.Length)
		return false, err
	}
	have := len(p.body)
	if have+h.Length > p.total {
		return false, &wire.RuleError{Rule: fmt.Sprintf("chunks hold more than the %d bytes that the first declared", p.total)}
	}
	// The buffer grows with what has come, never with what was only declared.
	p.body = slices.Grow(p.body, h.Length)[:have+h.Length]
	if _, err := io.ReadFull(r, p.body[have:]); err != nil {
		return false, err
	}
	if !last {
		return false, nil
	}
	p.m.Last = p.m.Last || h.Flags&wire.FlagLast != 0
	if len(p.body) < p.total {
		// The sender gave up half-way. Of a result the server says why by a
		// failure that follows.
		p.m.Err = givenUp()
		return p.m.Kind == Command, nil
	}
	p.m.Body, p.m.Owned = p.body, true
	return true, nil
}
