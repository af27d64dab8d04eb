package attacks

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/wire"
)

// linkSieges are faults of what is between clients and their server, and of their clocks.
func linkSieges() []siege {
	const each = 100
	const clients = "100 clients a second, "
	many := func(c *server.Conf[*world]) { c.Sessions.Time = 10 * time.Second }
	start := rand.N(200) // each round, which is a process, begins with other bytes
	return []siege{
		{
			name: "cut at every byte", rate: each, pace: clients + "3 commands", counter: "SessionsResumed",
			conf: many,
			attack: func(f *field) {
				f.members(each, func(nc net.Conn, n int) net.Conn {
					at := (start + n/2*37) % 200
					return &brokenConn{Conn: nc, left: [][2]int{{at, -1}, {-1, at}}[n%2], then: severed}
				})
			},
		},
		{
			name: "one-way and two-way partition", rate: each, pace: clients + "3 commands", counter: "SessionsResumed",
			conf: many,
			attack: func(f *field) {
				f.members(each, func(nc net.Conn, n int) net.Conn {
					after := [][2]int{{100, -1}, {-1, 100}, {100, 100}}
					return &brokenConn{Conn: nc, left: after[n%3], then: silent}
				})
			},
		},
		{
			name: "partial writes", rate: each, pace: clients + "a few bytes each time", counter: ofClients + "LostConnections",
			conf: many,
			attack: func(f *field) {
				f.members(each, func(nc net.Conn, n int) net.Conn {
					return &brokenConn{Conn: nc, left: [2]int{50 + n%150, -1}, then: severed, piece: 1 + n%7}
				})
			},
		},
		{
			name: "clock jump", rate: 100, pace: "100 connections a second, 16 times", counter: "Deadlines",
			attack: func(f *field) {
				say := greeting(wire.ClientHello{})
				for slot := range 16 { // a microsecond, and sixteen times as much each time
					body := wire.AppendExtras(nil, wire.Extras{Timeout: 1 << (4 * slot)})
					say = append(say, frame(wire.KindCommand, wire.FlagExtras, slot, append(body, appendCommand(nil, command{Op: block})...))...)
				}
				f.raidsWith(100, func(nc net.Conn, _ int) {
					nc.Write(say)
					f.fewFail(nc, 5) // the sixth has a second
				})
			},
		},
		{
			name: "long pause of clients", rate: unpaced, pace: "16 clients, stopped", counter: "Idle",
			conf: func(c *server.Conf[*world]) {
				many(c)
				c.ReceiveTimeout, c.Sessions.ReceiveTimeout = 500*time.Millisecond, 500*time.Millisecond
			},
			harm: paused,
			attack: func(f *field) {
				f.steady(16, soon, lostSession)
			},
		},
	}
}

// How soon a client finds out that its server is silent.
const (
	soon = 100 * time.Millisecond
	late = recovery // a server that is only slow is not silent
)

// recovery is how long a command may take whose connection breaks, or whose peer is paused, on
// a machine where others have the cores first.
const recovery = 20 * time.Second

// do does a command, which must end: the end of the attack ends it after a while only.
func (f *field) do(c *client.Client[*world], cmd command, may func(error) bool) (succeeded bool) {
	ctx, cancel := context.WithTimeout(context.Background(), recovery)
	defer cancel()
	_, err := c.Do(ctx, cmd)
	if err != nil && !may(err) && (f.ctx.Err() == nil || errors.Is(err, base.ErrDeadline)) {
		f.fail(err)
	}
	return err == nil
}

// members makes so many clients a second. Each has a session, and a first connection that
// breaks; its three commands must succeed all the same.
func (f *field) members(each int, broken func(nc net.Conn, n int) net.Conn) {
	f.each(each, func(n int) {
		dials := 0
		c := f.join(soon, func(ctx context.Context) (net.Conn, error) {
			nc, err := f.dial()
			if dials++; err == nil && dials == 1 {
				nc = broken(nc, n)
			}
			return nc, err
		})
		if c == nil {
			return // the cut was in its first hello
		}
		defer f.leave(c)
		for range 3 {
			f.do(c, command{Op: echo, Body: make([]byte, 32)}, never)
		}
	})
}

// steady are clients with a session that do a command now and then, as long as the attack
// lasts. An error must be one that may be.
func (f *field) steady(clients int, keepalive time.Duration, may func(error) bool) {
	f.together(clients, func(int) {
		var c *client.Client[*world]
		for c == nil && f.ctx.Err() == nil {
			c = f.join(keepalive, func(context.Context) (net.Conn, error) { return f.dial() })
			time.Sleep(5 * time.Millisecond)
		}
		if c == nil {
			return
		}
		defer f.leave(c)
		for f.ctx.Err() == nil {
			if f.do(c, command{Op: stubborn, N: 5}, may) {
				f.strikes.Add(1)
			}
			select {
			case <-f.ctx.Done():
			case <-time.After(time.Millisecond):
			}
		}
	})
}

// never is what may come of a command that has a session, and a server.
func never(error) bool { return false }

// fewFail reads what a server says on a connection, and wants so many failures at most.
func (f *field) fewFail(nc net.Conn, most int) {
	r := bufio.NewReader(nc)
	if _, err := readHello(r); err != nil {
		return
	}
	for failures := 0; ; {
		h, _, err := readFrame(r)
		if err != nil {
			return
		}
		if h.Kind == wire.KindFailure {
			failures++
		}
		if failures > most {
			f.fail(fmt.Errorf("%d of 16 commands have ended", failures))
			return
		}
	}
}

// lostSession is what may come of a command whose server is killed.
func lostSession(err error) bool {
	return errors.Is(err, base.ErrSessionLost) && base.OutcomeOf(err) == base.Unknown
}

// A brokenConn breaks once so many bytes have gone each way.
type brokenConn struct {
	net.Conn        // and nothing of what else a *net.TCPConn has
	left     [2]int // up and down; negative: it never does
	then     breakage
	piece    int // bytes that are written at once; 0: any number
}

type breakage int

const (
	severed breakage = iota // by RST
	silent                  // nothing comes through any more
)

func (c *brokenConn) Write(b []byte) (n int, err error) {
	for n < len(b) {
		next := b[n:]
		if c.piece > 0 {
			next = next[:min(len(next), c.piece)]
		}
		if c.left[up] >= 0 {
			next = next[:min(len(next), c.left[up])]
			c.left[up] -= len(next)
		}
		switch {
		case len(next) > 0:
			_, err = c.Conn.Write(next)
		case c.then == silent:
			return len(b), nil
		default:
			c.sever()
			err = net.ErrClosed
		}
		if n += len(next); err != nil {
			return n, err
		}
	}
	return n, nil
}

func (c *brokenConn) sever() {
	c.Conn.(*net.TCPConn).SetLinger(0)
	c.Close()
}

func (c *brokenConn) Read(b []byte) (n int, err error) {
	for {
		if c.left[down] == 0 && c.then == severed {
			c.sever()
		}
		most := len(b)
		if c.left[down] > 0 {
			most = min(most, c.left[down])
		}
		if n, err = c.Conn.Read(b[:most]); err != nil || c.left[down] < 0 {
			return n, err
		}
		if c.left[down] > 0 {
			c.left[down] -= n
			return n, nil
		} // what comes now is lost
	}
}
