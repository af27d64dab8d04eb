package client

import (
	"encoding/hex"
	"net"
	"slices"
	"time"
)

// ConnInfo is what a client has of a connection at a moment.
type ConnInfo struct {
	LocalAddr, RemoteAddr net.Addr
	// Since is when the connection was made.
	Since time.Time
	// Session is the first four bytes of the session's id, in hex; "": there is none.
	Session string
	// InFlight is how many commands are open.
	InFlight int
	// Received is how many bytes have come.
	Received int64
	// Leaving is true of a connection that only finishes what it has: the server is going
	// away.
	Leaving bool
}

// Connections returns the connections that are up: one, or more while a server goes
// away, or none; those that have been there for longest first. It may be called at any
// time.
func (c *Client[T]) Connections() []ConnInfo {
	c.mu.Lock()
	links := make([]*link[T], 0, len(c.links))
	for l := range c.links {
		links = append(links, l)
	}
	c.mu.Unlock()
	infos := make([]ConnInfo, 0, len(links))
	for _, l := range links {
		conn := l.conn.Load()
		if conn.Err() != nil {
			continue
		}
		info := ConnInfo{
			LocalAddr: conn.LocalAddr(), RemoteAddr: conn.RemoteAddr(), Since: conn.Since(),
			InFlight: l.openSlots(), Received: conn.Received(), Leaving: l.end() != nil,
		}
		if l.session != nil {
			info.Session = hex.EncodeToString(l.session.ID[:4])
		}
		infos = append(infos, info)
	}
	slices.SortFunc(infos, func(a, b ConnInfo) int { return a.Since.Compare(b.Since) })
	return infos
}

// State returns where the client is in its life. It may be called at any time.
func (c *Client[T]) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return Closed
	case c.current.Load() == nil && c.redialer != nil:
		return Connecting
	}
	return Connected
}
