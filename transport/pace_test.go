package transport

import (
	"testing"
	"testing/synctest"
	"time"
)

// A copy lets threads run at first, and then once it has gone on for a quarter of what that took.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for copied, runs := range map[time.Duration]bool{0: false, 249 * time.Millisecond: false, 250 * time.Millisecond: true, time.Hour: true} {
			p := pace{since: time.Now(), took: time.Second}
			time.Sleep(copied)
			if p.yield(); (p.took == 0) != runs {
				t.Errorf("after %v threads were let run: %t", copied, !runs)
			}
		}
		p := pace{took: -1}
		if p.yield(); p.took != 0 {
			t.Error("no thread was let run at the first step")
		}
	})
}
