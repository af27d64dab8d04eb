package mus

import (
	"errors"
	"io"
	"runtime"
	"sync"
)

// DefaultMaxDepth is the MaxDepth of a Format or a Codec that doesn't set one.
const DefaultMaxDepth = 300

// keptSize is the largest memory of its own that a reader keeps.
const keptSize = 64 << 10

// reader is what values are read from, twice: first from data and source, then from data.
type reader struct {
	data   []byte
	at     int    // how much of data was read
	source Reader // what follows data, and is kept there; nil: nothing follows
	own    bool   // the memory of data is the reader's
	depth
}

var readers = sync.Pool{New: func() any { return new(reader) }}

// reads returns a reader of data, and of source after that, if it is not nil.
func reads(data []byte, source Reader) *reader {
	r := readers.Get().(*reader)
	if source == nil {
		r.data = data
	} else {
		r.source, r.own = source, true
	}
	return r
}

func (r *reader) release() {
	var kept []byte
	if r.own && cap(r.data) <= keptSize {
		kept = r.data[:0]
	}
	*r = reader{data: kept}
	readers.Put(r)
}

// rewind lets what was read from start on be read again, and nothing more.
func (r *reader) rewind(start int) {
	r.at, r.source = start, nil
	r.depth = depth{}
}

// ReadByte reads one byte; io.EOF at the end.
func (r *reader) ReadByte() (byte, error) {
	if r.every > 0 && !r.allowed() {
		return 0, errTooDeep
	}
	if r.at == len(r.data) {
		if r.source == nil {
			return 0, io.EOF
		}
		c, err := r.source.ReadByte()
		if err != nil {
			return 0, err
		}
		r.data = append(r.data, c)
	}
	c := r.data[r.at]
	r.at++
	return c, nil
}

// Read reads up to len(p) bytes; io.EOF at the end.
func (r *reader) Read(p []byte) (int, error) {
	if r.every > 0 && !r.allowed() {
		return 0, errTooDeep
	}
	if r.at < len(r.data) || len(p) == 0 {
		n := copy(p, r.data[r.at:])
		r.at += n
		return n, nil
	}
	if r.source == nil {
		return 0, io.EOF
	}
	n, err := r.source.Read(p)
	r.data = append(r.data, p[:n]...)
	r.at += n
	return n, err
}

// Discard skips n bytes.
func (r *reader) Discard(n int) (int, error) {
	if r.source != nil {
		skipped, err := io.CopyN(io.Discard, r, int64(n))
		return int(skipped), err
	}
	skipped := min(n, len(r.data)-r.at)
	r.at += skipped
	if skipped < n {
		return skipped, io.EOF
	}
	return n, nil
}

// depth watches how deep the stack is while something is read.
type depth struct {
	every   int // how many reads there are between two looks; 0: nobody watches
	reads   int // since the last look
	limit   int // in calls
	tooDeep bool
}

var errTooDeep = errors.New("it is nested deeper than MaxDepth allows")

// watch begins to watch: from here on the calls may be as deep as max.
func (d *depth) watch(max int) {
	if max <= 0 {
		max = DefaultMaxDepth
	}
	// Each level reads a byte at least, so between two looks there are so many more at most.
	d.every = max/2 + 1
	d.limit = calls() + max
}

// allowed looks, if it is time, how deep the stack is.
func (d *depth) allowed() bool {
	if d.reads++; d.reads >= d.every {
		d.reads = 0
		var one [1]uintptr
		d.tooDeep = d.tooDeep || runtime.Callers(d.limit, one[:]) > 0
	}
	return !d.tooDeep
}

// calls returns how deep the stack is.
func calls() int {
	var some [128]uintptr
	for n := 0; ; {
		got := runtime.Callers(n, some[:])
		if n += got; got < len(some) {
			return n
		}
	}
}
