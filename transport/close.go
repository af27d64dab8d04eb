package transport

import (
	"crypto/tls"
	"time"
)

// alertTime is how long a failed connection tries to tell its peer by the alert
// that ends TLS. Package crypto/tls waits for that up to five seconds if the peer
// does not read.
const alertTime = 200 * time.Millisecond

// closeNow closes the net.Conn. It never waits: TLS is closed by a goroutine of its
// own, for which Join waits.
func (c *Conn) closeNow() {
	t, ok := c.nc.(*tls.Conn)
	if !ok {
		c.nc.Close()
		close(c.closed)
		return
	}
	go func() {
		defer close(c.closed)
		timer := time.AfterFunc(alertTime, func() { t.NetConn().Close() })
		defer timer.Stop()
		t.Close()
	}()
}
