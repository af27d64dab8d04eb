package integration_test

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"
)

// usage is what a process uses.
type usage struct {
	HeapMiB     float64
	Goroutines  int
	Descriptors int // -1: the system does not tell
}

// firstSocket has the runtime open the descriptors that it keeps once there was a socket.
var firstSocket = sync.OnceFunc(func() {
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		l.Close()
	}
})

func usageNow() usage {
	firstSocket()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u := usage{float64(m.HeapAlloc) / (1 << 20), runtime.NumGoroutine(), -1}
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		u.Descriptors = len(files)
	}
	return u
}

func (u usage) String() string {
	return fmt.Sprintf("%.1f MiB of heap, %d goroutines, %d descriptors", u.HeapMiB, u.Goroutines, u.Descriptors)
}

// wantBack fails the test if what a process uses does not go back soon to what it was
// before, but for what may stay: 4 MiB, and what is given as more.
func wantBack(t *testing.T, before usage, now func() usage, more usage) {
	t.Helper()
	most := usage{before.HeapMiB + 4 + more.HeapMiB, before.Goroutines + more.Goroutines, before.Descriptors}
	var after usage
	for range 50 {
		after = now()
		if after.HeapMiB <= most.HeapMiB && after.Goroutines <= most.Goroutines && after.Descriptors <= most.Descriptors {
			t.Logf("before: %v; afterwards: %v", before, after)
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("before: %v; afterwards: %v", before, after)
}
