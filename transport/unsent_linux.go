package transport

import (
	"net"
	"syscall"
)

// mostUnsent is how many bytes the kernel takes that it can't send yet. Of its own it takes up to
// 4 MiB, and whatever is written later waits behind those: a third of a second at 100 Mbit/s. What is
// on its way is not counted, so that a long way is used as well as without a limit.
const mostUnsent = 128 << 10

const notSentLowWater = 25 // TCP_NOTSENT_LOWAT in the kernel's tcp.h; package syscall has no name for it

// limitUnsent has the kernel of a TCP connection take no more than mostUnsent: what may overtake a
// large message does so here. On the way to the same machine there is no queue but the peer's, and
// more wake-ups are all that a limit would give.
func limitUnsent(nc net.Conn) {
	peer, ok := nc.RemoteAddr().(*net.TCPAddr)
	if !ok || peer.IP.IsLoopback() {
		return
	}
	socket, ok := bottom(nc).(syscall.Conn)
	if !ok {
		return
	}
	if conn, err := socket.SyscallConn(); err == nil {
		conn.Control(func(fd uintptr) {
			syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, notSentLowWater, mostUnsent)
		})
	}
}
