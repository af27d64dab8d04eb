package transport

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/internal/memnet"
)

// becomes tells whether what comes to be true within a time.
func becomes(what func() bool, within time.Duration) bool {
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if what() {
			return true
		}
	}
	return what()
}

func TestSealedWriterIsForTLSOverTCP(t *testing.T) {
	near, far := tcp(t)
	secure, _ := overTLS(t, near, far)
	if newSealedWriter(secure, time.Second) == nil {
		t.Error("TLS over TCP has no sealed writer")
	}
	one, other := memnet.Pipe()
	inMemory, _ := overTLS(t, one, other)
	for _, nc := range []net.Conn{near, inMemory} {
		if newSealedWriter(nc, time.Second) != nil {
			t.Errorf("%T has a sealed writer", nc)
		}
	}
}

// A sealed writer takes what is little and alone, for as long as the peer's kernel takes it.
func TestSealedWriterNeverWaits(t *testing.T) {
	near, far := tcp(t)
	far.(*net.TCPConn).SetReadBuffer(16 << 10)
	secure, peer := overTLS(t, near, far)
	w := newSealedWriter(secure, time.Second)
	takes := func() bool { return w.takes(sealedAtOnce, true) }
	if !becomes(takes, 5*time.Second) {
		t.Fatal("it takes nothing")
	}
	if w.takes(sealedAtOnce, false) || w.takes(sealedAtOnce+1, true) {
		t.Error("it takes several messages, or much")
	}
	sent := 0
	for ; sent < 64<<20 && becomes(takes, 300*time.Millisecond); sent += sealedAtOnce {
		began := time.Now()
		if n, err := w.write(pattern(sealedAtOnce)); n != sealedAtOnce || err != nil {
			t.Fatalf("wrote %d bytes, %v", n, err)
		}
		if took := time.Since(began); took > 500*time.Millisecond {
			t.Fatalf("after %d bytes it waits for %v", sent, took)
		}
	}
	if sent == 0 || sent >= 64<<20 {
		t.Fatalf("it takes %d bytes for a peer that does not read", sent)
	}
	if _, err := io.CopyN(io.Discard, peer, int64(sent)); err != nil {
		t.Fatal(err)
	}
	if !becomes(takes, 5*time.Second) {
		t.Error("it takes nothing once the peer has read all")
	}
}

// The deadline of a write does not outlive it.
func TestSealedWriterLeavesNoDeadline(t *testing.T) {
	near, far := tcp(t)
	secure, peer := overTLS(t, near, far)
	w := newSealedWriter(secure, 20*time.Millisecond)
	if _, err := w.write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(40 * time.Millisecond)
	if _, err := secure.Write([]byte{2}); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(peer, make([]byte, 2)); err != nil {
		t.Error(err)
	}
	near.Close()
	if w.takes(1, true) {
		t.Error("it takes something for a closed connection")
	}
}

// A lone message goes out over TLS without another goroutine: who posts it writes it.
func TestALoneMessageOverTLSIsWrittenAtOnce(t *testing.T) {
	near, far := tcp(t)
	secure, peer := overTLS(t, near, far)
	c, s := client(secure, 0), server(peer)
	defer end(c, s)
	for range 10 {
		if !becomes(func() bool { return c.instant.takes(1, true) }, 5*time.Second) {
			t.Fatal("the kernel keeps what went before")
		}
		alone := &Message{Kind: Ping}
		if err := c.Post(alone); err != nil {
			t.Fatal(err)
		}
		if !c.Wrote(alone) {
			t.Error("it is still to be written")
		}
		if m := read(t, s); m.Kind != Ping {
			t.Errorf("%+v came", m)
		}
	}
}
