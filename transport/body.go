package transport

import (
	"io"
	"slices"
)

// Buffer is a Writer in memory: what codecs write bodies to. It never fails. B is not
// theirs: its memory is used again.
type Buffer struct {
	B    []byte
	pace pace
}

// Write appends p. A large one is copied step by step, and others run in between: the
// runtime can't interrupt a step, and lets whoever copies go on for 10 ms, for which other
// commands would wait.
func (b *Buffer) Write(p []byte) (int, error) {
	if len(p) <= copyAtOnce {
		b.B = append(b.B, p...)
		return len(p), nil
	}
	if need := len(b.B) + len(p); need > cap(b.B) {
		before := b.B
		b.B = make([]byte, 0, max(need, 2*len(before)))
		b.append(before)
	}
	b.append(p)
	return len(p), nil
}

// append appends p, for which there is room.
func (b *Buffer) append(p []byte) {
	for step := range slices.Chunk(p, copyAtOnce) {
		b.B = append(b.B, step...)
		b.pace.yield()
	}
}

// WriteByte appends c.
func (b *Buffer) WriteByte(c byte) error {
	b.B = append(b.B, c)
	return nil
}

// WriteString appends s.
func (b *Buffer) WriteString(s string) (int, error) {
	b.B = append(b.B, s...)
	return len(s), nil
}

// Reset empties the buffer, and lets go of its memory if that is much.
func (b *Buffer) Reset() {
	if cap(b.B) > keepBody {
		b.B = nil
	}
	b.B = b.B[:0]
}

// copyAtOnce is how many bytes are copied in one step.
const copyAtOnce = 64 << 10

// keepBody is the capacity in bytes that a Buffer keeps between two bodies. It is
// below LargeBody, so that memory which a connection may still be writing from is
// never written to again: the constant below is an error otherwise.
const keepBody = 4 << 10

const _ = uint(LargeBody - keepBody - 1)

// Body is a Reader of a body in memory: what codecs read bodies from. A large body lies
// there in pieces. The zero Body is empty.
type Body struct {
	b      []byte  // what is read next
	pieces *Pieces // b is the rest of the first one; nil: there is nothing but b
}

// NewBody returns a Body of b.
func NewBody(b []byte) *Body { return &Body{b: b} }

// Set gives the Body another body, in one piece.
func (b *Body) Set(body []byte) {
	b.Release()
	b.b = body
}

// SetPieces gives the Body another body, in pieces, which are the Body's then.
func (b *Body) SetPieces(pieces *Pieces) {
	b.Release()
	b.b, b.pieces = pieces.first(), pieces
}

// Replace makes body what is left, in place of all that was, whose memory is kept: body may
// lie in it.
func (b *Body) Replace(body []byte) {
	b.Bytes()
	b.b = body
}

// Release empties the Body, and gives the memory of pieces up.
func (b *Body) Release() {
	b.b = nil
	if b.pieces != nil {
		b.pieces.Release()
		b.pieces = nil
	}
}

// Len returns how many bytes are left.
func (b *Body) Len() int {
	if b.pieces == nil {
		return len(b.b)
	}
	return len(b.b) + b.pieces.Len() - len(b.pieces.first())
}

// Bytes returns all that is left, in one piece, and leaves nothing. It is the codec's
// until Decode returns; then its memory is used for other bodies.
func (b *Body) Bytes() []byte {
	if len(b.b) == b.Len() {
		rest := b.b
		b.b = nil
		return rest
	}
	whole := make([]byte, 0, b.Len())
	for b.more() {
		whole = append(whole, b.b...)
		b.b = nil
	}
	return whole
}

// more tells whether a byte is left, and if so, b.b has some.
func (b *Body) more() bool {
	for len(b.b) == 0 {
		if b.pieces == nil || len(b.pieces.list) <= 1 {
			return false
		}
		b.pieces.drop()
		b.pieces.pace.yield()
		b.b = b.pieces.first()
	}
	return true
}

// Read reads up to len(p) bytes, of one piece; io.EOF at the end of the body.
func (b *Body) Read(p []byte) (int, error) {
	if len(b.b) == 0 && !b.more() && len(p) > 0 {
		return 0, io.EOF
	}
	n := copy(p, b.b)
	b.b = b.b[n:]
	return n, nil
}

// ReadByte reads one byte; io.EOF at the end of the body.
func (b *Body) ReadByte() (byte, error) {
	if !b.more() {
		return 0, io.EOF
	}
	c := b.b[0]
	b.b = b.b[1:]
	return c, nil
}
