package debug

import (
	"cmp"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/cmdstream/cmdstream/base"
)

// remote is a peer's address; its zero value is that of a client, which may not know.
type remote struct{ addr net.Addr }

func (r remote) String() string {
	if r.addr == nil {
		return ""
	}
	return cut(r.addr.String())
}

// A running command. Records of commands that have ended are used again.
type running struct {
	kind   *kind
	seq    base.Seq
	began  time.Duration // since the Page was made
	remote remote

	shard        *shard
	older, newer *running // in the shard's list
	next         *running // of its free records
}

// inFlight is the commands that are open, in lists that are chosen at random, so that
// many processors do not wait for one lock.
type inFlight [16]shard

type shard struct {
	mu     sync.Mutex // protects what follows
	newest *running
	oldest *running
	free   *running
	spare  int // how many are free

	_ [64]byte // no two shards are in one cache line
}

// keepFree is how many records a shard keeps that no command needs. After a burst the
// others are the garbage collector's.
const keepFree = 1024

func (f *inFlight) begin(k *kind, began time.Duration, seq base.Seq, from remote) *running {
	s := &f[rand.Uint32()%uint32(len(f))]
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.free
	if r == nil {
		r = &running{shard: s}
	} else {
		s.free, r.next = r.next, nil
		s.spare--
	}
	r.kind, r.seq, r.began, r.remote = k, seq, began, from
	r.older = s.newest
	if r.older == nil {
		s.oldest = r
	} else {
		r.older.newer = r
	}
	s.newest = r
	return r
}

func (r *running) end() {
	s := r.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.older == nil {
		s.oldest = r.newer
	} else {
		r.older.newer = r.newer
	}
	if r.newer == nil {
		s.newest = r.older
	} else {
		r.newer.older = r.older
	}
	*r = running{shard: s}
	if s.spare < keepFree {
		r.next, s.free = s.free, r
		s.spare++
	}
}

// list returns those that have been open for longest, MaxOldest at most. In a shard they
// are in the order in which they began, or nearly so.
func (f *inFlight) list(now time.Duration) []RunningInfo {
	var found []running
	for i := range f {
		s := &f[i]
		s.mu.Lock()
		for r, n := s.oldest, 0; r != nil && n < MaxOldest; r, n = r.newer, n+1 {
			found = append(found, *r)
		}
		s.mu.Unlock()
	}
	slices.SortFunc(found, func(a, b running) int { return cmp.Compare(a.began, b.began) })
	infos := make([]RunningInfo, 0, MaxOldest)
	for _, r := range found[:min(len(found), MaxOldest)] {
		infos = append(infos, RunningInfo{
			Name: r.kind.name, Side: r.kind.side, Age: max(now-r.began, 0), Remote: r.remote.String(), Seq: int64(r.seq),
		})
	}
	return infos
}
