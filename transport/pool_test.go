package transport

import "testing"

func TestPool(t *testing.T) {
	var p Pool
	for _, n := range []int{0, 1, pooledMedium - 1, pooledMedium, pooledMedium + 1, pooledLarge, pooledLarge + 1, 1 << 20} {
		b := p.Get(n)
		if len(b) != 0 || cap(b) < n {
			t.Errorf("for %d bytes got %d of %d", n, len(b), cap(b))
		}
		p.Put(append(b, make([]byte, n)...))
		p.Put(append(b, make([]byte, 2*cap(b))...)) // has grown, so it is not the Pool's
		p.Put(b[:0:min(7, cap(b))])
	}
	p.Put(nil)
}
