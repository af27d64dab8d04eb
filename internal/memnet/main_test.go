package memnet

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/cmdstream/cmdstream/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// pair runs f in a bubble with the ends of a connection of small buffers.
func pair(t *testing.T, f func(t *testing.T, client, server *Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		client, server := PipeSize(smallSize)
		defer client.Close()
		defer server.Close()
		f(t, client, server)
	})
}

const smallSize = 16

// pattern returns n bytes of which no two near ones are equal.
func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i % 251)
	}
	return p
}

func write(t *testing.T, c *Conn, p []byte) {
	t.Helper()
	if n, err := c.Write(p); n != len(p) || err != nil {
		t.Fatalf("Write of %d bytes returned %d, %v", len(p), n, err)
	}
}

// readExactly wants the next bytes to be p.
func readExactly(t *testing.T, c *Conn, p []byte) {
	t.Helper()
	got := make([]byte, len(p))
	if n, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, p) {
		t.Fatalf("read %d bytes %q, %v, want %q", n, got[:n], err, p)
	}
}

// readEnd wants the end of the stream, twice.
func readEnd(t *testing.T, c *Conn) {
	t.Helper()
	for range 2 {
		if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Fatalf("Read returned %d, %v, want 0, EOF", n, err)
		}
	}
}

// result is what a Read or a Write returned.
type result struct {
	n   int
	err error
}

// start runs a Read or a Write and waits until it blocks or returns.
func start(call func([]byte) (int, error), p []byte) <-chan result {
	done := make(chan result, 1)
	go func() {
		n, err := call(p)
		done <- result{n, err}
	}()
	synctest.Wait()
	return done
}

// blocked wants a call not to have returned.
func blocked(t *testing.T, done <-chan result) {
	t.Helper()
	synctest.Wait()
	if len(done) > 0 {
		t.Fatalf("the call is not blocked: %+v", <-done)
	}
}

// want compares with what the call should have returned.
func (r result) want(t *testing.T, n int, target error) {
	t.Helper()
	if r.n != n || !errors.Is(r.err, target) {
		t.Fatalf("the call returned %d, %v, want %d, %v", r.n, r.err, n, target)
	}
	if target == nil || target == io.EOF {
		return
	}
	var failure *net.OpError
	if !errors.As(r.err, &failure) || !strings.Contains(r.err.Error(), " mem mem:") {
		t.Fatalf("%v is not an error of the network", r.err)
	}
}

func read(c *Conn) result {
	n, err := c.Read(make([]byte, 4))
	return result{n, err}
}

func writeOne(c *Conn) result {
	n, err := c.Write([]byte{1})
	return result{n, err}
}
