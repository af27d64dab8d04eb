package main

import (
	"bytes"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// counters are what a process has used since it began.
type counters struct {
	Allocs uint64 // objects
	Bytes  uint64 // of these
	CPU    time.Duration
	Writes uint64 // calls of write and its like, as Linux counts them; 0 elsewhere
	Memory uint64 // bytes that the runtime holds now
	Peak   uint64 // the most that it held since it was watched
}

func (c counters) minus(earlier counters) counters {
	return counters{
		Allocs: c.Allocs - earlier.Allocs, Bytes: c.Bytes - earlier.Bytes,
		CPU: c.CPU - earlier.CPU, Writes: c.Writes - earlier.Writes,
	}
}

func (c counters) plus(other counters) counters {
	return counters{
		Allocs: c.Allocs + other.Allocs, Bytes: c.Bytes + other.Bytes,
		CPU: c.CPU + other.CPU, Writes: c.Writes + other.Writes,
	}
}

// readCounters reads those of this process. It stops the world for a moment.
func readCounters() counters {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return counters{
		Allocs: stats.Mallocs, Bytes: stats.TotalAlloc,
		CPU:    time.Duration(usage.Utime.Nano() + usage.Stime.Nano()),
		Writes: readWrites(), Memory: readMemory(), Peak: peak.Load(),
	}
}

// readWrites asks Linux how many write calls this process has made.
func readWrites() uint64 {
	data, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(data) {
		if rest, ok := bytes.CutPrefix(line, []byte("syscw: ")); ok {
			n, _ := strconv.ParseUint(string(bytes.TrimSpace(rest)), 10, 64)
			return n
		}
	}
	return 0
}

// readMemory is what the runtime has of the operating system and has not given back:
// heap, stacks and what manages them.
func readMemory() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}

// settle collects garbage and gives free memory back, so that what is held then is
// needed.
func settle() {
	debug.FreeOSMemory()
	debug.FreeOSMemory()
}

// peak is the most memory that was seen since watch was called.
var peak atomic.Uint64

// watch looks at the memory every few milliseconds until stop is called.
func watch() (stop func()) {
	peak.Store(readMemory())
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(2 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				if now := readMemory(); now > peak.Load() {
					peak.Store(now)
				}
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}
