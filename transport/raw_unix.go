//go:build unix

package transport

import (
	"errors"
	"net"
	"syscall"
)

// rawWriter is the instantWriter of a socket.
type rawWriter struct {
	conn    syscall.RawConn
	attempt func(fd uintptr) bool // w.once, made once

	b   []byte
	n   int
	err error
}

// newRawWriter returns nil for what is no socket of the kernel's, such as TLS.
func newRawWriter(nc net.Conn) *rawWriter {
	var conn syscall.RawConn
	var err error
	switch nc := nc.(type) {
	case *net.TCPConn:
		conn, err = nc.SyscallConn()
	case *net.UnixConn:
		conn, err = nc.SyscallConn()
	default:
		return nil
	}
	if err != nil {
		return nil
	}
	w := &rawWriter{conn: conn}
	w.attempt = w.once
	return w
}

func (w *rawWriter) takes(int, bool) bool { return true }

// write writes as much of b as the socket takes at once.
func (w *rawWriter) write(b []byte) (int, error) {
	w.b, w.n, w.err = b, 0, nil
	err := w.conn.Write(w.attempt)
	w.b = nil
	if w.err != nil {
		err = w.err
	}
	return w.n, err
}

func (w *rawWriter) once(fd uintptr) bool {
	for w.n < len(w.b) {
		n, err := syscall.Write(int(fd), w.b[w.n:])
		if n > 0 {
			w.n += n
		}
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EAGAIN):
			return true
		case err != nil:
			w.err = err
			return true
		}
	}
	return true
}
