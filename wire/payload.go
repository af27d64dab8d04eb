package wire

import (
	"math"
	"unicode/utf8"
)

// The bits of the byte that opens a command's extras.
const (
	extraSeq = 1 << iota
	extraTimeout
	extraCredit
	extraMetadata
	extraOrigin
	extrasEnd
)

// Extras is what a command may carry before its body. A zero field is absent.
type Extras struct {
	// Seq is the command's sequence number, where it is not one more than that
	// of the command before it on this connection.
	Seq uint64
	// Timeout is the time left, in microseconds; 0: no deadline.
	Timeout uint64
	// Credit is how many results may be sent before more credit comes; 0: one.
	Credit uint64
	// Metadata is pairs, as AppendPair makes them.
	Metadata []byte
	// Origin is the name under which the command was sent first; nil: the one that
	// it has here.
	Origin *Origin
}

// Origin names a command by the session that sent it first, and its Seq there.
type Origin struct {
	Session SessionID
	Seq     uint64
}

// AppendExtras appends e; nothing where e is empty. The frame then has
// FlagExtras.
func AppendExtras(dst []byte, e Extras) []byte {
	at := len(dst)
	dst = append(dst, 0)
	if e.Seq != 0 {
		dst[at] |= extraSeq
		dst = AppendUvarint(dst, e.Seq)
	}
	if e.Timeout != 0 {
		dst[at] |= extraTimeout
		dst = AppendUvarint(dst, e.Timeout)
	}
	if e.Credit != 0 {
		dst[at] |= extraCredit
		dst = AppendUvarint(dst, e.Credit)
	}
	if e.Metadata != nil {
		dst[at] |= extraMetadata
		dst = AppendUvarint(dst, uint64(len(e.Metadata)))
		dst = append(dst, e.Metadata...)
	}
	if e.Origin != nil {
		dst[at] |= extraOrigin
		dst = append(dst, e.Origin.Session[:]...)
		dst = AppendUvarint(dst, e.Origin.Seq)
	}
	if dst[at] == 0 {
		return dst[:at]
	}
	return dst
}

// ParseExtras reads what AppendExtras wrote and returns the rest of the payload.
func ParseExtras(b []byte) (e Extras, rest []byte, err error) {
	if len(b) == 0 {
		return e, nil, broken("a command's extras are cut off")
	}
	bits, b := b[0], b[1:]
	if bits == 0 || bits >= extrasEnd {
		return e, nil, broken("a command's extras open with byte %#02x", bits)
	}
	if bits&extraSeq != 0 {
		if e.Seq, b, err = cutExtra(b); err != nil {
			return e, nil, err
		}
	}
	if bits&extraTimeout != 0 {
		if e.Timeout, b, err = cutExtra(b); err != nil {
			return e, nil, err
		}
	}
	if bits&extraCredit != 0 {
		if e.Credit, b, err = cutExtra(b); err != nil {
			return e, nil, err
		}
	}
	if bits&extraMetadata != 0 {
		if e.Metadata, b, err = cutBytes(b, MaxMetadata, "metadata"); err != nil {
			return e, nil, err
		}
		for rest := e.Metadata; len(rest) > 0; {
			if _, _, rest, err = CutPair(rest); err != nil {
				return e, nil, err
			}
		}
	}
	if bits&extraOrigin != 0 {
		if len(b) < len(SessionID{}) {
			return e, nil, broken("the bytes end in the middle of the origin")
		}
		e.Origin = &Origin{Session: SessionID(b)}
		if e.Origin.Seq, b, err = cutUvarint(b[len(SessionID{}):], "origin"); err != nil {
			return e, nil, err
		}
		if e.Origin.Seq == 0 || e.Origin.Seq > math.MaxInt64 {
			return e, nil, broken("the seq of a command's origin is %d", e.Origin.Seq)
		}
	}
	return e, b, nil
}

// cutExtra reads a number among the extras, which is absent rather than zero.
func cutExtra(b []byte) (v uint64, rest []byte, err error) {
	v, rest, err = cutUvarint(b, "extras")
	if err == nil && v == 0 {
		err = broken("a command carries a zero among its extras")
	}
	return v, rest, err
}

// AppendPair appends a pair of a command's metadata.
func AppendPair(dst []byte, key, value string) []byte {
	dst = AppendUvarint(dst, uint64(len(key)))
	dst = append(dst, key...)
	dst = AppendUvarint(dst, uint64(len(value)))
	return append(dst, value...)
}

// CutPair reads the first pair of metadata, and returns the rest.
func CutPair(b []byte) (key, value, rest []byte, err error) {
	if key, rest, err = cutBytes(b, MaxMetadataKey, "key of the metadata"); err != nil {
		return nil, nil, nil, err
	}
	if len(key) == 0 {
		return nil, nil, nil, broken("a key of the metadata is empty")
	}
	value, rest, err = cutBytes(rest, MaxMetadata, "value of the metadata")
	return key, value, rest, err
}

// ParseTotal reads the size of the whole body, which opens the first of several
// chunks, and returns the rest of the payload: the first piece of the body.
func ParseTotal(b []byte) (total uint64, rest []byte, err error) {
	total, rest, err = cutUvarint(b, "total size")
	if err == nil && uint64(len(rest)) > total {
		err = broken("a first chunk holds %d bytes of %d", len(rest), total)
	}
	return total, rest, err
}

// Failure is the payload of a failure frame: how a command ended without a last
// result.
type Failure struct {
	// Outcome is the number of a base.Outcome.
	Outcome uint8
	// Code is one word, MaxCode bytes at most.
	Code string
	// RetryAfter is in milliseconds; 0: not said.
	RetryAfter uint64
	// Message is text, MaxMessage bytes at most.
	Message string
}

// AppendFailure appends f. Code and Message are cut to their limits.
func AppendFailure(dst []byte, f Failure) []byte {
	f.Code, f.Message = cut(f.Code, MaxCode), cut(f.Message, MaxMessage)
	dst = append(dst, f.Outcome)
	dst = AppendUvarint(dst, uint64(len(f.Code)))
	dst = append(dst, f.Code...)
	dst = AppendUvarint(dst, f.RetryAfter)
	return append(dst, f.Message...)
}

// ParseFailure reads the payload of a failure frame.
func ParseFailure(b []byte) (f Failure, err error) {
	if len(b) == 0 {
		return f, broken("a failure is empty")
	}
	f.Outcome, b = b[0], b[1:]
	code, b, err := cutBytes(b, MaxCode, "code of a failure")
	if err != nil {
		return f, err
	}
	f.Code = string(code)
	if f.RetryAfter, b, err = cutUvarint(b, "retry-after"); err != nil {
		return f, err
	}
	f.Message = string(b)
	return f, nil
}

// ParseCredit reads the payload of a credit frame: how many more.
func ParseCredit(b []byte) (n uint64, err error) {
	n, rest, err := cutUvarint(b, "credit")
	if err == nil && (n == 0 || len(rest) != 0) {
		err = broken("a credit frame holds no count, or more than one")
	}
	return n, err
}

// ParseAck reads the payload of an ack frame: how many results were seen.
func ParseAck(b []byte) (n uint64, err error) {
	n, rest, err := cutUvarint(b, "ack")
	if err == nil && (n == 0 || len(rest) != 0) {
		err = broken("an ack frame holds no count, or more than one")
	}
	return n, err
}

// Goaway is the payload of a goaway frame: the sender takes no more commands on
// this connection and finishes those that it has.
type Goaway struct {
	// RetryAfter is in milliseconds; 0: at once.
	RetryAfter uint64
	// Reason is text, MaxMessage bytes at most.
	Reason string
}

// AppendGoaway appends g.
func AppendGoaway(dst []byte, g Goaway) []byte {
	dst = AppendUvarint(dst, g.RetryAfter)
	return append(dst, cut(g.Reason, MaxMessage)...)
}

// ParseGoaway reads the payload of a goaway frame.
func ParseGoaway(b []byte) (g Goaway, err error) {
	g.RetryAfter, b, err = cutUvarint(b, "retry-after")
	g.Reason = string(b)
	return g, err
}

// cut shortens s to limit bytes without splitting a rune. What is no UTF-8 is
// cut at the limit.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for end := limit; end > limit-utf8.UTFMax; end-- {
		if utf8.RuneStart(s[end]) {
			return s[:end]
		}
	}
	return s[:limit]
}
