package client

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/delegate"
	"github.com/cmdstream/cmdstream/transport"
)

// link is the slots of the commands that are open at one server, and the connection
// over which they go. With a session it outlives its connection and gets another;
// without, it ends with it.
type link[T any] struct {
	client        *Client[T]
	conn          atomic.Pointer[transport.Conn] // the connection of the moment, or the last one
	maxCmdSize    int
	limit         int                         // of slots
	compression   transport.Compression       // nil: none
	since         atomic.Int64                // when conn's hello was over, a moment of the client's clock
	refuse        func(cmd base.Cmd[T]) error // why a command can't go to the server; nil: all can
	stopKeepalive func() bool                 // of conn; nil: there is none. Of the link's goroutine

	session     *transport.Session // nil: none; its Epoch is that of the last dial
	sessionTime time.Duration
	redialer    *delegate.Redialer // resumes the session
	fresh       *transport.Conn    // that the redialer has made
	arriving    *arriving          // what is on its way over the connection; of the reader
	asking      bool               // the server has yet to answer the list; of the reader
	asked       int                // how many slots that has

	reading reading[T]         // who reads conn
	lends   bool               // conn may be lent to callers
	message *transport.Message // the one that was read last; of who reads. Apart from what callers look at

	table atomic.Pointer[[]*slot[T]] // by index; replaced when it grows

	over      bool        // the link has ended; under client.mu
	completed atomic.Bool // a command has ended well
	replaced  atomic.Bool // the client was told to look for another
	strays    int         // results and failures for no open command; of the reader
	owing     owing[T]    // of the reader, too

	_ [64]byte // what changes all the time is not in a cache line with what does not

	mu      sync.Mutex // protects what follows
	free    []*slot[T] // the one that was freed last is taken first
	open    int        // slots that are not free
	waiters []chan *slot[T]
	leaving error       // no command may begin any more, and why
	unused  [][]slot[T] // that were made, and not needed
}

// maxStrays is how many frames for no open command a server may send.
const maxStrays = 1000

func newLink[T any](c *Client[T]) *link[T] {
	l := &link[T]{client: c, message: new(transport.Message)}
	l.table.Store(new([]*slot[T]))
	l.reading.wake = make(chan struct{}, 1)
	return l
}

// begin gives the link its first connection, once the hello is over.
func (l *link[T]) begin(conn *transport.Conn, hello transport.Hello) {
	conf := l.client.conf
	l.maxCmdSize, l.limit = hello.Settings.MaxCmdSize, hello.Settings.MaxInFlight
	if conf.MaxInFlight > 0 {
		l.limit = min(l.limit, conf.MaxInFlight)
	}
	l.sessionTime = hello.SessionTime
	for _, compression := range conf.Compressions {
		if compression.ID() == hello.Compression {
			l.compression = compression
		}
	}
	l.use(conn)
}

// use makes conn the link's connection.
func (l *link[T]) use(conn *transport.Conn) {
	conf := l.client.conf
	l.since.Store(int64(l.client.clock.now()))
	l.conn.Store(conn)
	l.lends = conn.CanAwait()
	if conf.KeepaliveTime > 0 && conf.KeepaliveIntvl > 0 {
		l.stopKeepalive = delegate.Keepalive(conn, conf.KeepaliveTime, conf.KeepaliveIntvl, func() bool { return !l.isIdle() })
	}
}

// isOpen tells a transport whether a command is open on a slot.
func (l *link[T]) isOpen(index int) bool {
	s := l.lookup(index)
	if s != nil {
		s.mu.Unlock()
	}
	return s != nil
}

// decodeStream is for transports that decode themselves: the result on a slot,
// or one that belongs to no open command.
func (l *link[T]) decodeStream(index int, r transport.Reader) (any, error) {
	var cmd base.Cmd[T]
	if s := l.lookup(index); s != nil {
		cmd = s.cmd
		s.mu.Unlock()
	}
	return l.client.decode(nil, cmd, r)
}

// tryTake takes a free slot; nil: there is none. crowd tells whether others are
// taken too.
func (l *link[T]) tryTake() (s *slot[T], crowd bool, err error) {
	l.mu.Lock()
	if l.leaving == nil {
		if s = l.next(); s == nil && len(l.unused) > 0 {
			s = l.addUnused()
		}
	}
	crowd, err = l.open > 1, l.leaving
	l.mu.Unlock()
	return s, crowd, err
}

// next takes a free slot; nil: there is none. The caller holds mu.
func (l *link[T]) next() (s *slot[T]) {
	if n := len(l.free); n > 0 {
		s, l.free = l.free[n-1], l.free[:n-1]
		l.open++
	}
	return s
}

// tryAdd adds further slots, and takes one; nil: there are as many as may be. If one has become
// free meanwhile, it takes that, and the further ones are for later. crowd tells whether others are
// taken too.
func (l *link[T]) tryAdd(slots []slot[T]) (s *slot[T], crowd bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.leaving != nil {
		return nil, true, l.leaving
	}
	if s = l.next(); s == nil {
		s = l.add(slots)
	} else if len(slots) > 0 && len(*l.table.Load()) < l.limit {
		l.unused = append(l.unused, slots)
	}
	return s, s == nil || l.open > 1, nil
}

// addUnused adds slots that were made, and not needed, and takes one. The caller holds mu.
func (l *link[T]) addUnused() *slot[T] {
	last := len(l.unused) - 1
	slots := l.unused[last]
	l.unused[last], l.unused = nil, l.unused[:last]
	return l.add(slots)
}

// add adds slots, and takes one; nil: there are as many as may be. The caller holds mu.
func (l *link[T]) add(slots []slot[T]) *slot[T] {
	table := *l.table.Load()
	first := len(table) // others may have made some meanwhile
	slots = slots[:min(len(slots), l.limit-first)]
	if len(slots) == 0 {
		return nil
	}
	for i := range slots {
		slots[i].index = first + i
		table = append(table, &slots[i]) // readers of the old header never look at the new elements
	}
	l.table.Store(&table)
	if len(table) == l.limit {
		l.unused = nil
	}
	for i := len(slots) - 1; i > 0; i-- { // the one with the smallest index is taken first
		l.free = append(l.free, &slots[i])
	}
	l.open++
	return &slots[0]
}

// makeSlots makes slots that are not the link's yet, one or slotsAtOnce, or none if there are as
// many as may be. That takes a while, and is done without the lock.
func (l *link[T]) makeSlots() []slot[T] {
	n, made := 1, len(*l.table.Load())
	if made >= manySlots {
		n = slotsAtOnce
	}
	slots := make([]slot[T], max(min(n, l.limit-made), 0))
	for i := range slots {
		slots[i].init(l)
	}
	return slots
}

// Where there are manySlots already, more are made slotsAtOnce.
const (
	manySlots   = 256
	slotsAtOnce = 16
)

// take waits for a slot until ctx ends, which returns its cause.
func (l *link[T]) take(ctx context.Context) (*slot[T], error) {
	l.mu.Lock()
	if l.leaving != nil {
		defer l.mu.Unlock()
		return nil, l.leaving
	}
	if s := l.next(); s != nil {
		l.mu.Unlock()
		return s, nil
	}
	handed := make(chan *slot[T], 1)
	l.waiters = append(l.waiters, handed)
	l.mu.Unlock()
	select {
	case s, ok := <-handed:
		if !ok {
			return nil, l.end()
		}
		return s, nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	for i, w := range l.waiters {
		if w == handed {
			l.waiters = append(l.waiters[:i], l.waiters[i+1:]...)
			l.mu.Unlock()
			return nil, context.Cause(ctx)
		}
	}
	l.mu.Unlock()
	if s, ok := <-handed; ok { // it was handed over at this very moment
		l.release(s)
	}
	return nil, context.Cause(ctx)
}

// end returns why no command may begin any more; nil: one may.
func (l *link[T]) end() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leaving
}

// endedBy tells whether err, of an attempt to send, is the end of the link, or of
// the connection that was its.
func (l *link[T]) endedBy(conn *transport.Conn, err error) bool {
	return err == conn.Err() || err == l.end()
}

// release frees a slot for the next command.
func (l *link[T]) release(s *slot[T]) {
	s.mu.Lock()
	if s.resending { // whoever does that releases it
		s.released = true
		s.mu.Unlock()
		return
	}
	s.owner, s.sent, s.canceled, s.cmd, s.results, s.offering = nobody, false, false, nil, nil, nil
	conn := s.conn
	s.conn, s.wrote, s.standing, s.number, s.first, s.origin = nil, false, known, 0, 0, nil
	s.mayHaveRun = false
	s.granted = 0 // got and acked stay, for an ack may still be due
	s.deadline, s.until, s.expired = 0, 0, false
	s.final, s.ended, s.err, s.queued = false, false, nil, false
	s.dropInputs()
	s.settled()
	s.makeSpace()
	s.out, s.next, s.from = nil, 0, 0
	s.in.clear()
	if s.other != nil {
		s.other.clear()
	}
	s.seq.Store(0)
	s.mu.Unlock()
	s.handedOver()
	s.body.Release()
	s.credit, s.bytes, s.window = 0, 0, window
	if s.pending.present() {
		*s.pending = delivery{}
	}
	if cap(s.scratch.B) > keepInbox || cap(s.compressed.B) > keepInbox {
		s.putScratch(conn)
	}
	s.scratch.Reset()
	s.compressed.Reset()
	if len(s.ready) > 0 {
		<-s.ready // it is nobody else's now
	}
	l.mu.Lock()
	if len(l.waiters) > 0 {
		waiter := l.waiters[0]
		l.waiters = l.waiters[1:]
		l.mu.Unlock()
		waiter <- s
		return
	}
	l.free = append(l.free, s)
	l.open--
	reason := l.leaving
	if reason != nil {
		l.client.wheel.Stop(&s.timer) // no command will use it
	}
	idle := l.open == 0 && reason != nil
	l.mu.Unlock()
	if idle {
		l.client.retire(l, reason)
	}
}

// putScratch gives up the encoded command of a slot that is free, which conn may still be
// writing if it is large.
func (s *slot[T]) putScratch(conn *transport.Conn) {
	if !s.message.Large() || conn != nil && conn.Wrote(&s.message) {
		s.link.client.memory.pool.Put(s.scratch.B)
	}
	s.message.Body = nil // its memory is the pool's, or the connection's
}

// leave lets no further command begin, for a reason. Those that are open go on;
// after the last one the link closes.
func (l *link[T]) leave(reason error) {
	l.mu.Lock()
	if l.leaving != nil {
		l.mu.Unlock()
		return
	}
	l.leaving = reason
	for _, w := range l.waiters {
		close(w)
	}
	l.waiters = nil
	for _, s := range l.free {
		l.client.wheel.Stop(&s.timer)
	}
	idle := l.open == 0
	l.mu.Unlock()
	if idle {
		l.client.retire(l, reason)
	}
}

// livedWell tells whether the last connection was worth its making, so that the next
// one may be made at once.
func (l *link[T]) livedWell() bool {
	return l.completed.Swap(false) || time.Duration(int64(l.client.clock.now())-l.since.Load()) >= l.client.conf.Backoff.Reset
}

// isIdle tells whether no slot is taken.
func (l *link[T]) isIdle() bool { return l.openSlots() == 0 }

// openSlots returns how many slots are taken.
func (l *link[T]) openSlots() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

// inFlight returns how many slots are taken, and how many commands wait for one.
func (l *link[T]) inFlight() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open + len(l.waiters)
}
