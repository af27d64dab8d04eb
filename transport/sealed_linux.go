package transport

import (
	"crypto/tls"
	"net"
	"syscall"
	"time"
	"unsafe"
)

// sealedWriter writes through TLS without waiting: one record, over a TCP connection whose
// peer has taken all that was written before. The kernel takes what fits into its buffer, of
// 4 KiB at the least, which is empty then; should it lack memory, the write timeout holds.
type sealedWriter struct {
	nc     net.Conn
	within time.Duration
	conn   syscall.RawConn // below nc
	look   func(fd uintptr)
	queued int32 // bytes that the kernel has, and the peer has not
}

// sealedAtOnce is how much a sealedWriter writes at once, in bytes, before it is encrypted:
// crypto/tls makes one record of it, whose size depends on what has been sent before.
const sealedAtOnce = 1100

// newSealedWriter returns nil for what is not TLS over TCP.
func newSealedWriter(nc net.Conn, within time.Duration) instantWriter {
	if _, ok := nc.(*tls.Conn); !ok {
		return nil
	}
	tcp, ok := bottom(nc).(*net.TCPConn)
	if !ok {
		return nil
	}
	conn, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	w := &sealedWriter{nc: nc, within: within, conn: conn}
	w.look = func(fd uintptr) {
		w.queued = -1
		syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCOUTQ, uintptr(unsafe.Pointer(&w.queued)))
	}
	return w
}

// takes is true of a lone message only: of several the drain, which others run before, writes
// more at once.
func (w *sealedWriter) takes(n int, lone bool) bool {
	return lone && n <= sealedAtOnce && w.conn.Control(w.look) == nil && w.queued == 0
}

func (w *sealedWriter) write(b []byte) (int, error) {
	w.nc.SetWriteDeadline(time.Now().Add(w.within))
	n, err := w.nc.Write(b)
	w.nc.SetWriteDeadline(time.Time{})
	return n, err
}
