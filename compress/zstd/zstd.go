// Package zstd is Zstandard, RFC 8878, as a compression of bodies: put it into
// client.Conf.Compressions and server.Conf.Compressions. It is faster than package
// flate, and makes bodies smaller.
package zstd

import (
	"errors"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/cmdstream/cmdstream/transport"
)

// ID is the compression's number on the wire.
const ID = 2

// Level is how much effort compressing takes.
type Level = zstd.EncoderLevel

// The levels.
const (
	Fastest = zstd.SpeedFastest
	Default = zstd.SpeedDefault
	Better  = zstd.SpeedBetterCompression
	Best    = zstd.SpeedBestCompression
)

// New returns the compression of a level. It may be used by many goroutines at once.
func New(level Level) transport.Compression {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1), zstd.WithZeroFrames(true))
	if err != nil {
		panic("zstd: " + err.Error()) // no options that it could refuse
	}
	return &compression{encoder: encoder, decoders: make(map[int]*zstd.Decoder)}
}

type compression struct {
	encoder *zstd.Encoder // its EncodeAll is for many goroutines at once

	mu sync.Mutex // protects what follows
	// decoders are by the limit of what they make. Client and server have few limits each;
	// beyond maxDecoders one is made for each body.
	decoders map[int]*zstd.Decoder
}

// maxDecoders is how many decoders are kept.
const maxDecoders = 32

func (c *compression) ID() uint64 { return ID }

// Compress appends the compressed body to dst.
func (c *compression) Compress(dst, body []byte) ([]byte, error) {
	return c.encoder.EncodeAll(body, dst), nil
}

// Decompress appends what body was before to dst, limit bytes at most: then the error
// is transport.ErrTooLarge, as for a frame whose window is larger than that.
func (c *compression) Decompress(dst, body []byte, limit int) ([]byte, error) {
	if len(body) == 0 {
		return dst, errors.New("zstd: there is no frame")
	}
	decoder, err := c.decoder(limit)
	if err != nil {
		return dst, err
	}
	before := len(dst)
	out, err := decoder.DecodeAll(body, dst[before:before:before])
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded):
		return dst, transport.ErrTooLarge
	case err != nil:
		return dst, err
	case len(out) > limit:
		return dst, transport.ErrTooLarge
	}
	return append(dst, out...), nil
}

// least is the memory, in bytes, below which a decoder takes hardly any frame.
const least = 64 << 10

// decoder returns a decoder that makes no more than limit bytes, or than least. Its
// DecodeAll is for many goroutines at once.
func (c *compression) decoder(limit int) (*zstd.Decoder, error) {
	limit = max(limit, least)
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.decoders[limit]; d != nil {
		return d, nil
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(uint64(limit)))
	if err != nil {
		return nil, err
	}
	if len(c.decoders) < maxDecoders {
		c.decoders[limit] = d
	}
	return d, nil
}
