// Package deck makes decisions of what a fuzzer has made up.
package deck

// Deck is a source of small decisions. When it is used up, all decisions are 0.
type Deck struct{ B []byte }

// Byte returns the next byte.
func (d *Deck) Byte() byte {
	if len(d.B) == 0 {
		return 0
	}
	c := d.B[0]
	d.B = d.B[1:]
	return c
}

// Pick returns a number below n.
func (d *Deck) Pick(n int) int { return int(d.Byte()) % n }

// Rarely is true in one of n cases, and never when the deck is used up.
func (d *Deck) Rarely(n int) bool { return d.Pick(n) == n-1 }

// Number is mostly small, and now and then of any size.
func (d *Deck) Number() uint64 {
	switch c := d.Byte(); {
	case c < 0xf0:
		return uint64(c & 0xf)
	case c < 0xf8:
		return 1<<(8*(c&7)) - 1 + uint64(d.Byte())
	}
	return 1<<63 - 1 + uint64(d.Byte())
}

// Take returns the next n bytes, or what is left.
func (d *Deck) Take(n int) []byte {
	b := d.B[:min(n, len(d.B))]
	d.B = d.B[len(b):]
	return b
}
