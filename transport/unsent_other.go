//go:build !linux

package transport

import "net"

// limitUnsent does nothing where it is not known how the kernel is told.
func limitUnsent(net.Conn, int) {}
