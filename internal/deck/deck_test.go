package deck

import (
	"math"
	"testing"
)

func TestDeck(t *testing.T) {
	d := Deck{[]byte{7, 9, 3, 0x2a, 0xf2, 1, 0xff, 2, 'a', 'b', 'c'}}
	if d.Byte() != 7 || d.Pick(5) != 4 || !d.Rarely(4) {
		t.Error("the small decisions are others")
	}
	for _, want := range []uint64{0xa, 1<<16 - 1 + 1, math.MaxInt64 + 2} {
		if got := d.Number(); got != want {
			t.Errorf("the number is %d, want %d", got, want)
		}
	}
	if a, b := string(d.Take(2)), string(d.Take(2)); a != "ab" || b != "c" {
		t.Errorf("took %q and %q", a, b)
	}
	if d.Byte() != 0 || d.Pick(3) != 0 || d.Rarely(2) || d.Number() != 0 || len(d.Take(1)) != 0 {
		t.Error("a deck that is used up decides something")
	}
}
