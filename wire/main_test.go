package wire

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// wantRule wants err to name a broken rule, in words that hold part.
func wantRule(t *testing.T, err error, part string) {
	t.Helper()
	var rule *RuleError
	if !errors.As(err, &rule) || !strings.Contains(err.Error(), part) {
		t.Errorf("got %v (%T), want a broken rule with %q in it", err, err, part)
	}
}

// random returns a source whose seed the test logs.
func random(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// someNumber draws a number of any length, small ones as often as large ones.
func someNumber(r *rand.Rand) uint64 {
	return r.Uint64() >> r.IntN(64)
}

func someBytes(r *rand.Rand, longest int) []byte {
	b := make([]byte, r.IntN(longest+1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}
