package handler

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// Reading a connection is a role, and the goroutine that has it is the connection's
// leader. It runs the commands that it reads itself, one after another, for as long
// as they are quick: then no command costs a switch to another goroutine. It hands
// the role to another goroutine of the pool, and so the command that it runs has its
// goroutine to itself,
//
//   - before a command whose type takes long, as those before it have shown, or whose
//     body is large;
//   - when it has spent more than maxDebt on commands since it last waited for one;
//   - when the command is about to wait, in Send or Receive;
//   - when the watchdog finds that it has run for tooLong.
//
// So whatever a command does, it holds up those behind it by less than 2 ms.
const (
	lookEvery  = time.Millisecond       // of the watchdog
	tooLong    = 200 * time.Microsecond // of one command
	maxDebt    = 400 * time.Microsecond // of a leader; the time repays it for which nothing has come
	quick      = 20 * time.Microsecond  // of a type, on average
	switchCost = 2 * time.Microsecond   // of a command that is handed over, roughly: as much is no debt
	yieldEvery = 5 * time.Millisecond   // less than the runtime's 10 ms
	waited     = time.Millisecond       // without a command; then others could run
	restAfter  = 5 * time.Second        // without a byte from the client
	slowly     = time.Second            // how often the watchdog looks for who may rest
)

// role is a connection's reading role. All but busy, watched and listed is the
// leader's.
type role struct {
	conn   *transport.Conn
	led    *led
	follow func()       // has another goroutine lead
	now    func() int64 // the watchdog's clock

	// busy is when the leader began to run a command, in nanoseconds of the
	// watchdog's clock, and never twice the same; 0: it runs none. Who sets it
	// back to 0 has the role.
	busy    atomic.Int64
	watched atomic.Bool // by the watchdog
	listed  atomic.Bool // the watchdog will have it rest

	clock   int64         // the last time that is known
	debt    time.Duration // spent on commands that took longer than switchCost
	yielded int64         // when other goroutines were last let run
}

// turn is a command that the leader runs itself; the zero turn is one that has a
// goroutine to itself from the start.
type turn struct {
	role  *role
	began int64
}

// end ends the turn. It returns true if the caller is the leader now.
func (t turn) end() bool { return t.role != nil && t.role.busy.CompareAndSwap(t.began, 0) }

// pass hands the role to another goroutine, if the turn has not ended.
func (t turn) pass() {
	if t.end() {
		t.charge(t.role.now())
		t.role.follow()
	}
}

// charge counts what the turn has taken, which has just been ended. It is the leader's.
func (t turn) charge(now int64) {
	t.role.clock = max(t.role.clock, now) // that of turns never goes back
	if took := time.Duration(now - t.began); took > switchCost {
		t.role.debt += took
	}
}

// lead reads the connection, and runs what comes, until another goroutine has taken
// the role over, or the connection has ended. It returns the command that has this goroutine to
// itself then; nil: none has.
func (c *Conn[T]) lead() runner {
	c.clock = max(c.clock, c.now()) // it may have taken a while until this goroutine could run
	for {
		c.yield()
		if c.conn.Sleep() {
			c.rest()
			return nil
		}
		if err := c.conn.Read(&c.message); err != nil {
			c.lost(err)
			return nil
		}
		if !c.listed.Load() {
			c.handler.watchdog.list(&c.role)
		}
		x, t, err := c.receive(&c.message)
		switch {
		case err != nil:
			c.lost(c.conn.Fail(err))
			return nil
		case x == nil:
			c.clock = max(c.clock, c.now()) // it may be one of thousands
			continue
		case t.role == nil:
			c.runs = nil // x sees to its deadline itself
			c.follow()
			return x
		}
		c.conn.Hold() // its result goes out with those of others, or when this goroutine reads on
		before := c.begin(x, t)
		cmd, apart := x.run(t)
		if apart {
			t.pass()
			x.alone = c.now()
			return x
		}
		if !c.over(t, before, cmd) {
			return nil
		}
	}
}

// over ends the turn of a command that has been run, and notes how long that took, but for what
// came before it ran: of its type, too, where cmd is not nil. It returns true if the caller is
// still the leader.
func (c *Conn[T]) over(t turn, before time.Duration, cmd base.Cmd[T]) (leads bool) {
	leads = t.end()
	now := c.now()
	if cmd != nil {
		c.handler.paces.ran(cmd, time.Duration(now-t.began)-before, !leads)
	}
	if leads {
		t.charge(now)
	}
	return leads
}

// yield lets other goroutines run from time to time, between two commands: else the
// runtime would interrupt the leader in one of them, and that would seem to take long.
func (c *Conn[T]) yield() {
	if c.clock-c.yielded > int64(yieldEvery) {
		runtime.Gosched()
		c.clock = max(c.clock, c.now())
		c.yielded = c.clock
	}
}

// takeTurn returns the turn by which the leader itself runs the command in m; the zero turn, if
// it may not, as far as the command's type is of no concern. It is called once for a command.
func (c *Conn[T]) takeTurn(m *transport.Message) turn {
	if seen := c.handler.watchdog.since(c.conn.Seen()); seen > c.clock {
		if seen-c.clock > int64(waited) {
			c.yielded = seen
		}
		c.clock = seen
	}
	if c.debt = max(0, c.debt-c.conn.Waited()); c.debt >= maxDebt || m.Value == nil && m.Size() > keepBody {
		return turn{}
	}
	c.clock++
	return turn{&c.role, c.clock}
}

// begin begins a turn, by which the leader runs x. It returns how long that took, if it was long.
func (c *Conn[T]) begin(x *command[T], t turn) time.Duration {
	c.runs = x
	c.busy.Store(t.began) // from now on another may be the leader
	return c.handler.watchdog.watch(&c.role, t.began)
}

// rest hands the role to a new goroutine, which has a small stack, and gives up what it
// takes to be quick: nothing has come for restAfter. It is called by the leader.
func (c *Conn[T]) rest() {
	c.message, c.runs = transport.Message{}, nil
	c.conn.Shrink()
	c.session.rest()
	c.handler.pool.start(c.led)
}
