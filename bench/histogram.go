package main

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// A histogram counts durations in buckets that are 1/128 of their value wide. It may
// be used by many goroutines at once, without a lock.
type histogram struct{ buckets [bucketCount]atomic.Uint32 }

const (
	bucketBits  = 7
	bucketCount = 32 << bucketBits // up to two minutes
)

func bucketOf(ns uint64) int {
	if ns < 1<<bucketBits {
		return int(ns)
	}
	exponent := bits.Len64(ns) - bucketBits - 1
	return min(exponent<<bucketBits+int(ns>>exponent), bucketCount-1)
}

// middleOf is the middle of a bucket, in nanoseconds.
func middleOf(bucket int) float64 {
	if bucket < 2<<bucketBits {
		return float64(bucket)
	}
	exponent := bucket>>bucketBits - 1
	return (float64(bucket-exponent<<bucketBits) + 0.5) * float64(uint64(1)<<exponent)
}

func (h *histogram) record(d time.Duration) { h.buckets[bucketOf(uint64(max(d, 0)))].Add(1) }

// shards is how many histograms the callers share, so that two seldom meet.
const shards = 16

// latencies are the histograms of one measurement.
type latencies [shards]histogram

// quantiles returns the durations in microseconds below which the given shares of all
// lie, and false if none was recorded.
func (l *latencies) quantiles(shares ...float64) ([]float64, bool) {
	var sums [bucketCount]uint64
	total := uint64(0)
	for i := range l {
		for bucket := range l[i].buckets {
			n := uint64(l[i].buckets[bucket].Load())
			sums[bucket] += n
			total += n
		}
	}
	if total == 0 {
		return nil, false
	}
	quantiles := make([]float64, len(shares))
	for i, share := range shares {
		below := uint64(share * float64(total))
		bucket := 0
		for seen := sums[0]; seen <= below && bucket < bucketCount-1; seen += sums[bucket] {
			bucket++
		}
		quantiles[i] = middleOf(bucket) / 1e3
	}
	return quantiles, true
}
