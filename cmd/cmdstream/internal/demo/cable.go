package demo

import (
	"context"
	"errors"
	"net"
	"sync"
)

// cable is what a client is connected by: a Dialer, and a way to cut what it has
// dialled. It is safe for concurrent use.
type cable struct {
	mu   sync.Mutex // protects what follows
	addr string     // empty: there is no server
	conn *net.TCPConn
}

func (c *cable) plugInto(addr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addr = addr
}

// dial is a client.Dialer.
func (c *cable) dial(ctx context.Context) (net.Conn, error) {
	c.mu.Lock()
	addr := c.addr
	c.mu.Unlock()
	if addr == "" {
		return nil, errors.New("there is no server")
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = conn.(*net.TCPConn)
	return conn, nil
}

// cut ends the connection under the client's feet: to both sides it looks as if
// the other one had gone.
func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn.CloseRead()
	c.conn.CloseWrite()
}
