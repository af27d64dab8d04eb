package transport

import (
	"bufio"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/wire"
)

// partial is a body on its way in.
type partial struct {
	m       Message
	total   int
	pieces  *Pieces
	got     int  // bytes that have come, thrown away or not
	dropped bool // its chunks are thrown away
}

// continues tells whether a frame is a further chunk. Another body can't begin
// before this one is whole.
func (p *partial) continues(h wire.Header) (bool, error) {
	switch h.Kind {
	case wireKind(p.m.Kind):
		return true, nil
	case wire.KindCommand, wire.KindResult, wire.KindInput:
		return false, BrokenRule("a %s came between the chunks of another body", h.Kind)
	}
	return false, nil
}

// drop gives the body up. A command, or an input, is answered at once: m is set to
// it, failed; for a result it is told at its end.
func (f *framed) drop(p *partial, m *Message, err *base.Error) (tell bool) {
	if p.dropped {
		return false
	}
	if p.m.Reserved > 0 {
		f.budget.Release(p.m.Reserved)
		p.m.Reserved = 0
	}
	p.pieces.Release()
	p.dropped, p.pieces = true, nil
	p.m.Metadata, p.m.Err = nil, err
	*m = p.m
	return p.m.Kind != Result
}

// shrink gives up the large buffers, and, where the connection has ended, the bodies on their way:
// whose memory they count as, the Budget's owner knows.
func (f *framed) shrink(ended bool) {
	f.frame = nil
	if !ended {
		return
	}
	for _, p := range f.partials {
		p.pieces.Release()
	}
	f.partials, f.list = nil, nil
}

// readChunk reads a further chunk. At the last, p.m is the message, unless
// nobody is to hear of it any more.
func (f *framed) readChunk(r *bufio.Reader, h wire.Header, p *partial) (tell bool, err error) {
	if h.Flags&wire.FlagExtras != 0 {
		return false, BrokenRule("a further chunk has extras")
	}
	if p.got+h.Length > p.total {
		return false, BrokenRule("chunks hold more than the %d bytes that the first declared", p.total)
	}
	p.got += h.Length
	if p.dropped {
		_, err = r.Discard(h.Length)
	} else {
		err = p.pieces.read(r, h.Length, p.total-p.pieces.Len())
	}
	if err != nil {
		return false, unexpected(err)
	}
	if h.Flags&wire.FlagMore != 0 {
		return false, nil
	}
	delete(f.partials, p.m.Slot)
	p.m.Last = p.m.Last || h.Flags&wire.FlagLast != 0
	if p.got < p.total {
		// The sender gave up half-way. The server answers a command for which it
		// has not done so; of a result it says by a failure what became of it. An
		// input that was given up belongs to a command that was, too.
		var m Message
		return f.drop(p, &m, givenUp()) && p.m.Kind == Command, nil
	}
	p.m.Pieces = p.pieces
	return p.m.Kind == Result || !p.dropped, nil
}
