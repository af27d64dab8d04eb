// Package frugal fails tests of what takes more memory than it may.
package frugal

import (
	"runtime"
	"testing"
)

// Check runs f, and fails t if more bytes are allocated meanwhile than most.
func Check(t testing.TB, most int, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > uint64(most) {
		t.Errorf("%d bytes were allocated, %d at most may be", n, most)
	}
}
