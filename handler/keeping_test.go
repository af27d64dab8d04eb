package handler

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
)

// patient is a command that waits for room, until its ctx ends.
type patient struct{ ctx context.Context }

func (p patient) check(base.Seq) error { return p.ctx.Err() }
func (p patient) pass()                {}

// What is taken and given back by many at once, some of whom do not wait to the end, is never more
// than may be, is nothing in the end, and nobody is left waiting.
func TestKeepingIsExact(t *testing.T) {
	for _, floor := range []int64{0, 100, 1000} {
		var beyond, most, gaveUp atomic.Int64
		b := &keeping{floor: floor, limit: func() int { return 500 }, beyond: func(n int64) { beyond.Add(n) }}
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				for range 500 {
					ctx, cancel := context.Background(), func() {}
					if rand.IntN(2) == 0 {
						ctx, cancel = context.WithTimeout(ctx, time.Duration(rand.IntN(200))*time.Microsecond)
					}
					n := 1 + rand.Int64N(200)
					if err := b.take(ctx, patient{ctx}, 1, n); err == nil {
						for kept := b.n.Load(); ; {
							before := most.Load()
							if kept <= before || most.CompareAndSwap(before, kept) {
								break
							}
						}
						if rand.IntN(4) == 0 {
							time.Sleep(time.Duration(rand.IntN(50)) * time.Microsecond)
						}
						b.give(n)
					} else if errors.Is(err, context.DeadlineExceeded) {
						gaveUp.Add(1)
					} else {
						t.Error(err)
					}
					cancel()
				}
			})
		}
		all.Wait()
		if b.n.Load() != 0 || beyond.Load() != 0 || len(b.queue) != 0 || b.waiting.Load() {
			t.Errorf("with a floor of %d, %d bytes are left, %d beyond it, and %d wait", floor, b.n.Load(), beyond.Load(), len(b.queue))
		}
		if limit := max(floor, 500); most.Load() > limit || most.Load() < limit/2 {
			t.Errorf("with a floor of %d, %d bytes were kept", floor, most.Load())
		}
		if floor < 1000 && gaveUp.Load() == 0 {
			t.Error("nobody gave up")
		}
	}
}

// Room that is there at once costs no memory, above the floor as below it.
func TestRoomAllocatesNothing(t *testing.T) {
	ctx := context.Background()
	var x waiting = patient{ctx}
	b := &keeping{floor: 100, limit: func() int { return 1 << 20 }, beyond: func(int64) {}}
	for _, kept := range []int64{0, 1000} {
		b.n.Store(kept)
		allocated := testing.AllocsPerRun(1000, func() {
			if err := b.take(ctx, x, 1, 10); err != nil {
				t.Fatal(err)
			}
			b.give(10)
		})
		if allocated != 0 {
			t.Errorf("with %d bytes kept: %v allocations", kept, allocated)
		}
	}
}
