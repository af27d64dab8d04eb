//go:build unix

package transport

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/internal/memnet"
)

// sockets returns the two ends of a connection of the kernel's.
func sockets(t *testing.T, network, address string) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if near, err = net.Dial(network, l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

func tcp(t *testing.T) (near, far net.Conn) { return sockets(t, "tcp", "127.0.0.1:0") }

// overTLS makes the two ends those of a TLS connection whose handshake is over.
func overTLS(t *testing.T, near, far net.Conn) (client, server *tls.Conn) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	client = tls.Client(near, &tls.Config{InsecureSkipVerify: true})
	server = tls.Server(Polite(far), &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}}})
	shaken := make(chan error, 1)
	go func() { shaken <- server.Handshake() }()
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	return client, server
}

func TestRawWriterIsForSocketsOnly(t *testing.T) {
	near, far := tcp(t)
	if newRawWriter(near) == nil {
		t.Error("TCP has no raw writer")
	}
	onUnix, _ := sockets(t, "unix", filepath.Join(t.TempDir(), "socket"))
	if newRawWriter(onUnix) == nil {
		t.Error("a Unix socket has no raw writer")
	}
	secure, _ := overTLS(t, near, far)
	inMemory, _ := memnet.Pipe()
	for _, nc := range []net.Conn{secure, inMemory} {
		if newRawWriter(nc) != nil {
			t.Errorf("%T has a raw writer", nc)
		}
	}
	near.Close()
	if w := newRawWriter(near); w != nil {
		if n, err := w.write([]byte{0}); n != 0 || err == nil {
			t.Errorf("on a closed socket: %d bytes, %v", n, err)
		}
	}
}

func TestRawWriterNeverWaits(t *testing.T) {
	near, far := tcp(t)
	w := newRawWriter(near)
	body := pattern(64 << 20)
	n, err := w.write(body)
	if n == 0 || n == len(body) || err != nil {
		t.Fatalf("a peer that does not read takes %d bytes, %v", n, err)
	}
	if again, err := w.write(body[n:]); again == len(body)-n || err != nil {
		t.Errorf("and then %d more, %v", again, err)
	} else {
		n += again
	}
	got := make([]byte, n)
	if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, body[:n]) {
		t.Errorf("the peer reads something else, %v", err)
	}
	far.Close()
	for range 1000 { // the reset takes a moment to arrive
		if _, err = w.write(body[:1000]); err != nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("a peer that is gone takes everything")
}

// transports of bytes over which a Conn writes in different ways.
func eachNetwork(t *testing.T, f func(t *testing.T, near, far net.Conn)) {
	t.Run("tcp", func(t *testing.T) {
		near, far := tcp(t)
		f(t, near, far)
	})
	t.Run("unix", func(t *testing.T) {
		near, far := sockets(t, "unix", filepath.Join(t.TempDir(), "socket"))
		f(t, near, far)
	})
	t.Run("tls", func(t *testing.T) {
		near, far := tcp(t)
		client, server := overTLS(t, near, far)
		f(t, client, server)
	})
	t.Run("memory", func(t *testing.T) {
		near, far := memnet.PipeSize(1000)
		f(t, near, far)
	})
}

// Whatever the socket takes at a time, all bytes arrive in order: small messages
// and large ones from many goroutines, to a peer that pauses.
func TestConnOverNetworks(t *testing.T) {
	eachNetwork(t, func(t *testing.T, near, far net.Conn) {
		c, s := client(near, 0), server(far)
		defer end(c, s)
		alone := &Message{Kind: Ping}
		send(t, c, alone)
		if m := read(t, s); m.Kind != Ping || !c.Settle(time.Second) || !c.Wrote(alone) {
			t.Errorf("%+v came; the connection says that it was written: %v", m, c.Wrote(alone))
		}
		const goroutines, each = 16, 100
		body := func(slot, i int) []byte {
			size := (slot*each + i) % 700
			if i%50 == 49 {
				size += 100 << 10
			}
			return append([]byte{byte(i)}, pattern(size)...)
		}
		var senders sync.WaitGroup
		for slot := range goroutines {
			senders.Go(func() {
				for i := range each {
					m := &Message{Kind: Command, Slot: slot, Body: body(slot, i)}
					send(t, c, m)
					if !m.Large() {
						continue
					}
					if err := c.Wait(t.Context(), m); err != nil {
						t.Error(err)
					}
				}
			})
		}
		var next [goroutines]int
		seen := map[base.Seq]bool{}
		for range goroutines * each {
			m := read(t, s)
			if want := body(m.Slot, next[m.Slot]); !bytes.Equal(m.Body, want) || seen[m.Seq] {
				t.Fatalf("slot %d: message %d has %d bytes and seq %d, want %d bytes", m.Slot, next[m.Slot], len(m.Body), m.Seq, len(want))
			}
			next[m.Slot]++
			seen[m.Seq] = true
		}
		senders.Wait()
		if !c.Settle(time.Second) {
			t.Error("all has arrived, and the connection is not settled")
		}
	})
}

// A socket that is full is left to the drain, which goes on when the peer reads.
func TestDrainOfASocket(t *testing.T) {
	near, far := tcp(t)
	c, s := client(near, 0), server(far)
	defer end(c, s)
	sent := 0
	for {
		flush, err := c.Append(&Message{Kind: Command, Slot: 1, Body: pattern(4000)})
		if flush {
			c.Flush(false)
		}
		if err == ErrNoRoom {
			break
		}
		if err != nil || sent > 100_000 {
			t.Fatalf("after %d messages: %v", sent, err)
		}
		sent++
	}
	for i := range sent {
		if m := read(t, s); m.Seq != base.Seq(i+1) || !bytes.Equal(m.Body, pattern(4000)) {
			t.Fatalf("message %d came as seq %d with %d bytes", i+1, m.Seq, len(m.Body))
		}
	}
	if !c.Settle(time.Second) {
		t.Error("all has arrived, and the connection is not settled")
	}
}

func TestFailureOfASocket(t *testing.T) {
	near, far := tcp(t)
	c := client(near, 0)
	far.Close()
	for range 1000 { // the reset takes a moment to arrive
		if c.Post(&Message{Kind: Ping}) != nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	c.Join()
	wantCode(t, c.Err(), base.ErrConnLost)
}

// crypto/tls would wait five seconds to tell a peer that does not read.
func TestTLSClosesInTime(t *testing.T) {
	for name, busy := range map[string]bool{"idle": false, "while writing": true} {
		t.Run(name, func(t *testing.T) {
			near, far := memnet.PipeSize(4 << 10)
			secure, _ := overTLS(t, near, far)
			c := client(secure, 0)
			if busy {
				send(t, c, &Message{Kind: Command, Body: pattern(maxBody)})
			} else if n, err := near.Write(make([]byte, 4<<10)); err != nil { // the peer's buffer is full
				t.Fatalf("%d bytes, %v", n, err)
			}
			start := time.Now()
			c.Fail(&base.Error{Code: base.ErrClosed})
			c.Join()
			if took := time.Since(start); took > time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// A refused TLS peer that does not read what it is told holds nobody up either.
func TestFinishOverTLSEndsInTime(t *testing.T) {
	near, far := memnet.PipeSize(4 << 10)
	_, secure := overTLS(t, near, far)
	c := server(secure)
	send(t, c, &Message{Kind: Result, Body: pattern(maxBody)})
	start := time.Now()
	c.Finish(io.EOF, 100*time.Millisecond)
	if took := time.Since(start); took > time.Second {
		t.Errorf("it took %v", took)
	}
}
