package transport

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A copy lets threads run at first, and then once it has gone on for a quarter of what that took.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for copied, runs := range map[time.Duration]bool{0: false, 249 * time.Millisecond: false, 250 * time.Millisecond: true, time.Hour: true} {
			p := pace{since: time.Now(), took: time.Second}
			time.Sleep(copied)
			if p.yield(); (p.took == 0) != runs {
				t.Errorf("after %v threads were let run: %t", copied, !runs)
			}
		}
		p := pace{took: -1}
		if p.yield(); p.took != 0 {
			t.Error("no thread was let run at the first step")
		}
	})
}

// Large bodies are written and read at a pace, and that is kept from one Write to the next: who
// writes in many parts lets threads run no more often than who writes in one.
func TestLargeBodiesHaveAPace(t *testing.T) {
	large := bytes.Repeat([]byte("x"), 2*copyAtOnce)
	var b Buffer
	if b.Write(large); b.pace.since.IsZero() {
		t.Error("nobody was let run while a large body was written")
	}
	b.pace = pace{since: time.Now(), took: time.Hour}
	if b.Write(large); b.pace.took != time.Hour {
		t.Error("the pace of one Write was forgotten by the next")
	}

	p := &Pieces{pool: new(Pool)}
	if err := p.read(bytes.NewReader(large), len(large), len(large)); err != nil {
		t.Fatal(err)
	}
	var body Body
	body.SetPieces(p)
	defer body.Release()
	if read, err := io.ReadAll(&body); err != nil || !bytes.Equal(read, large) {
		t.Fatalf("%d bytes were read, %v", len(read), err)
	}
	if p.pace.since.IsZero() {
		t.Error("nobody was let run while a large body was read")
	}
}

// ready is a connection on which there is always something to read.
type ready struct{ net.Conn }

func (ready) Read(b []byte) (int, error) { return len(b), nil }

// Once a client has said something, what is ready to run goes first, but for every 61st turn of
// the scheduler; later nobody waits.
func TestPolite(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const times = 100
	var ran [2]int // before the first Read has returned, and before the second
	for range times {
		nc := Polite(ready{})
		for i := range ran {
			var other atomic.Bool
			go other.Store(true)
			if nc.Read(make([]byte, 1)); other.Load() {
				ran[i]++
			}
		}
	}
	if ran[0] < times*3/4 || ran[1] > times/4 {
		t.Errorf("of %d other goroutines %d have run before the first Read has returned, and %d before the second", times, ran[0], ran[1])
	}
}
