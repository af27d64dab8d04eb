package memnet

import (
	"bytes"
	"net"
	"syscall"
	"testing"
	"time"
)

func TestKindString(t *testing.T) {
	for kind, want := range map[Kind]string{None: "None", FIN: "FIN", RST: "RST", Stall: "Stall"} {
		if got := kind.String(); got != want {
			t.Errorf("kind %d is called %q, want %q", kind, got, want)
		}
	}
}

func TestFIN(t *testing.T) {
	pair(t, func(t *testing.T, client, server *Conn) {
		client.SetPlan(Plan{Cut: FIN, At: 5})
		write(t, client, pattern(3))
		(<-start(client.Write, pattern(8)[3:])).want(t, 2, syscall.EPIPE)
		writeOne(client).want(t, 0, syscall.EPIPE)
		readExactly(t, server, pattern(5))
		readEnd(t, server)
		write(t, server, pattern(4)) // the other direction goes on
		readExactly(t, client, pattern(4))
		if n := client.Written(); n != 5 {
			t.Errorf("%d bytes written, want 5", n)
		}
	})
}

func TestFINAfterLastByte(t *testing.T) {
	pair(t, func(t *testing.T, client, server *Conn) {
		client.SetPlan(Plan{Cut: FIN, At: 5})
		write(t, client, pattern(5))
		readExactly(t, server, pattern(5))
		readEnd(t, server) // without another write
	})
}

func TestFINWhileBlocked(t *testing.T) {
	pair(t, func(t *testing.T, client, server *Conn) {
		writing := start(client.Write, pattern(smallSize+1))
		reading := start(client.Read, make([]byte, 1))
		client.Cut(FIN)
		(<-writing).want(t, smallSize, syscall.EPIPE)
		blocked(t, reading)
		readExactly(t, server, pattern(smallSize))
		readEnd(t, server)
	})
}

func TestRST(t *testing.T) {
	pair(t, func(t *testing.T, client, server *Conn) {
		client.SetPlan(Plan{Cut: RST, At: 5})
		reading := start(server.Read, make([]byte, 3))
		write(t, client, pattern(3))
		(<-reading).want(t, 3, nil)
		waiting := []<-chan result{start(client.Read, make([]byte, 1)), start(server.Read, make([]byte, 1))}
		for _, call := range waiting {
			blocked(t, call)
		}
		(<-start(client.Write, pattern(4))).want(t, 2, syscall.ECONNRESET)
		for _, call := range waiting {
			(<-call).want(t, 0, syscall.ECONNRESET)
		}
		for _, end := range []*Conn{client, server} {
			read(end).want(t, 0, syscall.ECONNRESET)
			writeOne(end).want(t, 0, syscall.ECONNRESET)
		}
		client.Close()
		read(client).want(t, 0, net.ErrClosed)
		read(server).want(t, 0, syscall.ECONNRESET)
	})
}

func TestRSTWhileBlocked(t *testing.T) {
	pair(t, func(t *testing.T, client, server *Conn) {
		server.SetPlan(Plan{Delay: time.Second}) // what is under way is lost
		calls := []<-chan result{
			start(client.Write, pattern(smallSize+1)), start(client.Read, make([]byte, 1)),
			start(server.Write, pattern(smallSize+1)),
		}
		for _, call := range calls {
			blocked(t, call)
		}
		client.Cut(RST)
		(<-calls[0]).want(t, smallSize, syscall.ECONNRESET)
		(<-calls[1]).want(t, 0, syscall.ECONNRESET)
		(<-calls[2]).want(t, smallSize, syscall.ECONNRESET)
		time.Sleep(2 * time.Second)
		read(client).want(t, 0, syscall.ECONNRESET)
	})
}

func TestRSTAfterCloseWrite(t *testing.T) {
	pair(t, func(t *testing.T, client, server *Conn) {
		write(t, client, pattern(3)) // is lost
		client.CloseWrite()
		client.Cut(RST)
		read(server).want(t, 0, syscall.ECONNRESET)
	})
}

func TestCutBehind(t *testing.T) {
	pair(t, func(t *testing.T, client, server *Conn) {
		write(t, client, pattern(5))
		client.SetPlan(Plan{Cut: FIN, At: 3}) // too late to hold bytes back
		writeOne(client).want(t, 0, syscall.EPIPE)
		readExactly(t, server, pattern(5))
		readEnd(t, server)
	})
}

func TestCorrupt(t *testing.T) {
	pair(t, func(t *testing.T, client, server *Conn) {
		plan := Plan{Corrupt: map[int64]byte{0: 0x80, 18: 0x01, 21: 0x10}}
		client.SetPlan(plan)
		clear(plan.Corrupt) // the connection has its own
		data := pattern(smallSize)
		want := bytes.Clone(data)
		want[0] ^= 0x80
		write(t, client, data)
		readExactly(t, server, want)
		if !bytes.Equal(data, pattern(smallSize)) {
			t.Error("the caller's bytes were changed")
		}
		want = bytes.Clone(data)
		want[18-smallSize] ^= 0x01
		want[21-smallSize] ^= 0x10
		write(t, client, data[:4])
		write(t, client, data[4:])
		readExactly(t, server, want)
	})
}
