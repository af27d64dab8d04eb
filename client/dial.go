package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/cmdstream/cmdstream/delegate"
)

// Dialer connects to a server. NewReconnect calls it for every connection: from one
// goroutine at a time, with sessions from several at once.
type Dialer = delegate.Dialer

// TCP returns a Dialer of a TCP address, such as "localhost:9000".
func TCP(addr string) Dialer { return network("tcp", addr) }

// Unix returns a Dialer of a Unix socket.
func Unix(path string) Dialer { return network("unix", path) }

func network(network, addr string) Dialer {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}
}

// TLS returns a Dialer of a TCP address with TLS. With conf.Certificates the
// client shows who it is: mutual TLS. Without conf.ServerName the host of addr is
// the name that the server's certificate must have.
func TLS(addr string, conf *tls.Config) Dialer {
	return func(ctx context.Context) (net.Conn, error) {
		d := tls.Dialer{Config: conf}
		nc, err := d.DialContext(ctx, "tcp", addr)
		var dialing *net.OpError
		if err != nil && !(errors.As(err, &dialing) && dialing.Op == "dial") {
			err = fmt.Errorf("the TLS handshake with %s failed (does it speak TLS?): %w", addr, err)
		}
		return nc, err
	}
}
