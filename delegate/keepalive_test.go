package delegate_test

import (
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/delegate"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/transport"
)

// line is a connection without a hello, whose far end notes when pings come.
type line struct {
	conn  *transport.Conn
	far   *memnet.Conn
	start time.Time
	ended atomic.Pointer[time.Duration] // when the near end has

	mu    sync.Mutex
	pings []time.Duration
}

// newLine has the far end answer pings, or not.
func newLine(t *testing.T, answers bool) *line {
	near, far := memnet.Pipe()
	l := &line{far: far, start: time.Now()}
	l.conn = transport.NewConn(near, transport.Framed(transport.Options{MaxSlots: 8}), new(atomic.Int64), 0)
	go func() {
		var m transport.Message
		for l.conn.Read(&m) == nil {
		}
		at := time.Since(l.start)
		l.ended.Store(&at)
	}()
	go func() {
		var b [1]byte
		for {
			if _, err := io.ReadFull(far, b[:]); err != nil {
				return
			}
			if b[0] != 0 {
				continue // of a command, which here has no zeros
			}
			l.mu.Lock()
			l.pings = append(l.pings, time.Since(l.start))
			l.mu.Unlock()
			if answers {
				far.Write(b[:])
			}
		}
	}()
	t.Cleanup(func() { l.conn.Fail(io.EOF); far.Close() })
	return l
}

func (l *line) command() {
	l.conn.Post(&transport.Message{Kind: transport.Command, Slot: 1, Body: []byte("x")})
}

// expect checks when pings have come until now.
func (l *line) expect(t *testing.T, want ...time.Duration) {
	t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.pings, want) {
		t.Errorf("after %v pings came at %v, want %v", time.Since(l.start), l.pings, want)
	}
}

// expectEnd checks that the near end has ended, why, and when.
func (l *line) expectEnd(t *testing.T, code base.Code, at time.Duration) {
	t.Helper()
	synctest.Wait()
	if ended := l.ended.Load(); ended == nil || *ended != at || !errors.Is(l.conn.Err(), code) {
		t.Errorf("the connection ended after %v: %v", ended, l.conn.Err())
	}
}

func idle() bool { return false }
func open() bool { return true }

const s = time.Second

func TestPingsOfAnIdleClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, true)
		delegate.Keepalive(l.conn, 10*s, s, idle)
		time.Sleep(10*s - 1)
		l.expect(t)
		time.Sleep(time.Nanosecond)
		l.expect(t, 10*s)
		time.Sleep(3 * s)
		l.expect(t, 10*s, 11*s, 12*s, 13*s)
		time.Sleep(time.Hour)
		if err := l.conn.Err(); err != nil {
			t.Error(err)
		}
	})
}

func TestCommandsPostponePings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, true)
		delegate.Keepalive(l.conn, 10*s, s, idle)
		time.Sleep(4 * s)
		l.command()
		time.Sleep(8*s + s/2)
		l.expect(t)
		time.Sleep(3 * s)
		l.expect(t, 14*s, 15*s)
		l.command() // at 15.5 s
		time.Sleep(11 * s)
		l.expect(t, 14*s, 15*s, 25*s+s/2, 26*s+s/2)
	})
}

// While commands are open it is the server that should be heard of.
func TestPingsWhileCommandsAreOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, true)
		delegate.Keepalive(l.conn, 10*s, s, open)
		for range 5 {
			time.Sleep(9 * s)
			l.far.Write([]byte{0})
			l.command()
		}
		l.expect(t)
		for range 11 {
			l.command()
			time.Sleep(s)
		}
		l.expect(t, 55*s) // whose pong is a byte too
		time.Sleep(10 * s)
		l.expect(t, 55*s, 65*s, 66*s)
	})
}

func TestAPongThatDoesNotCome(t *testing.T) {
	for name, open := range map[string]func() bool{"idle": idle, "open": open} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLine(t, false)
				delegate.Keepalive(l.conn, 10*s, 3*s, open)
				time.Sleep(13*s - 1)
				if err := l.conn.Err(); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Hour)
				l.expect(t, 10*s)
				l.expectEnd(t, base.ErrKeepalive, 13*s)
			})
		})
	}
}

// A command that is sent meanwhile is no excuse.
func TestAPongThatDoesNotComeBesideCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, false)
		delegate.Keepalive(l.conn, 10*s, 3*s, idle)
		time.Sleep(11 * s)
		l.command()
		time.Sleep(time.Hour)
		l.expectEnd(t, base.ErrKeepalive, 13*s)
	})
}

func TestAnyByteIsAPong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, false)
		delegate.Keepalive(l.conn, 10*s, 3*s, idle)
		time.Sleep(10*s + s)
		l.far.Write([]byte{0x20, 1}) // the beginning of a result
		time.Sleep(2*s + s)
		l.expect(t, 10*s, 13*s)
		if err := l.conn.Err(); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		l.expectEnd(t, base.ErrKeepalive, 16*s)
	})
}

func TestAHalfOpenConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, true)
		delegate.Keepalive(l.conn, 10*s, s, idle)
		time.Sleep(19*s + s/2)
		l.far.Cut(memnet.Stall)
		time.Sleep(time.Hour)
		l.expectEnd(t, base.ErrKeepalive, 21*s)
	})
}

func TestKeepaliveEndsWithTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, true)
		delegate.Keepalive(l.conn, 10*s, s, func() bool { t.Error("it goes on"); return false })
		delegate.WatchIdle(l.conn, 10*s)
		time.Sleep(5 * s)
		l.conn.Fail(io.EOF)
		time.Sleep(time.Hour)
		l.expect(t)
		l.expectEnd(t, base.ErrConnLost, 5*s)
	})
}

func TestWatchIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, true)
		delegate.WatchIdle(l.conn, 10*s)
		for range 5 {
			time.Sleep(10*s - 1)
			l.far.Write([]byte{0})
		}
		l.command() // what this side sends does not count
		time.Sleep(time.Hour)
		l.expectEnd(t, base.ErrIdle, 60*s-5)
	})
}
