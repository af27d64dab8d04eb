package frugal_test

import (
	"testing"

	"github.com/cmdstream/cmdstream/internal/frugal"
)

// told is a test that may fail.
type told struct {
	testing.TB
	failed bool
}

func (t *told) Helper()               {}
func (t *told) Errorf(string, ...any) { t.failed = true }

var sink []byte

func TestCheck(t *testing.T) {
	const kibibyte = 1 << 10
	for size, fails := range map[int]bool{100 * kibibyte: false, 10_000 * kibibyte: true} {
		judge := &told{TB: t}
		frugal.Check(judge, 1000*kibibyte, func() { sink = make([]byte, size) })
		if judge.failed != fails {
			t.Errorf("%d bytes: failed %v", size, judge.failed)
		}
	}
}
