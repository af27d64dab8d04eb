package systems

import (
	"encoding/binary"
	"fmt"
)

// countBody is a request for so many results.
func countBody(results int) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(results)) }

// count is how many results a request asks for; 0 if it is none.
func count(body []byte) int {
	if len(body) != 8 {
		return 0
	}
	return int(binary.LittleEndian.Uint64(body))
}

// sized returns a slice of n bytes, in body's memory if that suffices.
func sized(body []byte, n int) []byte {
	if cap(body) < n {
		return make([]byte, n)
	}
	return body[:n]
}

// A payload is what generic codecs marshal: a body as it is. Unmarshal keeps its
// memory from one call to the next.
type payload struct{ body []byte }

func (p *payload) keep(data []byte) { p.body = append(p.body[:0], data...) }

// bytesOf is what a codec is given to marshal.
func bytesOf(v any) (*payload, error) {
	p, ok := v.(*payload)
	if !ok {
		return nil, fmt.Errorf("a %T is no payload", v)
	}
	return p, nil
}
