package memnet

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestRing compares a ring with a slice under random operations.
func TestRing(t *testing.T) {
	for _, size := range []int{1, 2, 7, smallestRing, smallestRing + 1, 5 * smallestRing} {
		random := rand.New(rand.NewPCG(uint64(size), 0))
		r := ring{size: size}
		var model []byte
		next := byte(0)
		for range 2000 {
			if room := r.room(); room != size-len(model) {
				t.Fatalf("size %d: there is room for %d, want %d", size, room, size-len(model))
			} else if room > 0 && random.IntN(2) == 0 {
				p := make([]byte, 1+random.IntN(room))
				for i := range p {
					next++
					p[i] = next
				}
				r.push(p)
				model = append(model, p...)
			}
			if len(model) > 0 && random.IntN(2) == 0 {
				index := random.IntN(len(model))
				r.flip(index, 1)
				model[index] ^= 1
				p := make([]byte, 1+random.IntN(len(model)))
				r.pop(p)
				if !bytes.Equal(p, model[:len(p)]) {
					t.Fatalf("size %d: popped %v, want %v", size, p, model[:len(p)])
				}
				model = model[len(p):]
			}
		}
		if len(r.bytes) > size {
			t.Errorf("a ring of %d bytes has grown to %d", size, len(r.bytes))
		}
		r.clear()
		if r.room() != size {
			t.Errorf("there is room for %d in a cleared ring, want %d", r.room(), size)
		}
	}
}
