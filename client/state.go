package client

import (
	"fmt"
	"time"
)

// State is where a client is in its life.
type State uint8

const (
	// Connected: commands are sent.
	Connected State = iota + 1
	// Connecting: there is no connection for new commands; they wait for one
	// that is being made. A client that does not reconnect is never Connecting.
	Connecting
	// Closed: the client has ended, by Close or by an error that can't be mended.
	Closed
)

var stateNames = map[State]string{Connected: "connected", Connecting: "connecting", Closed: "closed"}

// String returns the state's name.
func (s State) String() string {
	if name, ok := stateNames[s]; ok {
		return name
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// StateChange is one step in a client's life.
type StateChange struct {
	// State is the state from now on.
	State State
	// Err is why: the end of the connection, a failed attempt to make one, the
	// end of the client. Nil when Connected.
	Err error
	// Attempt counts the failed attempts to connect since the connection was
	// lost; 0 when it has just been lost.
	Attempt int
	// RetryIn is the time until the next attempt, after a failed one.
	RetryIn time.Duration
}

// report has the user told of a change, unless the client has ended before.
func (c *Client[T]) report(change StateChange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.states.add(change)
	}
}

// tellState tells the logger and the user of a change.
func (c *Client[T]) tellState(change StateChange) {
	c.conf.Logger.Debug("the client is "+change.State.String(), "error", change.Err, "attempt", change.Attempt, "retry_in", change.RetryIn)
	if c.conf.StateCallback != nil {
		c.guard("StateCallback", func() { c.conf.StateCallback(change) })
	}
}

// guard calls the user's code; a panic in it is logged.
func (c *Client[T]) guard(name string, call func()) {
	defer func() {
		if v := recover(); v != nil {
			c.counters.panics.Add(1)
			c.conf.Logger.Error(name+" panicked", "value", v)
		}
	}()
	call()
}
