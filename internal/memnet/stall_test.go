package memnet

import (
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

func TestStall(t *testing.T) {
	pair(t, func(t *testing.T, client, server *Conn) {
		client.SetPlan(Plan{Cut: Stall, At: 5})
		write(t, client, pattern(smallSize))
		readExactly(t, server, pattern(5))
		reading := start(server.Read, make([]byte, smallSize))
		writing := start(client.Write, pattern(6))
		time.Sleep(time.Hour)
		blocked(t, reading)
		blocked(t, writing)
		if n := client.Written(); n != smallSize+5 {
			t.Errorf("%d bytes written, want the read ones and a full buffer, %d", n, smallSize+5)
		}
		write(t, server, pattern(4)) // the other direction goes on
		readExactly(t, client, pattern(4))

		client.Close() // unnoticed
		(<-writing).want(t, 5, net.ErrClosed)
		time.Sleep(time.Hour)
		blocked(t, reading)
		write(t, server, pattern(smallSize-4)) // nobody says that it is in vain
		server.Close()
		(<-reading).want(t, 0, net.ErrClosed)
	})
}

func TestStallTakenBack(t *testing.T) {
	pair(t, func(t *testing.T, client, server *Conn) {
		write(t, client, pattern(2))
		client.Cut(Stall)
		write(t, client, pattern(8)[2:])
		client.Close()
		readExactly(t, server, pattern(2))
		reading := start(server.Read, make([]byte, smallSize))
		writing := start(server.Write, pattern(smallSize+1))
		blocked(t, reading)
		blocked(t, writing)
		client.Cut(None)
		(<-reading).want(t, 6, nil)
		(<-writing).want(t, smallSize, syscall.EPIPE)
		readEnd(t, server)
	})
}

// A writer whose bytes vanish cannot provoke the answer that the reader has gone.
func TestStallHidesClosedReader(t *testing.T) {
	pair(t, func(t *testing.T, client, server *Conn) {
		client.Cut(Stall)
		server.Close()
		readEnd(t, client)
		write(t, client, pattern(3))
		client.Cut(None)
		writeOne(client).want(t, 0, syscall.EPIPE)
	})
}

// A stall hides the end even if there is no byte behind it.
func TestStallHidesEnd(t *testing.T) {
	pair(t, func(t *testing.T, client, server *Conn) {
		write(t, client, pattern(3))
		client.Cut(Stall)
		client.CloseWrite()
		readExactly(t, server, pattern(3))
		reading := start(server.Read, make([]byte, 1))
		time.Sleep(time.Hour)
		blocked(t, reading)
		client.SetPlan(Plan{Cut: Stall, At: 10}) // the stream ends before
		(<-reading).want(t, 0, io.EOF)
	})
}

// A partition lets through what was written before, in both directions, and nothing after.
func TestPartition(t *testing.T) {
	pair(t, func(t *testing.T, client, server *Conn) {
		client.SetPlan(Plan{Cut: Partition, At: 3})
		write(t, server, pattern(6))
		write(t, client, pattern(6))
		write(t, server, pattern(6))
		readExactly(t, server, pattern(3))
		readExactly(t, client, pattern(6))
		up := start(server.Read, make([]byte, 1))
		down := start(client.Read, make([]byte, 1))
		time.Sleep(time.Hour)
		blocked(t, up)
		blocked(t, down)
		client.Close()
		server.Close()
	})
}
