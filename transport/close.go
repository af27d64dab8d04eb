package transport

import (
	"crypto/tls"
	"net"
	"time"
)

// closeNow closes nc. Closing TLS sends an alert, for which crypto/tls waits up
// to five seconds if the peer does not read; here it gets a fraction of one.
func closeNow(nc net.Conn) {
	if t, ok := nc.(*tls.Conn); ok {
		timer := time.AfterFunc(200*time.Millisecond, func() { t.NetConn().Close() })
		defer timer.Stop()
	}
	nc.Close()
}
