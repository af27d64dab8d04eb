package debug

import (
	"math/bits"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// Types that nobody has counted on can't fill the memory.
func TestTypesAreBounded(t *testing.T) {
	page := New()
	for n := range MaxTypes + 100 {
		cmd := reflect.New(reflect.ArrayOf(n, reflect.TypeFor[byte]())).Elem().Interface()
		for range 2 {
			page.end(page.begin(&page.server, cmd, time.Time{}, 1, remote{}), nil)
		}
	}
	commands := page.Snapshot().Commands
	if len(commands) != MaxTypes+1 {
		t.Fatalf("%d types are shown", len(commands))
	}
	for _, c := range commands {
		switch {
		case c.Name == Other && c.Succeeded != 200:
			t.Errorf("%d commands are of other types", c.Succeeded)
		case c.Name != Other && c.Succeeded != 2:
			t.Errorf("of %s there are %d", c.Name, c.Succeeded)
		}
	}
	if len(*page.server.byType.Load()) > MaxTypes {
		t.Error("the types are not bounded")
	}
}

// Both forms of a typed command are one line on the page.
func TestTypesOfOneNameAreOne(t *testing.T) {
	page := New()
	one := func() any { type same struct{ A int }; return same{} }()
	another := func() any { type same struct{ B int }; return same{} }()
	for _, cmd := range []any{one, another, one} {
		page.end(page.begin(&page.client, cmd, time.Time{}, 0, remote{}), nil)
	}
	if all := page.Snapshot().Commands; len(all) != 1 || all[0].Succeeded != 3 || all[0].Side != ClientSide {
		t.Errorf("it shows %+v", all)
	}
}

// After a burst the records are given up.
func TestRecordsAfterABurst(t *testing.T) {
	page := New()
	var open []*running
	for range 3 * keepFree * len(page.open) {
		open = append(open, page.begin(&page.server, 1, time.Time{}, 1, remote{}))
	}
	rand.Shuffle(len(open), func(i, j int) { open[i], open[j] = open[j], open[i] })
	for _, r := range open {
		page.end(r, nil)
	}
	for i := range page.open {
		s := &page.open[i]
		n := 0
		for r := s.free; r != nil; r = r.next {
			n++
			if r.kind != nil || r.shard != s {
				t.Fatal("a free record holds what it was for")
			}
		}
		if n > keepFree || n != s.spare || s.oldest != nil || s.newest != nil {
			t.Errorf("%d free records, counted as %d; the oldest is %v", n, s.spare, s.oldest)
		}
	}
}

func TestBuckets(t *testing.T) {
	check := func(d time.Duration) {
		t.Helper()
		i := bucketOf(d)
		lower := time.Duration(0)
		if i > 0 {
			lower = below(i - 1)
		}
		upper := below(i)
		switch {
		case i == buckets-1:
			if d < lower {
				t.Errorf("%v is in the last bucket, which begins at %v", d, lower)
			}
		case d < lower || d >= upper:
			t.Errorf("%v is in the bucket from %v to %v", d, lower, upper)
		case upper-lower > max(128, lower/8):
			t.Errorf("the bucket from %v to %v is wide", lower, upper)
		}
	}
	for shift := range 63 {
		for d := range time.Duration(3) {
			check(time.Duration(1)<<shift + d - 1)
		}
	}
	for range 10000 {
		check(time.Duration(rand.Uint64() >> (1 + rand.IntN(bits.UintSize-1))))
	}
	var h histogram
	h.add(-time.Second) // a clock of its own, at a peer of a test
	h.add(1 << 62)
	if l := h.latency(); len(l.Buckets) != 2 || l.Buckets[0].Below != 128 || l.Max != 1<<62 || l.P50 != 128 {
		t.Errorf("got %+v", l)
	}
	if below(buckets-1) < 2*time.Hour {
		t.Errorf("buckets end at %v", below(buckets-1))
	}
	if l := new(histogram).latency(); l.Max != 0 || l.P999 != 0 || l.Buckets == nil {
		t.Errorf("of nothing: %+v", l)
	}
}
