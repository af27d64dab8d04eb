package memnet

import (
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestTransfer moves much data through small buffers, both ways at once, in real
// time and in real parallel.
func TestTransfer(t *testing.T) {
	client, server := PipeSize(1000)
	data := pattern(1 << 20)
	var group sync.WaitGroup
	for i, end := range []*Conn{client, server} {
		random := rand.New(rand.NewPCG(uint64(i), 0))
		group.Go(func() {
			for rest := data; len(rest) > 0; {
				n := min(len(rest), 1+random.IntN(3000))
				if _, err := end.Write(rest[:n]); err != nil {
					t.Error(err)
				}
				rest = rest[n:]
			}
			end.CloseWrite()
		})
		group.Go(func() {
			got, err := io.ReadAll(end)
			if err != nil || string(got) != string(data) {
				t.Errorf("%d bytes came through, or wrong ones, want %d: %v", len(got), len(data), err)
			}
		})
	}
	group.Wait()
	client.Close()
	server.Close()
}

// TestConcurrentUse is for the race detector.
func TestConcurrentUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := PipeSize(smallSize)
		var group sync.WaitGroup
		for i, end := range []*Conn{client, server} {
			for j := range 4 {
				random := rand.New(rand.NewPCG(uint64(i), uint64(j)))
				group.Go(func() {
					for range 300 {
						useSomehow(end, random)
					}
					if j == 0 {
						end.Close() // while the others go on
					}
				})
			}
		}
		group.Wait()
	})
}

// useSomehow calls a random method that does not block for ever.
func useSomehow(c *Conn, random *rand.Rand) {
	soon := time.Now().Add(time.Duration(random.IntN(5)) * time.Millisecond)
	switch random.IntN(8) {
	case 0:
		c.SetDeadline(soon)
	case 1, 2:
		c.SetReadDeadline(soon)
		c.Read(make([]byte, random.IntN(2*smallSize)))
	case 3, 4:
		c.SetWriteDeadline(soon)
		c.Write(make([]byte, random.IntN(2*smallSize)))
	case 5:
		c.SetPlan(Plan{
			Delay:           time.Duration(random.IntN(2)) * time.Millisecond,
			ShortReads:      random.IntN(3),
			ShortDeliveries: random.IntN(3),
			Corrupt:         map[int64]byte{c.Written(): 1},
		})
	case 6:
		c.LocalAddr()
		c.RemoteAddr()
	case 7:
		c.Cut([]Kind{None, Stall}[random.IntN(2)])
	}
}

func BenchmarkPingPong(b *testing.B) {
	client, server := Pipe()
	go io.Copy(server, server)
	data := pattern(64)
	b.ReportAllocs()
	for b.Loop() {
		client.Write(data)
		io.ReadFull(client, data)
	}
	client.Close()
}
