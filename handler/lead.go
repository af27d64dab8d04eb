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
// as they are quick: then no command costs a switch to another goroutine. A command has
// its goroutine to itself
//
//   - if its type takes long, as those before it have shown, or its body is large;
//   - if the leader has spent more than mostSpent on others while it may have waited;
//   - once it waits, in Send or Receive;
//   - once the watchdog finds that it has run for tooLong.
//
// In the latter two cases another goroutine takes the role over. In the former two the leader hands
// the command over and reads on, for the runtime looks last at a goroutine that is to read on beside
// one that computes; but where nothing else has come it hands the role over and runs the command,
// which begins at once then.
//
// So whatever a command does, it holds up those behind it by less than 2 ms. What the commands send
// that the leader runs goes out together, once all has been read that has come, or after mostHeld.
const (
	lookEvery    = time.Millisecond       // of the watchdog
	tooLong      = 200 * time.Microsecond // of one command
	mostSpent    = 700 * time.Microsecond // of a leader, on commands before one that may have come meanwhile
	stalled      = 2 * time.Millisecond   // of one command: the watchdog had no processor either
	quick        = 20 * time.Microsecond  // of a type, on average
	switchCost   = 2 * time.Microsecond   // of a command that is handed over, roughly: as much does not count
	yieldEvery   = 5 * time.Millisecond   // less than the runtime's 10 ms
	mostHeld     = 500 * time.Microsecond // that answers wait for others to go out with, and then for a command to end
	waited       = time.Millisecond       // without a command; then others could run
	farAhead     = 64                     // commands that are handed over before they may begin
	restAfter    = 5 * time.Second        // without a byte from the client
	slowly       = time.Second            // how often the watchdog looks for who may rest
	trimEvery    = time.Second            // how often a session gives up what it has not used, if something comes
	slowlyAtOnce = 256                    // of them, while it holds its lock
)

// role is a connection's reading role. All but busy, watched, listed and place is the
// leader's.
type role struct {
	conn   *transport.Conn
	follow func()       // has another goroutine lead
	now    func() int64 // the watchdog's clock

	// busy is when the leader began to run a command, in nanoseconds of the
	// watchdog's clock, and never twice the same; 0: it runs none. Who sets it
	// back to 0 has the role.
	busy    atomic.Int64
	watched atomic.Bool // by the watchdog
	listed  atomic.Bool // the watchdog will have it rest
	place   int         // in the watchdog's list, under its mu

	clock   int64 // the last time that is known
	yielded int64 // when other goroutines were last let run
	trimmed int64 // when the session was last trimmed
	wrote   int64 // when what was held back was last written, or before
	ahead   int   // commands that were handed over since letRun
	spent   spending
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
	t.role.spent.add(time.Duration(now - t.began))
}

// work leads the connection, and then runs the command that has the goroutine to itself: not from
// within lead, so that a simple one does without a larger stack.
func (c *Conn[T]) work() {
	if x := c.lead(); x != nil {
		x.work()
	}
}

// lead reads the connection, and runs what comes, until another goroutine has taken
// the role over, or the connection has ended. It returns the command that has this goroutine to
// itself then; nil: none has.
func (c *Conn[T]) lead() *command[T] {
	c.clock = max(c.clock, c.now()) // it may have taken a while until this goroutine could run
	for {
		c.yield()
		if c.clock-c.trimmed > int64(trimEvery) {
			c.session.trim()
			c.trimmed = c.clock
		}
		if c.clock-c.wrote > int64(mostHeld) {
			c.writeInTime()
		}
		if c.conn.Sleep() {
			c.rest()
			return nil
		}
		if err := c.next(); err != nil {
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
			if !c.handOver(x) {
				return x
			}
			continue
		}
		c.conn.Hold() // its result goes out with those of others, or when this goroutine reads on
		before := c.begin(x, t)
		cmd, apart := x.run(t)
		leads := c.over(t, before, cmd)
		if leads && apart {
			x.startTimer()
			leads = c.handOver(x)
		}
		switch {
		case leads:
		case apart:
			return x
		default:
			return nil
		}
	}
}

// handOver has the command run by another goroutine, if there is more to read. Else it has another
// one lead, and returns false: the caller is to run the command.
func (c *Conn[T]) handOver(x *command[T]) (leads bool) {
	c.runs = nil // x sees to its deadline itself
	if !c.conn.Unread() {
		c.conn.WriteHeld() // for who leads now may have to wait for a processor
		c.follow()
		return false
	}
	c.conn.Hurry()
	c.handler.pool.run(x)
	if c.ahead++; c.ahead == farAhead {
		c.letRun()
	}
	c.clock = max(c.clock, c.now()) // the next turn begins then
	return true
}

// letRun lets those run to whom commands were handed over. Meanwhile they write what they send.
func (c *Conn[T]) letRun() {
	c.conn.WriteHeld()
	runtime.Gosched()
	c.ahead = 0
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
		c.conn.WriteHeld()
		runtime.Gosched()
		c.clock = max(c.clock, c.now())
		c.yielded = c.clock
	}
}

// writeInTime writes what is held back, if it may have been for long.
func (c *Conn[T]) writeInTime() {
	c.wrote = c.handler.watchdog.since(c.conn.At()) // for then nothing was held back
	if c.clock-c.wrote > int64(mostHeld) {
		c.conn.WriteHeld()
		c.clock = max(c.clock, c.now())
		c.wrote = c.clock
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
	if c.spent.tooMuch(m.Slot, c.conn.Emptied()) || m.Value == nil && m.Size() > keepBody {
		return turn{}
	}
	c.clock++
	return turn{&c.role, c.clock}
}

// begin begins a turn, by which the leader runs x. It returns for how long it has been going on, if that
// may be a while.
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
	c.handler.pool.start(c)
}
