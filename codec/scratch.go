package codec

import (
	"encoding/binary"
	"io"
	"slices"
	"sync"

	"github.com/cmdstream/cmdstream/transport"
)

const (
	// headRoom is left free before a body, for a tag and a length, which is known
	// only after the body: so all goes out in one Write.
	headRoom = 2 * binary.MaxVarintLen64
	// firstStep is how much memory a length alone may claim; beyond it a buffer at
	// most doubles, by what has arrived.
	firstStep = 64 << 10
	// keptSize is the largest buffer that goes back to the pool.
	keptSize = 64 << 10
)

// scratch is a buffer for one body.
type scratch struct{ bytes []byte }

type scratchPool struct{ pool sync.Pool }

func (p *scratchPool) get() *scratch {
	if s, ok := p.pool.Get().(*scratch); ok {
		return s
	}
	return &scratch{bytes: make([]byte, headRoom, 512)}
}

func (p *scratchPool) put(s *scratch) {
	if cap(s.bytes) <= keptSize {
		p.pool.Put(s)
	}
}

// room returns the buffer with nothing in it but room for the head.
func (s *scratch) room() []byte { return s.bytes[:headRoom] }

// write keeps encoded, which began as room, and writes its body behind the
// numbers of head: at most two.
func (s *scratch) write(w transport.Writer, encoded []byte, head ...uint64) error {
	s.bytes = encoded
	var numbers [headRoom]byte
	b := numbers[:0]
	for _, n := range head {
		b = binary.AppendUvarint(b, n)
	}
	start := headRoom - len(b)
	copy(encoded[start:], b)
	_, err := w.Write(encoded[start:])
	return err
}

// read reads exactly n bytes; they are good until s, or r, is used again.
func (s *scratch) read(r io.Reader, n int) ([]byte, error) {
	if body, ok := r.(*transport.Body); ok && body.Len() == n {
		return body.Bytes(), nil // is in memory
	}
	b := s.bytes[:0]
	for len(b) < n {
		have := len(b)
		step := min(n-have, max(have, firstStep))
		b = slices.Grow(b, step)[:have+step]
		if _, err := io.ReadFull(r, b[have:]); err != nil {
			return nil, short(err)
		}
	}
	s.bytes = b
	return b, nil
}
