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
