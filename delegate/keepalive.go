package delegate

import (
	"fmt"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// Keepalive pings the server of conn: after idle without a command, and, while
// commands are open, after idle without a byte from the server; then every
// interval, until a command is sent. When a ping stays without a byte in answer for an interval, the
// connection fails. It ends with the connection; stop lets go of that at once.
//
// It is a timer, not a goroutine: between two of its steps nothing exists that
// could leak.
func Keepalive(conn *transport.Conn, idle, interval time.Duration, open func() bool) (stop func() bool) {
	k := &keepalive{conn: conn, idle: idle, interval: interval, open: open, armed: make(chan struct{})}
	k.timer = time.AfterFunc(idle, k.step)
	close(k.armed)
	return k.timer.Stop
}

type keepalive struct {
	conn           *transport.Conn
	idle, interval time.Duration
	open           func() bool
	armed          chan struct{} // closed once timer is set
	timer          *time.Timer
	pingedAt       time.Time // zero: not yet
}

func (k *keepalive) step() {
	<-k.armed
	if k.conn.Err() != nil {
		return
	}
	// In this order: were the time since the ping taken first, a goroutine that is
	// held up between the two would take a pong for an older byte.
	if !k.pingedAt.IsZero() && k.conn.SinceRead() > time.Since(k.pingedAt) {
		k.conn.Fail(&base.Error{Code: base.ErrKeepalive, Message: fmt.Sprintf("the connection was ended, since the server answered no ping within %v", k.interval)})
		return
	}
	quiet := k.conn.SinceCommand() // also beside a stream: else the server hears nothing for long
	if k.open() {
		quiet = max(quiet, k.conn.SinceRead())
	}
	wait := k.idle - quiet
	if wait <= 0 {
		k.pingedAt = time.Now()
		k.conn.Post(&transport.Message{Kind: transport.Ping})
		wait = k.interval
	}
	k.timer.Reset(wait)
}

// WatchIdle fails the connection of a client that has sent nothing for timeout.
// It ends with the connection; stop lets go of that at once.
func WatchIdle(conn *transport.Conn, timeout time.Duration) (stop func() bool) {
	armed := make(chan struct{})
	var timer *time.Timer
	timer = time.AfterFunc(timeout, func() {
		<-armed
		if conn.Err() != nil {
			return
		}
		if wait := timeout - conn.SinceRead(); wait > 0 {
			timer.Reset(wait)
			return
		}
		conn.Fail(&base.Error{Code: base.ErrIdle, Message: fmt.Sprintf("the connection was ended, since the client sent nothing for %v", timeout)})
	})
	close(armed)
	return timer.Stop
}
