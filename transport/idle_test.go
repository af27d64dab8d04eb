package transport

import (
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/internal/memnet"
)

// A connection over which little comes costs little, also after much has come.
func TestAnIdleConnectionIsSmall(t *testing.T) {
	const n, little, much = 200, 10 << 10, 20 << 10
	synctest.Test(t, func(t *testing.T) {
		heap := func() int {
			synctest.Wait()
			runtime.GC()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return int(m.HeapAlloc)
		}
		before := heap()
		var clients, servers []*Conn
		var came atomic.Int64
		for range n {
			near, far := memnet.Pipe()
			client := NewConn(near, Framed(Options{MaxBody: 1 << 20, MaxSlots: 8}), new(atomic.Int64), 0)
			server := NewConn(far, Framed(Options{Server: true, MaxBody: 1 << 20, MaxSlots: 8}), nil, 0)
			clients, servers = append(clients, client), append(servers, server)
			go func() {
				var m Message
				for server.Read(&m) == nil {
					came.Add(int64(len(m.Body)))
				}
			}()
		}
		size := func(bytes int) int {
			for _, c := range clients {
				c.Post(&Message{Kind: Command, Body: make([]byte, bytes)})
			}
			return (heap() - before) / n // of both ends, and of the network in memory
		}
		if got := size(10); got > little {
			t.Errorf("a new connection has %d bytes", got)
		}
		size(1000)
		if got := size(1000); got < much {
			t.Errorf("a busy connection has %d bytes: this test shows nothing", got)
		}
		time.Sleep(2 * time.Second)
		if got := size(10); got > little {
			t.Errorf("an idle connection has %d bytes", got)
		}
		if came.Load() != n*2020 {
			t.Errorf("%d bytes came", came.Load())
		}
		for i := range clients {
			clients[i].Fail(nil)
			servers[i].Fail(nil)
		}
	})
}

// One that has ended holds no buffer, whoever refers to it: neither what had come and was not read,
// nor what was to be written.
func TestAnEndedConnectionIsSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memnet.PipeSize(32 << 10)
		client := NewConn(near, Framed(Options{MaxBody: 1 << 20, MaxSlots: 8}), new(atomic.Int64), 0)
		server := NewConn(far, Framed(Options{Server: true, MaxBody: 1 << 20, MaxSlots: 8}), nil, 0)
		post := func(n int) {
			for range n {
				if err := client.Post(&Message{Kind: Command, Body: make([]byte, 8<<10)}); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
		}
		post(10) // more than the network takes
		var m Message
		for range 2 {
			if err := server.Read(&m); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		post(16) // so they wait
		server.Hold()
		if err := server.Post(&Message{Kind: Result, Body: []byte("held back"), Last: true}); err != nil {
			t.Fatal(err)
		}
		waits := func(c *Conn) int {
			c.mu.Lock()
			defer c.mu.Unlock()
			return cap(c.out) + cap(c.spare) + cap(c.rest)
		}
		if waits(client) < 100<<10 || waits(server) == 0 || server.in == server.small || !server.Unread() {
			t.Errorf("%d bytes wait, the read buffer has %d: this test shows nothing", waits(client), server.in.Size())
		}
		for _, c := range []*Conn{client, server} {
			c.Fail(nil)
			c.Shrink()
			c.Join()
			if n := waits(c); n != 0 || c.in.Size() != idleBuffer {
				t.Errorf("%d bytes wait still, the read buffer has %d", n, c.in.Size())
			}
		}
	})
}
