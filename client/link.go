package client

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/delegate"
	"github.com/cmdstream/cmdstream/transport"
)

// link is one connection of a client, with the slots of the commands that are
// open on it.
type link[T any] struct {
	client     *Client[T]
	conn       *transport.Conn
	maxCmdSize int
	limit      int // of slots
	since      time.Time

	table atomic.Pointer[[]*slot[T]] // by index; replaced when it grows

	completed atomic.Bool // a command has ended well
	replaced  atomic.Bool // the client was told to look for another
	strays    int         // results and failures for no open command; of the reader

	mu      sync.Mutex // protects what follows
	free    []*slot[T] // the one that was freed last is taken first
	open    int        // slots that are not free
	waiters []chan *slot[T]
	leaving error // no command may begin any more, and why
}

// maxStrays is how many frames for no open command a server may send.
const maxStrays = 1000

func newLink[T any](c *Client[T]) *link[T] {
	l := &link[T]{client: c, since: time.Now()}
	l.table.Store(new([]*slot[T]))
	return l
}

// begin gives the link its connection, once the hello is over.
func (l *link[T]) begin(conn *transport.Conn, settings transport.ServerSettings) {
	conf := l.client.conf
	l.conn, l.maxCmdSize, l.limit = conn, settings.MaxCmdSize, settings.MaxInFlight
	if conf.MaxInFlight > 0 {
		l.limit = min(l.limit, conf.MaxInFlight)
	}
	if conf.KeepaliveTime > 0 && conf.KeepaliveIntvl > 0 {
		delegate.Keepalive(conn, conf.KeepaliveTime, conf.KeepaliveIntvl, func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.open > 0
		})
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
	return l.client.decode(cmd, r)
}

// tryTake takes a slot; nil: all are taken. crowd tells whether others are
// taken too.
func (l *link[T]) tryTake() (s *slot[T], crowd bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.leaving != nil {
		return nil, false, l.leaving
	}
	s = l.next()
	return s, s == nil || l.open > 1, nil
}

// next takes a free slot, or a new one; nil: all are taken. The caller holds mu.
func (l *link[T]) next() (s *slot[T]) {
	if n := len(l.free); n > 0 {
		s, l.free = l.free[n-1], l.free[:n-1]
	} else if s = l.grow(); s == nil {
		return nil
	}
	l.open++
	return s
}

// grow makes a further slot; nil at the limit. The caller holds mu.
func (l *link[T]) grow() *slot[T] {
	table := *l.table.Load()
	if len(table) >= l.limit {
		return nil
	}
	s := newSlot(l, len(table))
	table = append(table, s) // readers of the old header never look at the new element
	l.table.Store(&table)
	return s
}

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

// endedBy tells whether err, of an attempt to send, is the end of the link.
func (l *link[T]) endedBy(err error) bool {
	return err == l.conn.Err() || err == l.end()
}

// release frees a slot for the next command.
func (l *link[T]) release(s *slot[T]) {
	if !s.deadline.IsZero() {
		l.client.wheel.Stop(&s.timer)
	}
	s.mu.Lock()
	s.owner, s.sent, s.canceled, s.cmd, s.results = nobody, false, false, nil, nil
	s.granted, s.got = 0, 0
	s.deadline, s.expired, s.final, s.ended, s.err, s.lost = time.Time{}, false, false, false, nil, nil
	s.queued = false
	s.makeSpace()
	s.in.reset()
	s.seq.Store(0)
	s.mu.Unlock()
	s.out.reset()
	s.body.B, s.credit, s.next, s.from, s.pending = nil, 0, 0, 0, delivery{}
	s.scratch.Reset()
	s.message.Body = nil // it may be large
	select {
	case <-s.ready:
	default:
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
	idle := l.open == 0 && l.leaving != nil
	l.mu.Unlock()
	if idle {
		l.conn.Fail(l.leaving)
	}
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
	idle := l.open == 0
	l.mu.Unlock()
	if idle {
		l.conn.Fail(reason)
	}
}

// run reads the link until it ends, and settles its open commands. It is the
// link's goroutine.
func (l *link[T]) run() {
	reason := l.read()
	l.leave(reason)
	l.conn.Join()
	for _, s := range *l.table.Load() {
		s.settle(reason)
	}
	l.client.lost(l, reason)
}

// settle ends an open command whose link has ended.
func (s *slot[T]) settle(reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.sent {
		s.lost = reason // its sender will see to it
		return
	}
	s.endLost(reason)
}

// endLost ends a command that was sent, or was about to be, when the link ended.
// The caller holds mu.
func (s *slot[T]) endLost(reason error) {
	if s.ended {
		return
	}
	outcome, message := base.Unknown, "the connection ended while the command was open"
	if !s.link.conn.Wrote(&s.message) {
		outcome, message = base.NotSent, "the connection ended before the command was sent"
	}
	s.ended = true
	s.err = s.wrap(outcome, lostCode(reason), message, reason)
	s.signal()
}

// lostCode tells a connection that the client itself closed from a lost one.
func lostCode(reason error) base.Code {
	if errors.Is(reason, base.ErrClosed) {
		return base.ErrClosed
	}
	return base.ErrConnLost
}
