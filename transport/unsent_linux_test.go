package transport

import (
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// elsewhere is a connection to this machine that says it leads to another one.
type elsewhere struct{ *net.TCPConn }

func (elsewhere) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }

// unsentLimit returns the limit of a socket; 0: it has none.
func unsentLimit(t *testing.T, nc net.Conn) (limit int) {
	t.Helper()
	conn, err := nc.(syscall.Conn).SyscallConn()
	if err == nil {
		conn.Control(func(fd uintptr) {
			limit, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, notSentLowWater)
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return limit
}

func TestTheLimitOfWhatIsUnsentIsForOtherMachines(t *testing.T) {
	newConn := func(nc net.Conn) { NewConn(nc, Framed(Options{MaxBody: 1 << 20, MaxSlots: 8}), new(atomic.Int64), 0) }
	near, far := tcp(t)
	newConn(near)
	newConn(elsewhere{far.(*net.TCPConn)})
	if here, there := unsentLimit(t, near), unsentLimit(t, far); here == mostUnsent || there != mostUnsent {
		t.Errorf("the limit is %d here, and %d elsewhere", here, there)
	}
	near, far = tcp(t)
	client, server := overTLS(t, elsewhere{near.(*net.TCPConn)}, elsewhere{far.(*net.TCPConn)})
	newConn(client)
	newConn(server)
	if here, there := unsentLimit(t, near), unsentLimit(t, far); here != mostUnsent || there != mostUnsent {
		t.Errorf("over TLS the limit is %d, and %d", here, there)
	}
	newConn(unixEnd(t))
}

func unixEnd(t *testing.T) net.Conn {
	near, _ := sockets(t, "unix", t.TempDir()+"/s")
	return near
}

// A large message to a peer that does not read waits here, where others overtake it, and not in
// the kernel.
func TestALargeMessageWaitsWhereItCanBeOvertaken(t *testing.T) {
	taken := func(wrap func(net.Conn) net.Conn) (n int) {
		near, far := tcp(t)
		far.(*net.TCPConn).SetReadBuffer(16 << 10)
		c := NewConn(wrap(near), Framed(Options{MaxBody: 16 << 20, MaxSlots: 8}), new(atomic.Int64), time.Minute)
		defer c.Fail(nil)
		if err := c.Post(&Message{Kind: Command, Body: make([]byte, 16<<20)}); err != nil {
			t.Fatal(err)
		}
		for before := -1; before < n; {
			before = n
			time.Sleep(300 * time.Millisecond)
			c.mu.Lock()
			n = int(c.written)
			c.mu.Unlock()
		}
		return n
	}
	limited := taken(func(nc net.Conn) net.Conn { return elsewhere{nc.(*net.TCPConn)} })
	unlimited := taken(func(nc net.Conn) net.Conn { return nc })
	if limited > unlimited/4 {
		t.Errorf("the kernel has taken %d bytes, and without a limit %d", limited, unlimited)
	}
}

// What is left when a connection is to end is given to the kernel, which sends it also afterwards.
func TestWhatIsLeftGoesToTheKernelAtTheEnd(t *testing.T) {
	const size = 1 << 20
	near, far := tcp(t)
	far.(*net.TCPConn).SetReadBuffer(16 << 10)
	c := NewConn(elsewhere{near.(*net.TCPConn)}, Framed(Options{Server: true, MaxBody: 16 << 20, MaxSlots: 8}), nil, time.Minute)
	if err := c.Post(&Message{Kind: Result, Last: true, Body: make([]byte, size)}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // the kernel has taken what it may
	settled := c.Settle(5 * time.Second)
	c.Fail(nil)
	far.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, err := io.Copy(io.Discard, far); !settled || n <= size || err != nil {
		t.Errorf("%d bytes have come, %v; it is settled: %v", n, err, settled)
	}
}
