package transport

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/wire"
)

func (f *framed) Read(r *bufio.Reader, m *Message) error {
	for {
		come, h, n, err := peekHeader(r)
		if err != nil {
			return err
		}
		if h.Kind == wire.KindPing {
			m.Kind = Ping
			_, err = r.Discard(n)
			return err
		}
		if f.receives>>h.Kind&1 == 0 || h.Slot >= f.maxSlots {
			return f.refuse(h)
		}
		if len(f.partials) > 0 {
			if p := f.partials[int(h.Slot)]; p != nil {
				if further, err := p.continues(h); err != nil {
					return err
				} else if further {
					r.Discard(n)
					tell, err := f.readChunk(r, h, p)
					if err != nil {
						return err
					}
					if tell {
						*m = p.m
						return nil
					}
					continue
				}
			}
		}
		var payload []byte
		if size := n + h.Length; size <= len(come) {
			payload = come[n:size]
			r.Discard(size)
		} else if payload, err = f.readPayload(r, n, h.Length); err != nil {
			return err
		}
		m.Slot = int(h.Slot)
		ready, err := f.parse(h, payload, m)
		if ready || err != nil {
			return err
		}
		*m = Message{} // it was a first chunk
	}
}

// parse reads a payload that does not continue an earlier one. ready is false
// where only a first chunk has come.
func (f *framed) parse(h wire.Header, payload []byte, m *Message) (ready bool, err error) {
	switch h.Kind {
	case wire.KindCommand:
		m.Kind = Command
		payload, err = f.parseExtras(h, payload, m)
		if err != nil {
			return false, err
		}
		return f.parseBody(h, payload, m)
	case wire.KindResult:
		m.Kind = Result
		return f.parseBody(h, payload, m)
	case wire.KindInput:
		m.Kind = Input
		return f.parseBody(h, payload, m)
	case wire.KindAck:
		m.Kind = Ack
		n, err := wire.ParseAck(payload)
		m.Seen = toInt(n)
		return true, err
	case wire.KindResume:
		m.Kind = Resume
		return f.parseList(h, payload, m)
	case wire.KindFailure:
		m.Kind = Failure
		if f.partials[m.Slot] != nil {
			return false, BrokenRule("a failure came between the chunks of a result")
		}
		failure, err := wire.ParseFailure(payload)
		outcome := base.Outcome(failure.Outcome)
		if outcome != base.Rejected && outcome != base.Failed {
			outcome = base.Unknown // that it was not sent, only this side can know
		}
		m.Err = &base.Error{
			Outcome: outcome, Code: base.Code(failure.Code), Message: failure.Message,
			Remote: true, RetryAfter: duration(failure.RetryAfter),
		}
		return true, err
	case wire.KindCancel:
		m.Kind = Cancel
		if p := f.partials[m.Slot]; p != nil && p.m.Kind == Command {
			return f.drop(p, m, givenUp()), nil
		}
		return true, nil
	case wire.KindCredit:
		m.Kind = Credit
		n, err := wire.ParseCredit(payload)
		if n > math.MaxInt32 {
			return false, BrokenRule("a credit of %d, the limit is %d", n, math.MaxInt32)
		}
		m.Credit = int(n)
		return true, err
	default: // Goaway: Read let no other kind through
		goaway, err := wire.ParseGoaway(payload)
		*m = Message{Kind: Goaway, Reason: goaway.Reason, RetryAfter: duration(goaway.RetryAfter)}
		return true, err
	}
}

func (f *framed) parseExtras(h wire.Header, payload []byte, m *Message) (body []byte, err error) {
	seq := uint64(f.seqIn) + 1
	if h.Flags&wire.FlagExtras != 0 {
		var e wire.Extras
		if e, payload, err = wire.ParseExtras(payload); err != nil {
			return nil, err
		}
		if e.Seq != 0 {
			seq = e.Seq
		}
		m.Timeout = time.Duration(min(e.Timeout, math.MaxInt64/1000)) * time.Microsecond
		m.Credit = int(min(e.Credit, math.MaxInt32))
		m.Metadata = e.Metadata
		if e.Origin != nil {
			m.Origin = &base.ID{Session: e.Origin.Session, Seq: base.Seq(e.Origin.Seq)}
		}
	}
	if seq > math.MaxInt64 {
		return nil, BrokenRule("a command's seq overflows")
	}
	f.seqIn = base.Seq(seq)
	m.Seq = f.seqIn
	return payload, nil
}

// parseBody takes a whole body, or the first chunk of one.
func (f *framed) parseBody(h wire.Header, payload []byte, m *Message) (ready bool, err error) {
	m.Last, m.Compressed = h.Flags&wire.FlagLast != 0, h.Flags&wire.FlagCompressed != 0
	if m.Compressed && !f.compressed {
		return false, BrokenRule("a compressed %s came, and no compression was agreed upon", h.Kind)
	}
	if h.Flags&wire.FlagMore == 0 {
		if len(payload) > f.maxBody && m.Err == nil {
			m.Err = f.tooLarge(uint64(len(payload)))
		}
		m.Body = payload
		return true, nil
	}
	if f.isOpen != nil && !f.isOpen(m.Slot) {
		return false, BrokenRule("chunks of a result came on slot %d, where no command is open", h.Slot)
	}
	total, payload, err := wire.ParseTotal(payload)
	if err != nil {
		return false, err
	}
	if total > math.MaxInt32 {
		return false, BrokenRule("a body of %d bytes was declared", total)
	}
	m.Metadata = bytes.Clone(m.Metadata) // it is a view that holds until the next read
	p := &partial{m: *m, total: int(total), got: len(payload)}
	if f.partials == nil {
		f.partials = make(map[int]*partial)
	}
	f.partials[m.Slot] = p
	if total > uint64(f.maxBody) && m.Err == nil {
		m.Err = f.tooLarge(total)
	}
	if m.Err == nil {
		if size := p.total + len(m.Metadata); !f.budget.Reserve(size) {
			m.Err = f.noMemory(size)
		} else {
			p.m.Reserved = size
		}
	}
	if m.Err != nil {
		return f.drop(p, m, m.Err), nil
	}
	p.pieces = &Pieces{pool: f.budget.Pool()}
	return false, p.pieces.read(bytes.NewReader(payload), len(payload), p.total)
}

func (f *framed) noMemory(size int) *base.Error {
	if !f.server {
		return &base.Error{Outcome: base.Failed, Code: base.ErrBusy, Message: fmt.Sprintf("a result of %d bytes came, and there was no memory for it at the moment", size)}
	}
	return &base.Error{Outcome: base.Rejected, Code: base.ErrBusy, RetryAfter: 10 * time.Millisecond, Message: fmt.Sprintf("there is no memory at the moment for a body of %d bytes", size)}
}

func givenUp() *base.Error {
	return &base.Error{Outcome: base.Rejected, Code: base.ErrCanceled, Message: "the command was given up before it was whole"}
}

func (f *framed) tooLarge(size uint64) *base.Error {
	if f.server {
		return &base.Error{
			Outcome: base.Rejected, Code: base.ErrTooLargeCmd,
			Message: fmt.Sprintf("the command has %d bytes, the server's MaxCmdSize is %d", size, f.maxBody),
		}
	}
	return &base.Error{
		Outcome: base.Failed, Code: base.ErrTooLargeResult,
		Message: fmt.Sprintf("a result has %d bytes, the client's MaxResultSize is %d", size, f.maxBody),
	}
}

// The kinds of frames that each side may receive, a bit for each.
const (
	fromBoth   = 1<<wire.KindPing | 1<<wire.KindCredit | 1<<wire.KindResume | 1<<wire.KindGoaway
	fromClient = fromBoth | 1<<wire.KindCommand | 1<<wire.KindInput | 1<<wire.KindCancel | 1<<wire.KindAck
	fromServer = fromBoth | 1<<wire.KindResult | 1<<wire.KindFailure
)

// refuse tells why this side may not receive a frame.
func (f *framed) refuse(h wire.Header) error {
	switch {
	case f.receives>>h.Kind&1 == 1:
		return BrokenRule("slot %d is beyond the limit of %d", h.Slot, f.maxSlots)
	case f.server:
		return BrokenRule("a client sent a frame of kind %s", h.Kind)
	}
	return BrokenRule("a server sent a frame of kind %s", h.Kind)
}

// peekHeader waits for a whole header, and returns it with its size and all that has
// come. It takes nothing out of r.
func peekHeader(r *bufio.Reader) (come []byte, h wire.Header, n int, err error) {
	for {
		come, _ = r.Peek(r.Buffered())
		if h, n, err = wire.ParseHeader(come); err != wire.ErrShort {
			return come, h, n, err
		}
		if _, err := r.Peek(len(come) + 1); err != nil {
			if len(come) > 0 {
				err = unexpected(err)
			}
			return nil, h, 0, err
		}
	}
}

// await waits until a whole message has come, and takes nothing out of r. It returns false
// where more than a frame, or than r holds, has to be read for that.
func (f *framed) await(r *bufio.Reader) (whole bool, err error) {
	for {
		b, _ := r.Peek(r.Buffered())
		h, n, err := wire.ParseHeader(b)
		need := n + h.Length
		if err == wire.ErrShort {
			need = len(b) + 1
		} else if err != nil || need <= len(b) {
			// Read says what is wrong. It waits for more where a body is in pieces.
			return err != nil || h.Flags&wire.FlagMore == 0 && len(f.partials) == 0, nil
		}
		if need > r.Size() {
			return false, nil
		}
		if _, err := r.Peek(need); err != nil {
			if len(b) > 0 {
				err = unexpected(err)
			}
			return false, err
		}
	}
}

// readPayload waits for a whole frame, whose header has n bytes, takes it out of r, and
// returns its payload, a view that holds until the next read.
func (f *framed) readPayload(r *bufio.Reader, n, length int) (payload []byte, err error) {
	size := n + length
	if size > r.Size() {
		r.Discard(n)
		f.frame = slices.Grow(f.frame[:0], length)[:length]
		_, err = io.ReadFull(r, f.frame)
		return f.frame, unexpected(err)
	}
	come, err := r.Peek(size)
	if err != nil {
		return nil, unexpected(err)
	}
	_, err = r.Discard(size)
	return come[n:], err
}

// unexpected says that an end of the stream came where more was to follow.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func duration(ms uint64) time.Duration {
	return time.Duration(min(ms, math.MaxInt64/uint64(time.Millisecond))) * time.Millisecond
}
