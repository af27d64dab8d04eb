package transport

import "errors"

// Compression makes bodies smaller. Both ends must have it; the hello chooses one.
// It is used by many goroutines at once.
type Compression interface {
	// ID is its number on the wire: 1 flate, 2 zstd, 64 and above the users' own.
	ID() uint64
	// Compress appends the compressed body to dst.
	Compress(dst, body []byte) ([]byte, error)
	// Decompress appends what body was before to dst. It never makes more than
	// limit bytes: ErrTooLarge tells that there were more.
	Decompress(dst, body []byte, limit int) ([]byte, error)
}

// ErrTooLarge is the error of a body that would become larger than it may.
var ErrTooLarge = errors.New("transport: the body is too large once it is decompressed")
