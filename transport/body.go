package transport

import "io"

// Buffer is a Writer in memory: what codecs write bodies to. It never fails. B is not
// theirs: its memory is used again.
type Buffer struct{ B []byte }

// Write appends b.
func (b *Buffer) Write(p []byte) (int, error) {
	b.B = append(b.B, p...)
	return len(p), nil
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

// keepBody is the capacity in bytes that a Buffer keeps between two bodies. It is
// below LargeBody, so that memory which a connection may still be writing from is
// never written to again: the constant below is an error otherwise.
const keepBody = 4 << 10

const _ = uint(LargeBody - keepBody - 1)

// Body is a Reader of a body in memory: what codecs read bodies from. B is theirs until
// Decode returns; then its memory is used for other bodies.
type Body struct{ B []byte }

// Read reads up to len(p) bytes; io.EOF at the end of the body.
func (b *Body) Read(p []byte) (int, error) {
	if len(b.B) == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	n := copy(p, b.B)
	b.B = b.B[n:]
	return n, nil
}

// ReadByte reads one byte; io.EOF at the end of the body.
func (b *Body) ReadByte() (byte, error) {
	if len(b.B) == 0 {
		return 0, io.EOF
	}
	c := b.B[0]
	b.B = b.B[1:]
	return c, nil
}
