// Package flate is DEFLATE, RFC 1951, as a compression of bodies: put it into
// client.Conf.Compressions and server.Conf.Compressions.
//
//	compressions := []transport.Compression{flate.New(flate.DefaultLevel)}
//	c, err := client.NewReconnect(ctx, set.Client(), client.TCP(addr), client.Conf{Compressions: compressions})
package flate

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/cmdstream/cmdstream/transport"
)

// ID is the compression's number on the wire.
const ID = 1

// DefaultLevel is a level between speed and size.
const DefaultLevel = flate.DefaultCompression

// New returns the compression of a level: 1, fast, to 9, small, or DefaultLevel. It
// panics for any other. It may be used by many goroutines at once.
func New(level int) transport.Compression {
	if _, err := flate.NewWriter(nil, level); err != nil {
		panic(fmt.Sprintf("flate: %v", err))
	}
	return &compression{level: level}
}

type compression struct {
	level   int
	writers sync.Pool // of *flate.Writer
	readers sync.Pool // of io.ReadCloser, a flate.Resetter
}

func (c *compression) ID() uint64 { return ID }

// Compress appends the compressed body to dst.
func (c *compression) Compress(dst, body []byte) ([]byte, error) {
	out := bytes.NewBuffer(dst)
	w, ok := c.writers.Get().(*flate.Writer)
	if ok {
		w.Reset(out)
	} else {
		w, _ = flate.NewWriter(out, c.level)
	}
	_, err := w.Write(body)
	if err == nil {
		err = w.Close()
	}
	c.writers.Put(w)
	return out.Bytes(), err
}

// step is how much memory a few bytes may claim at once.
const step = 4 << 10

// Decompress appends what body was before to dst, limit bytes at most: then the error
// is transport.ErrTooLarge. Bytes behind the end are an error too.
func (c *compression) Decompress(dst, body []byte, limit int) ([]byte, error) {
	in := bytes.NewReader(body)
	r, ok := c.readers.Get().(io.ReadCloser)
	if ok {
		if err := r.(flate.Resetter).Reset(in, nil); err != nil {
			return dst, err
		}
	} else {
		r = flate.NewReader(in)
	}
	defer c.readers.Put(r)
	before := len(dst)
	for {
		room := min(step, limit-(len(dst)-before)+1) // one more, to notice that there is more
		dst = slices.Grow(dst, room)
		n, err := r.Read(dst[len(dst) : len(dst)+room])
		dst = dst[:len(dst)+n]
		switch {
		case len(dst)-before > limit:
			return dst[:before], transport.ErrTooLarge
		case err == io.EOF && in.Len() > 0:
			return dst[:before], errors.New("flate: bytes follow the end")
		case err == io.EOF:
			return dst, nil
		case err != nil:
			return dst[:before], err
		}
	}
}
