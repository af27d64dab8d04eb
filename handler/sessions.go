package handler

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// SessionConf bounds the sessions of clients that ask for one. There are no defaults:
// the server has set all.
type SessionConf struct {
	// Time is how long a session is kept without a connection.
	Time time.Duration
	// Max is how many are kept so; one more costs the one that was left first.
	Max int
	// MaxBytes is how many bytes of results one session keeps until its client has
	// acknowledged them, of those up to a kibibyte and of larger ones each; a command that
	// would send more waits. Of the former there is room for 128 KiB in any case, of the
	// latter for one. The texts of errors above 256 bytes have a room like that of small
	// results, and are left out where they find none.
	MaxBytes int
	// TotalBytes is the same for all, what each has room for in any case apart: a session gets
	// no more than its share of it. Above it, sessions without a connection that keep more
	// than that room are given up, the one that was left first at first.
	TotalBytes int
}

// sessions are those that clients have asked for.
type sessions[T any] struct {
	conf     SessionConf
	counters *Counters
	beyond   atomic.Int64 // bytes that all of them keep beyond the floor of each
	held     atomic.Int64 // how many there are

	mu       sync.Mutex // protects what follows; taken inside a session's life
	byID     map[transport.SessionID]*Session[T]
	detached []*Session[T] // without a connection, the one that was left first at first
	lost     []lost        // that ended lately
	giving   bool          // a goroutine is giving sessions up
}

// lost is why a session has ended.
type lost struct {
	id  transport.SessionID
	why string
}

// maxLost is of how many ended sessions the reason is kept.
const maxLost = 256

// Open makes the session that a client asks for in its hello, or one without a name.
func (h *Handler[T]) Open(ctx context.Context, hello *transport.Hello, principal string, compression transport.Compression) (*Session[T], transport.Status, string) {
	s := newSession(h, ctx, hello)
	s.principal, s.compression = principal, compression
	if hello.Session == nil {
		return s, transport.OK, ""
	}
	s.named, s.id, s.epoch = true, hello.Session.ID, hello.Session.Epoch
	for b, floor := range map[*keeping]int64{&s.small: smallFloor, &s.large: 0, &s.failures: smallFloor} {
		b.floor, b.limit, b.beyond = floor, h.sessions.share, h.sessions.count
	}
	h.sessions.mu.Lock()
	defer h.sessions.mu.Unlock()
	if h.sessions.byID[s.id] != nil {
		return nil, transport.Refused, "there is a session of this id already"
	}
	h.sessions.byID[s.id] = s
	h.sessions.held.Add(1)
	h.Counters.SessionsOpened.Add(1)
	return s, transport.OK, ""
}

// Resume finds the session that a client resumes, takes it off its old connection,
// if it has one, and waits until nobody reads from that or writes to it. release is
// called with that connection, before it ends. The ctx of the commands that come from now on
// have the values of ctx.
func (h *Handler[T]) Resume(ctx context.Context, hello *transport.Hello, principal string, compression transport.Compression, release func(old *Conn[T])) (*Session[T], transport.Status, string) {
	h.sessions.mu.Lock()
	s := h.sessions.byID[hello.Session.ID]
	why := h.sessions.why(hello.Session.ID)
	h.sessions.mu.Unlock()
	if s == nil {
		h.Counters.SessionsLost.Add(1)
		return nil, transport.SessionLost, why
	}
	s.life.Lock()
	switch {
	case s.over != nil:
		s.life.Unlock()
		h.Counters.SessionsLost.Add(1)
		return nil, transport.SessionLost, "it has just ended"
	case s.principal != principal:
		s.life.Unlock()
		h.Counters.ForeignSessions.Add(1)
		return nil, transport.Unauthorized, "the session belongs to another client"
	case hello.Session.Epoch <= s.epoch:
		s.life.Unlock()
		h.Counters.StaleEpochs.Add(1)
		return nil, transport.StaleEpoch, ""
	case compression != s.compression:
		s.life.Unlock()
		return nil, transport.Refused, "the session was opened with another compression"
	}
	s.epoch, s.resuming = hello.Session.Epoch, ctx
	s.hellos++
	old := s.conn
	s.life.Unlock()
	if old != nil {
		release(old)
		old.conn.Fail(&base.Error{Code: base.ErrStaleEpoch, Message: "the connection was ended, since its session goes on over a newer one"})
		<-old.read
		old.conn.Join()
	}
	return s, transport.OK, ""
}

// Attach lets the session go on over a connection whose hello is over, and to whose
// transport memory was given as its Budget. The error is
// the end of the session, or a newer connection of it.
func (s *Session[T]) Attach(conn *transport.Conn, hello *transport.Hello, memory *Memory) (*Conn[T], error) {
	c := &Conn[T]{handler: s.handler, session: s, memory: memory, read: make(chan struct{}), role: role{conn: conn, now: s.handler.watchdog.now}}
	c.follow = func() {
		if x := c.runs; x != nil {
			x.mu.Lock()
			x.arm()
			x.mu.Unlock()
		}
		conn.Expect()
		s.handler.pool.run(c)
	}
	c.asks = hello.Session != nil && hello.Session.Resume
	if memory != nil {
		memory.watch.conn = conn
	}
	s.life.Lock()
	defer s.life.Unlock()
	switch { // what is refused is abandoned
	case s.over != nil:
		return nil, &base.Error{Code: base.ErrSessionLost, Message: "the session has ended", Err: s.over}
	case s.named && s.epoch != hello.Session.Epoch:
		return nil, &base.Error{Code: base.ErrStaleEpoch, Message: "the session has gone on over a newer connection"}
	}
	if c.asks {
		s.hellos--
		s.ctx, s.resuming = s.resuming, nil
		s.handler.Counters.SessionsResumed.Add(1)
	}
	s.conn = c
	s.last.Store(conn)
	s.handler.sessions.attached(s)
	return c, nil
}

// Abandon is the end of a hello after Open or Resume, without a connection.
func (s *Session[T]) Abandon(hello *transport.Hello) {
	switch {
	case !s.named:
	case !hello.Session.Resume:
		s.takeBack(hello)
	default:
		s.life.Lock()
		defer s.life.Unlock()
		if s.hellos--; s.conn == nil && s.over == nil {
			s.handler.sessions.detach(s)
		}
	}
}

// takeBack ends a session that was opened by a hello which has failed, unless its client, which
// has heard the answer, has resumed it since: then it is that hello's.
func (s *Session[T]) takeBack(opening *transport.Hello) {
	s.life.Lock()
	if s.epoch != opening.Session.Epoch {
		s.life.Unlock()
		return
	}
	reason := &base.Error{Code: base.ErrSessionLost, Message: "the hello that opened the session failed"}
	s.handler.sessions.forget(s, reason.Message)
	first := s.close(reason)
	s.life.Unlock()
	if first {
		s.endCommands(reason)
	}
}

// detach takes the session off a connection that has ended. It returns false if the
// session ends with it.
func (s *Session[T]) detach(c *Conn[T]) bool {
	if !s.named {
		return false
	}
	s.life.Lock()
	defer s.life.Unlock()
	if s.over != nil {
		return false
	}
	if s.conn == c {
		s.conn = nil
	}
	s.handler.sessions.detach(s)
	return true
}

// detach notes a session without a connection. The caller holds the session's life.
func (all *sessions[T]) detach(s *Session[T]) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if !slices.Contains(all.detached, s) {
		all.detached = append(all.detached, s)
	}
	if s.expiry != nil {
		s.expiry.Stop()
	}
	s.expiry = time.AfterFunc(all.conf.Time, func() {
		all.giveUp(s, &all.counters.SessionsExpired, "it was without a connection for "+all.conf.Time.String())
	})
	all.shrink()
}

// shrink has a goroutine give sessions up where there are too many, or too much is kept.
// The caller holds mu.
func (all *sessions[T]) shrink() {
	if i, _ := all.surplus(); i < 0 || all.giving {
		return
	}
	all.giving = true
	go func() {
		for {
			all.mu.Lock()
			i, why := all.surplus()
			if i < 0 {
				all.giving = false
				all.mu.Unlock()
				return
			}
			s := all.detached[i]
			all.detached = slices.Delete(all.detached, i, i+1)
			all.mu.Unlock()
			all.giveUp(s, &all.counters.SessionsEvicted, why)
		}
	}()
}

// surplus returns which of the sessions without a connection is to be given up next, and why;
// -1: none is. The caller holds mu.
func (all *sessions[T]) surplus() (i int, why string) {
	if len(all.detached) > all.conf.Max {
		return 0, "the server keeps no more than " + strconv.Itoa(all.conf.Max) + " sessions without a connection"
	}
	if all.beyond.Load() > int64(all.conf.TotalBytes) {
		i = slices.IndexFunc(all.detached, func(s *Session[T]) bool { return s.small.isBeyond() || s.large.isBeyond() || s.failures.isBeyond() })
		return i, "the server keeps no more results for sessions without a connection"
	}
	return -1, ""
}

// attached notes that a session has a connection. The caller holds its life.
func (all *sessions[T]) attached(s *Session[T]) {
	if !s.named {
		return
	}
	if s.expiry != nil {
		s.expiry.Stop()
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	all.detached = slices.DeleteFunc(all.detached, func(other *Session[T]) bool { return other == s })
}

// giveUp ends a session, unless it has a connection by now.
func (all *sessions[T]) giveUp(s *Session[T], counter *atomic.Uint64, why string) {
	s.life.Lock()
	if s.conn != nil || s.hellos > 0 || s.over != nil {
		s.life.Unlock()
		return
	}
	reason := &base.Error{Code: base.ErrSessionLost, Message: "the session was given up: " + why}
	counter.Add(1) // first: who finds it gone finds it counted
	all.forget(s, why)
	s.close(reason)
	s.life.Unlock()
	s.endCommands(reason)
}

// remove forgets a session that its client has ended.
func (all *sessions[T]) remove(s *Session[T]) {
	if s.named {
		all.forget(s, "its client has ended it")
	}
}

func (all *sessions[T]) forget(s *Session[T], why string) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.byID[s.id] != s {
		return
	}
	delete(all.byID, s.id)
	all.held.Add(-1)
	all.detached = slices.DeleteFunc(all.detached, func(other *Session[T]) bool { return other == s })
	all.lost = append(all.lost, lost{s.id, why})
	if len(all.lost) > maxLost {
		all.lost = slices.Delete(all.lost, 0, 1)
	}
}

// why tells why a session is not held. The caller holds mu.
func (all *sessions[T]) why(id transport.SessionID) string {
	for _, l := range all.lost {
		if l.id == id {
			return l.why
		}
	}
	return "the server does not know it: it has ended long ago, or the server was restarted since, or is another one"
}

// count counts bytes that are kept beyond the floors, and gives sessions up where they are too many.
func (all *sessions[T]) count(n int64) {
	if all.beyond.Add(n) <= int64(all.conf.TotalBytes) || n < 0 {
		return
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	all.shrink()
}

// share is how many bytes one session may keep: MaxBytes, or its share of TotalBytes, or
// nothing more where others have taken it.
func (all *sessions[T]) share() int {
	if all.beyond.Load() >= int64(all.conf.TotalBytes) {
		return 0
	}
	return min(all.conf.MaxBytes, all.conf.TotalBytes/max(int(all.held.Load()), 1))
}

// exist tells whether there is a session.
func (all *sessions[T]) exist() bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	return len(all.byID) > 0
}

// kept returns how many bytes of results they keep.
func (all *sessions[T]) kept() (n int) {
	all.mu.Lock()
	defer all.mu.Unlock()
	for _, s := range all.byID {
		n += int(s.small.n.Load() + s.large.n.Load() + s.failures.n.Load())
	}
	return n
}

// number returns how many sessions there are, and how many are without a connection.
func (all *sessions[T]) number() (n, detached int) {
	all.mu.Lock()
	defer all.mu.Unlock()
	return len(all.byID), len(all.detached)
}

// close ends all sessions, for a reason.
func (all *sessions[T]) close(reason error) {
	all.mu.Lock()
	list := make([]*Session[T], 0, len(all.byID))
	for _, s := range all.byID {
		list = append(list, s)
	}
	clear(all.byID)
	all.held.Store(0)
	all.detached = nil
	all.mu.Unlock()
	for _, s := range list {
		s.end(reason)
	}
}

// open tells whether a session without a connection still has something for its
// client.
func (all *sessions[T]) open() bool {
	all.mu.Lock()
	list := slices.Clone(all.detached)
	all.mu.Unlock()
	return slices.ContainsFunc(list, (*Session[T]).open)
}
