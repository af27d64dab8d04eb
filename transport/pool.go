package transport

import "sync"

// Pool keeps the memory of bodies that are too large for a Buffer to keep, so that a
// connection over which many of them go does not leave it all to the garbage collector. It
// belongs to one client or server. The zero Pool is empty; it is safe for concurrent use.
type Pool struct{ medium, large sync.Pool }

// The capacities in bytes of what a Pool keeps; the larger one is a frame's payload.
const (
	pooledMedium = 16 << 10
	pooledLarge  = 64 << 10
)

// Get returns memory for a body of n bytes, empty.
func (p *Pool) Get(n int) []byte {
	switch {
	case n <= pooledMedium:
		if memory, ok := p.medium.Get().(*[pooledMedium]byte); ok {
			return memory[:0]
		}
		return make([]byte, 0, pooledMedium)
	case n <= pooledLarge:
		if memory, ok := p.large.Get().(*[pooledLarge]byte); ok {
			return memory[:0]
		}
		return make([]byte, 0, pooledLarge)
	}
	return make([]byte, 0, n)
}

// Put takes back what Get has returned, once nobody refers to it. Other memory is left to
// the garbage collector.
func (p *Pool) Put(b []byte) {
	switch cap(b) {
	case pooledMedium:
		p.medium.Put((*[pooledMedium]byte)(b[:pooledMedium]))
	case pooledLarge:
		p.large.Put((*[pooledLarge]byte)(b[:pooledLarge]))
	}
}
