package transport

import (
	"net"
	"syscall"
)

const notSentLowWater = 25 // TCP_NOTSENT_LOWAT in the kernel's tcp.h; package syscall has no name for it

// limitUnsent has the kernel of a TCP connection take no more than so many bytes that it can't send
// yet; 0: as many as it likes. What may overtake a large message does so here. On the way to the same
// machine there is no queue but the peer's, and more wake-ups are all that a limit would give.
func limitUnsent(nc net.Conn, most int) {
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
			syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, notSentLowWater, most)
		})
	}
}
