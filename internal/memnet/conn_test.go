package memnet

import (
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
)

func TestPingPong(t *testing.T) {
	pair(t, func(t *testing.T, client, server *Conn) {
		go io.Copy(server, server)
		for n := range 3 * smallSize {
			go client.Write(pattern(n))
			readExactly(t, client, pattern(n))
		}
	})
}

func TestAddresses(t *testing.T) {
	client, server := Pipe()
	defer client.Close()
	defer server.Close()
	if client.LocalAddr() != server.RemoteAddr() || client.RemoteAddr() != server.LocalAddr() {
		t.Error("the ends disagree about their addresses")
	}
	if client.LocalAddr() == client.RemoteAddr() {
		t.Error("the ends have the same address")
	}
	if name := client.LocalAddr().Network(); name != "mem" {
		t.Errorf("the network is called %q, want mem", name)
	}
}

func TestWriteBlocksWhenFull(t *testing.T) {
	pair(t, func(t *testing.T, client, server *Conn) {
		data := pattern(2*smallSize + 3)
		done := start(client.Write, data)
		blocked(t, done)
		if n := client.Written(); n != smallSize {
			t.Errorf("%d bytes written into a buffer of %d", n, smallSize)
		}
		readExactly(t, server, data[:smallSize+2])
		blocked(t, done)
		readExactly(t, server, data[smallSize+2:])
		(<-done).want(t, len(data), nil)
		if client.Written() != int64(len(data)) || server.Written() != 0 {
			t.Errorf("counted %d and %d bytes, want %d and 0", client.Written(), server.Written(), len(data))
		}
	})
}

func TestWritesAreNotMixed(t *testing.T) {
	pair(t, func(t *testing.T, client, server *Conn) {
		const writers, length = 5, 3 * smallSize
		var group sync.WaitGroup
		for id := range writers {
			group.Go(func() {
				data := make([]byte, length)
				for i := range data {
					data[i] = byte(id)
				}
				client.Write(data)
			})
		}
		for range writers {
			data := make([]byte, length)
			for i := range data {
				server.Read(data[i : i+1])
				synctest.Wait() // all writers could go for the room of one byte
				if data[i] != data[0] {
					t.Fatalf("two writes are mixed: %v", data[:i+1])
				}
			}
		}
		group.Wait()
	})
}

func TestEmptyCalls(t *testing.T) {
	pair(t, func(t *testing.T, client, server *Conn) {
		(<-start(client.Read, nil)).want(t, 0, nil)
		(<-start(client.Write, nil)).want(t, 0, nil)
		client.Close()
		(<-start(client.Read, nil)).want(t, 0, net.ErrClosed)
		(<-start(client.Write, nil)).want(t, 0, net.ErrClosed)
		(<-start(server.Write, nil)).want(t, 0, syscall.EPIPE)
	})
}

func TestClose(t *testing.T) {
	pair(t, func(t *testing.T, client, server *Conn) {
		write(t, client, pattern(5))
		write(t, server, pattern(5))
		for range 2 {
			if err := client.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		read(client).want(t, 0, net.ErrClosed)
		writeOne(client).want(t, 0, net.ErrClosed)
		writeOne(server).want(t, 0, syscall.EPIPE)
		readExactly(t, server, pattern(5))
		readEnd(t, server)
	})
}

func TestCloseWrite(t *testing.T) {
	pair(t, func(t *testing.T, client, server *Conn) {
		write(t, client, pattern(5))
		for range 2 {
			if err := client.CloseWrite(); err != nil {
				t.Errorf("CloseWrite: %v", err)
			}
		}
		writeOne(client).want(t, 0, syscall.EPIPE)
		readExactly(t, server, pattern(5))
		readEnd(t, server)
		write(t, server, pattern(7))
		readExactly(t, client, pattern(7))
		client.Close()
		(result{err: client.CloseWrite()}).want(t, 0, net.ErrClosed)
	})
}

func TestCloseWakesOwnCalls(t *testing.T) {
	pair(t, func(t *testing.T, client, server *Conn) {
		reading := start(client.Read, make([]byte, 1))
		writing := start(client.Write, pattern(smallSize+1))
		waiting := start(client.Write, pattern(1)) // for its turn
		blocked(t, reading)
		blocked(t, writing)
		blocked(t, waiting)
		client.Close()
		(<-reading).want(t, 0, net.ErrClosed)
		(<-writing).want(t, smallSize, net.ErrClosed)
		(<-waiting).want(t, 0, net.ErrClosed)
		readExactly(t, server, pattern(smallSize))
		readEnd(t, server)
	})
}

func TestCloseWakesPeersCalls(t *testing.T) {
	pair(t, func(t *testing.T, client, server *Conn) {
		reading := start(server.Read, make([]byte, 1))
		writing := start(server.Write, pattern(smallSize+1))
		client.Close()
		(<-reading).want(t, 0, io.EOF)
		(<-writing).want(t, smallSize, syscall.EPIPE)
	})
}

func TestCloseWriteWakes(t *testing.T) {
	pair(t, func(t *testing.T, client, server *Conn) {
		reading := start(server.Read, make([]byte, 1))
		writing := start(client.Write, pattern(smallSize+1))
		(<-reading).want(t, 1, nil)
		(<-writing).want(t, smallSize+1, nil)

		writing = start(client.Write, pattern(smallSize+1))
		blocked(t, writing)
		client.CloseWrite()
		(<-writing).want(t, 0, syscall.EPIPE)
	})
}
