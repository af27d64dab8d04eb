package transport

import "io"

// Writer is what a codec writes to. Its methods return no error but where the
// peer is written to directly, and a codec returns the errors that it meets.
type Writer interface {
	io.Writer
	io.ByteWriter
	io.StringWriter
}

// Reader is what a codec reads from. It must not be kept after Decode.
type Reader interface {
	io.Reader
	io.ByteReader
}

// Codec encodes what this side sends, and decodes what it receives. It is used
// by many goroutines at once.
type Codec[Out, In any] interface {
	Encode(v Out, w Writer) error
	Decode(r Reader) (In, error)
}
