// Package wire holds the bytes of cmdstream's framed protocol, version 1, as
// pure functions: Append… adds to a slice, Parse… reads from one, and nothing
// here does I/O or keeps state. docs/spec.md describes the same for people.
//
//	frame := wire.AppendHeader(nil, wire.Header{Kind: wire.KindResult, Flags: wire.FlagLast, Slot: 3, Length: len(body)})
//	frame = append(frame, body...)
//	h, n, err := wire.ParseHeader(frame) // n bytes of header, h.Length of body
//
// Parse functions never panic and never allocate more than their input's size;
// the slices that they return are views into it.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// Version is the version of the protocol that this package speaks.
const Version = 1

// Ping is the frame of one zero byte: a ping from the client, a pong back.
const Ping byte = 0

// Sizes in bytes.
const (
	// MaxPayload is the most that follows one frame's header. A larger body
	// travels in chunks.
	MaxPayload = 64 << 10
	// MaxHeader is the most that a frame's header takes.
	MaxHeader = 1 + maxVarint + maxVarint
	// MaxHello is the most that the fields of a hello take together.
	MaxHello = 8 << 10
	// MaxServerInfo is the most that a ServerInfo takes.
	MaxServerInfo = 1 << 10
	// MaxCredentials is the most that a client's credentials take.
	MaxCredentials = 4 << 10
	// MaxMetadata is the most that a command's metadata takes, and MaxMetadataKey
	// a key in it.
	MaxMetadata    = 8 << 10
	MaxMetadataKey = 255
	// MaxCode is the most that the code of a failure takes.
	MaxCode = 64
	// MaxMessage is the most that the message of a failure takes. A longer one
	// is cut by its sender.
	MaxMessage = 32 << 10

	maxVarint = 10
)

// ErrShort is returned by Parse functions, as it is, for input that ends before the
// thing does: more bytes may make it valid.
var ErrShort = errors.New("wire: more bytes needed")

// A RuleError says which rule of the protocol the peer broke. The connection
// ends with it.
type RuleError struct{ Rule string }

// Error returns the rule.
func (e *RuleError) Error() string { return "wire: " + e.Rule }

func broken(format string, args ...any) error {
	return &RuleError{Rule: fmt.Sprintf(format, args...)}
}

// AppendUvarint appends v, seven bits a byte, lowest first.
func AppendUvarint(dst []byte, v uint64) []byte {
	for v >= 0x80 {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

// ParseUvarint reads a uvarint and returns how many bytes it took. One that is
// longer than it need be, or overflows 64 bits, is an error.
func ParseUvarint(b []byte) (v uint64, n int, err error) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1, nil
	}
	if len(b) >= 8 {
		if v, n = parseWord(binary.LittleEndian.Uint64(b)); n > 0 {
			return v, n, nil
		}
	}
	for i, c := range b {
		if i == maxVarint-1 && c > 1 {
			return 0, 0, broken("a varint overflows 64 bits")
		}
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			if c == 0 && i > 0 {
				return 0, 0, broken("a varint is longer than it need be")
			}
			return v, i + 1, nil
		}
	}
	return 0, 0, ErrShort
}

// parseWord reads a uvarint from eight bytes, the lowest one first, all at once; n is 0 where it
// is longer than that, or than it need be.
func parseWord(w uint64) (v uint64, n int) {
	ends := ^w & 0x8080808080808080      // the top bits of bytes that end one
	n = bits.TrailingZeros64(ends)/8 + 1 // 9: none does
	v = w & (ends ^ (ends - 1))          // what comes before the first end
	v = v&0x007f007f007f007f | v>>1&0x3f803f803f803f80
	v = v&0x00003fff00003fff | v>>2&0x0fffc0000fffc000
	v = v&0x000000000fffffff | v>>4&0x00fffffff0000000
	if v>>(7*(n-1)) == 0 && n > 1 {
		return 0, 0
	}
	return v, n
}

// A short uvarint takes two bytes at most.
const (
	shortEnd  = 0x80 * 0x80
	shortSize = 2
)

// shortUvarint returns the bytes of v, which is below shortEnd, from the lowest one on, and how
// many they are.
func shortUvarint(v uint64) (bytes uint64, n int) {
	if v < 0x80 {
		return v, 1
	}
	return v&0x7f | 0x80 | v>>7<<8, 2
}

// parseShortUvarint reads a uvarint that may go on in a second byte; n is 0 where it is longer
// than that, or than it need be.
func parseShortUvarint(first, second byte) (v uint64, n int) {
	switch {
	case first < 0x80:
		return uint64(first), 1
	case second < 0x80 && second > 0:
		return uint64(first&0x7f) | uint64(second)<<7, 2
	}
	return 0, 0
}

// cutUvarint is ParseUvarint for a payload that is all there, so that an end in
// the middle breaks a rule.
func cutUvarint(b []byte, what string) (v uint64, rest []byte, err error) {
	v, n, err := ParseUvarint(b)
	if err == ErrShort {
		err = broken("the bytes end in the middle of the %s", what)
	}
	return v, b[n:], err
}

// cutBytes reads a uvarint length and that many bytes, limit at most.
func cutBytes(b []byte, limit int, what string) (field, rest []byte, err error) {
	n, rest, err := cutUvarint(b, what)
	if err != nil {
		return nil, nil, err
	}
	if n > uint64(limit) {
		return nil, nil, broken("the %s has %d bytes, the limit is %d", what, n, limit)
	}
	if n > uint64(len(rest)) {
		return nil, nil, broken("the bytes end in the middle of the %s", what)
	}
	return rest[:n], rest[n:], nil
}
