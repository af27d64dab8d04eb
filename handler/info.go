package handler

import (
	"encoding/hex"
	"net"
	"time"
)

// ConnInfo is what a server has of a connection at a moment.
type ConnInfo struct {
	LocalAddr, RemoteAddr net.Addr
	// Since is when the connection was accepted.
	Since time.Time
	// Principal is who the client is: what server.Conf.Authenticate returned, or else the
	// SHA-256 of its certificate, in hex; "": nobody has asked.
	Principal string
	// Session is the first four bytes of the session's id, in hex: enough to tell sessions
	// apart, and too little to resume one. "": the client has none.
	Session string
	// Running is how many commands have not returned yet, those that wait to run included.
	Running int
	// Received is how many bytes have come, and Held how many bytes of commands and
	// inputs are held.
	Received int64
	Held     int64
}

// Info returns what the connection is at this moment.
func (c *Conn[T]) Info() ConnInfo {
	info := ConnInfo{
		LocalAddr: c.conn.LocalAddr(), RemoteAddr: c.conn.RemoteAddr(), Since: c.conn.Since(),
		Principal: c.session.principal, Running: c.session.Running(),
		Received: c.conn.Received(), Held: c.memory.used.Load(),
	}
	if c.session.named {
		info.Session = hex.EncodeToString(c.session.id[:4])
	}
	return info
}
