package debug

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// A histogram counts durations in buckets that are narrow where durations are short: each
// doubling, from a microsecond to more than two hours, has eight. What is longer counts
// in the last one.
type histogram struct {
	counts [buckets]atomic.Uint64
	max    atomic.Int64 // nanoseconds
}

const (
	resolution = 7 // bits of a nanosecond count that do not matter: 128 ns
	precision  = 3 // bits that do: eight buckets for each doubling
	doublings  = 33
	buckets    = (doublings + 1) << precision
)

func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.counts[bucketOf(d)].Add(1)
	for {
		before := h.max.Load()
		if int64(d) <= before || h.max.CompareAndSwap(before, int64(d)) {
			return
		}
	}
}

func bucketOf(d time.Duration) int {
	units := uint64(d) >> resolution
	doubling := bits.Len64(units>>precision) - 1
	if doubling < 0 {
		return int(units)
	}
	return min(doubling<<precision+int(units>>doubling), buckets-1)
}

// below returns the upper bound of a bucket.
func below(bucket int) time.Duration {
	if bucket < 1<<precision {
		return time.Duration(bucket+1) << resolution
	}
	doubling := bucket>>precision - 1
	return time.Duration(bucket-doubling<<precision+1) << doubling << resolution
}

// latency returns what was counted. Commands may end meanwhile.
func (h *histogram) latency() Latency {
	l := Latency{Max: time.Duration(h.max.Load()), Buckets: []Bucket{}}
	total := uint64(0)
	for i := range h.counts {
		if n := h.counts[i].Load(); n > 0 {
			l.Buckets = append(l.Buckets, Bucket{Below: below(i), Count: n})
			total += n
		}
	}
	for quantile, permille := range map[*time.Duration]uint64{&l.P50: 500, &l.P90: 900, &l.P99: 990, &l.P999: 999} {
		rank, seen := (total*permille+999)/1000, uint64(0)
		for _, b := range l.Buckets {
			if seen += b.Count; seen >= rank {
				*quantile = min(b.Below, l.Max)
				break
			}
		}
	}
	return l
}

// A rate counts by seconds, for the last minute. Each slot holds its second, in the upper
// half, and a count.
type rate [64]atomic.Uint64

func (r *rate) add(second int64) {
	slot := &r[second%int64(len(r))]
	for {
		v := slot.Load()
		if int64(v>>32) == second {
			slot.Add(1)
			return
		}
		if slot.CompareAndSwap(v, uint64(second)<<32|1) {
			return
		}
	}
}

// last returns the counts of the seconds before the given one.
func (r *rate) last(second int64) []uint32 {
	counts := make([]uint32, Seconds)
	for i := range counts {
		s := second - Seconds + int64(i)
		if s < 0 {
			continue
		}
		if v := r[s%int64(len(r))].Load(); int64(v>>32) == s {
			counts[i] = uint32(v)
		}
	}
	return counts
}
