package transport

import (
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/wire"
)

// Framed is cmdstream's own wire, version 1: see docs/spec.md.
func Framed(o Options) Transport {
	f := &framed{server: o.Server, receives: fromServer, maxBody: o.MaxBody, maxSlots: uint64(o.MaxSlots), isOpen: o.Open, budget: o.Budget}
	if f.server {
		f.receives = fromClient
	}
	if f.budget == nil {
		f.budget = new(noBudget)
	}
	return f
}

type framed struct {
	server   bool
	receives uint16 // the kinds of frames, a bit for each
	maxBody  int
	maxSlots uint64

	isOpen func(slot int) bool // nil: not known
	budget Budget

	// The reading side's.
	compressed bool // a compression was agreed upon
	seqIn      base.Seq
	frame      []byte           // a frame that is larger than the bufio.Reader
	partials   map[int]*partial // bodies of which some chunks have come
	list       []SlotState      // of which some frames have come

	_ [64]byte // the two sides are not in one cache line

	// The sending side's.
	seqOut base.Seq
	extras []byte
}

func (f *framed) Supports(Kind) bool { return true }

func (f *framed) Append(dst []byte, m *Message) (out, tail []byte, more bool) {
	if m.Kind != Command && m.Kind != Result && m.Kind != Input {
		return f.appendNotice(dst, m), nil, false
	}
	if m.begun || len(m.Body) > LargeBody {
		return f.appendPiece(dst, m)
	}
	flags := f.head(m)
	m.begun, m.sent = true, len(m.Body)
	dst = wire.AppendHeader(dst, wire.Header{Kind: wireKind(m.Kind), Flags: flags, Slot: uint64(m.Slot), Length: len(f.extras) + len(m.Body)})
	if len(f.extras) > 0 {
		dst = append(dst, f.extras...)
	}
	return append(dst, m.Body...), nil, false
}

// head returns the flags of the next frame of a message with a body, but for FlagMore, and sets
// extras to what its payload begins with.
func (f *framed) head(m *Message) (flags wire.Flags) {
	f.extras = f.extras[:0]
	if m.Last && m.Kind != Command {
		flags = wire.FlagLast
	}
	if m.begun {
		return flags
	}
	if m.Kind == Command {
		if m.Seq != f.seqOut+1 || m.Timeout > 0 || m.Credit > 1 || m.Metadata != nil || m.Origin != nil {
			flags = wire.FlagExtras
			f.setExtras(m)
		}
		f.seqOut = m.Seq
	}
	if m.Compressed {
		flags |= wire.FlagCompressed
	}
	return flags
}

// appendNotice appends a message without a body.
func (f *framed) appendNotice(dst []byte, m *Message) []byte {
	switch m.Kind {
	case Ping:
		return append(dst, wire.Ping)
	case Failure:
		payload := wire.AppendFailure(nil, wire.Failure{
			Outcome:    uint8(m.Err.Outcome),
			Code:       string(m.Err.Code),
			RetryAfter: milliseconds(m.Err.RetryAfter),
			Message:    m.Err.Message,
		})
		return appendFrame(dst, wire.KindFailure, m.Slot, payload)
	case Cancel:
		return appendFrame(dst, wire.KindCancel, m.Slot, nil)
	case Credit:
		f.extras = wire.AppendUvarint(f.extras[:0], uint64(m.Credit))
		return appendFrame(dst, wire.KindCredit, m.Slot, f.extras)
	case Ack:
		f.extras = wire.AppendUvarint(f.extras[:0], uint64(m.Seen))
		return appendFrame(dst, wire.KindAck, m.Slot, f.extras)
	case Resume:
		return f.appendList(dst, m.Slots)
	default: // Goaway
		payload := wire.AppendGoaway(nil, wire.Goaway{RetryAfter: milliseconds(m.RetryAfter), Reason: m.Reason})
		return appendFrame(dst, wire.KindGoaway, 0, payload)
	}
}

func appendFrame(dst []byte, kind wire.Kind, slot int, payload []byte) []byte {
	dst = wire.AppendHeader(dst, wire.Header{Kind: kind, Slot: uint64(slot), Length: len(payload)})
	return append(dst, payload...)
}

// appendPiece appends the first chunk of a large body, the next one, or the last: that of a
// body whose rest is not wanted is empty.
func (f *framed) appendPiece(dst []byte, m *Message) (out, tail []byte, more bool) {
	flags := f.head(m)
	piece := m.Body[m.sent:]
	if m.aborted {
		piece = nil
	}
	if more = len(f.extras)+len(piece) > wire.MaxPayload; more {
		flags |= wire.FlagMore
		if !m.begun {
			f.extras = wire.AppendUvarint(f.extras, uint64(len(m.Body)))
		}
		piece = piece[:wire.MaxPayload-len(f.extras)]
	}
	m.begun = true
	m.sent += len(piece)

	dst = wire.AppendHeader(dst, wire.Header{Kind: wireKind(m.Kind), Flags: flags, Slot: uint64(m.Slot), Length: len(f.extras) + len(piece)})
	dst = append(dst, f.extras...)
	if len(piece) > LargeBody {
		return dst, piece, more
	}
	return append(dst, piece...), nil, more
}

// setExtras encodes what a command has beside its body.
func (f *framed) setExtras(m *Message) {
	e := wire.Extras{Metadata: m.Metadata}
	if m.Seq != f.seqOut+1 {
		e.Seq = uint64(m.Seq)
	}
	if m.Timeout > 0 {
		e.Timeout = uint64(max(m.Timeout.Microseconds(), 1))
	}
	if m.Credit > 1 {
		e.Credit = uint64(m.Credit)
	}
	if m.Origin != nil {
		e.Origin = &wire.Origin{Session: m.Origin.Session, Seq: uint64(m.Origin.Seq)}
	}
	f.extras = wire.AppendExtras(f.extras, e)
}

// wireKind is the kind of the frames of a message with a body.
func wireKind(kind Kind) wire.Kind {
	switch kind {
	case Result:
		return wire.KindResult
	case Input:
		return wire.KindInput
	default:
		return wire.KindCommand
	}
}

func milliseconds(d time.Duration) uint64 {
	if d <= 0 {
		return 0
	}
	return uint64((d + time.Millisecond - 1) / time.Millisecond)
}
