package main

import (
	"net"
	"sync/atomic"
)

// countingConn is a net.Conn that counts the pings that are sent through it, and
// the answers: each a single zero byte, and nothing else is.
type countingConn struct {
	net.Conn
	pings, pongs atomic.Int64
}

// Write counts what is written.
func (c *countingConn) Write(b []byte) (int, error) {
	if isPing(b) {
		c.pings.Add(1)
	}
	return c.Conn.Write(b)
}

// Read counts what has been read.
func (c *countingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if isPing(b[:n]) {
		c.pongs.Add(1)
	}
	return n, err
}

func isPing(b []byte) bool { return len(b) == 1 && b[0] == 0 }
