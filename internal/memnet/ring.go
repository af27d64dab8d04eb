package memnet

// ring is a byte queue of bounded size. It grows as needed, because most
// connections of a test never fill their buffers.
type ring struct {
	bytes []byte
	head  int // index of the oldest byte
	count int
	size  int // the most that bytes may grow to
}

// smallestRing is the first allocation of a ring.
const smallestRing = 1 << 10

func (r *ring) room() int {
	return r.size - r.count
}

// push appends p, which must not be empty nor longer than the room.
func (r *ring) push(p []byte) {
	if need := r.count + len(p); need > len(r.bytes) {
		grown := make([]byte, min(r.size, max(need, 2*len(r.bytes), smallestRing)))
		r.copyTo(grown[:r.count])
		r.bytes, r.head = grown, 0
	}
	tail := (r.head + r.count) % len(r.bytes)
	n := copy(r.bytes[tail:], p)
	copy(r.bytes, p[n:])
	r.count += len(p)
}

// pop moves the oldest len(p) bytes to p; there must be as many, and one at least.
func (r *ring) pop(p []byte) {
	r.copyTo(p)
	r.head += len(p)
	r.count -= len(p)
	if r.head >= len(r.bytes) {
		r.head -= len(r.bytes)
	}
}

// copyTo copies the oldest len(p) bytes to p; there must be as many.
func (r *ring) copyTo(p []byte) {
	n := copy(p, r.bytes[r.head:])
	copy(p[n:], r.bytes)
}

// flip inverts bits of the byte at an index from the oldest.
func (r *ring) flip(index int, bits byte) {
	r.bytes[(r.head+index)%len(r.bytes)] ^= bits
}

// clear drops all bytes.
func (r *ring) clear() {
	*r = ring{size: r.size}
}
