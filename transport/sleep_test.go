//go:build unix

package transport

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/wire"
)

// Whatever a Wake meets, a message that is on its way as well as a reader that has just begun to
// wait, nothing is lost, and the connection lives.
func TestASleeperMayBeWokenAtAnyTime(t *testing.T) {
	for name, ends := range map[string]func(t *testing.T) (net.Conn, net.Conn){
		"TCP":  func(t *testing.T) (net.Conn, net.Conn) { return tcp(t) },
		"Unix": func(t *testing.T) (net.Conn, net.Conn) { return sockets(t, "unix", t.TempDir()+"/socket") },
		"TLS": func(t *testing.T) (net.Conn, net.Conn) {
			near, far := tcp(t)
			a, b := overTLS(t, near, far)
			return a, b
		},
	} {
		t.Run(name, func(t *testing.T) {
			near, far := ends(t)
			c, s := client(near, 0), server(far)
			defer end(c, s)
			const n = 2000
			go func() {
				for i := range n {
					body := make([]byte, 8+rand.IntN(3)*300) // some fill the small read buffer
					binary.BigEndian.PutUint64(body, uint64(i))
					c.Post(&Message{Kind: Command, Slot: i % 8, Body: body})
					if rand.IntN(3) > 0 {
						time.Sleep(time.Duration(rand.IntN(100)) * time.Microsecond)
					}
				}
			}()
			stop, stopped := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(stopped)
				for {
					select {
					case <-stop:
						return
					default:
						s.Wake()
						time.Sleep(time.Duration(rand.IntN(50)) * time.Microsecond)
					}
				}
			}()
			woken := 0
			var m Message
			for i := 0; i < n; {
				if s.Sleep() {
					woken++
					s.Shrink()
					continue
				}
				if err := s.Read(&m); err != nil {
					t.Fatalf("after %d messages: %v", i, err)
				}
				body := slices.Concat(m.Body) // whole, also where it is in pieces
				if got := binary.BigEndian.Uint64(body); got != uint64(i) {
					t.Fatalf("message %d came after %d", got, i)
				}
				i++
			}
			close(stop)
			<-stopped
			if woken == 0 {
				t.Error("nobody was woken")
			}
		})
	}
}

// lateDeadline is a net.Conn that sets a read deadline in the past only some time after something
// has been read.
type lateDeadline struct {
	net.Conn
	setting chan struct{} // closed when it was told to
	read    chan struct{} // closed when something was read
	once    *sync.Once
}

func (c lateDeadline) SetReadDeadline(t time.Time) error {
	if !t.IsZero() {
		close(c.setting)
		<-c.read
		time.Sleep(20 * time.Millisecond)
	}
	return c.Conn.SetReadDeadline(t)
}

func (c lateDeadline) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.once.Do(func() { close(c.read) })
	return n, err
}

// Something comes while a Wake is under way: the deadline that this sets does not outlast the sleep.
func TestAWakeEndsBeforeTheSleepDoes(t *testing.T) {
	near, far := memnet.Pipe()
	c := client(near, 0)
	late := lateDeadline{far, make(chan struct{}), make(chan struct{}), new(sync.Once)}
	s := server(late)
	defer end(c, s)
	s.sleep.may = true
	go func() {
		<-late.setting
		c.Post(&Message{Kind: Ping})
	}()
	go func() {
		for s.sleep.state.Load() != asleep {
			time.Sleep(time.Millisecond)
		}
		s.Wake()
	}()
	if s.Sleep() {
		t.Error("a message has come, and it was woken all the same")
	}
	var m Message
	for range 2 {
		if err := s.Read(&m); err != nil || m.Kind != Ping {
			t.Errorf("got %v, %v", m.Kind, err)
		}
		time.AfterFunc(40*time.Millisecond, func() { c.Post(&Message{Kind: Ping}) })
	}
}

// A socket says only once why it has ended.
func TestASleeperHearsWhyTheConnectionEnded(t *testing.T) {
	near, far := tcp(t)
	s := server(far)
	defer end(s)
	near.(*net.TCPConn).SetLinger(0)
	near.Close()
	if s.Sleep() {
		t.Error("it was woken")
	}
	if err := s.Read(new(Message)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection ended by %v", err)
	}
}

func TestSleepEndsWithTheConnection(t *testing.T) {
	near, far := tcp(t)
	s := server(far)
	defer end(s)
	near.Close()
	if s.Sleep() {
		t.Error("it was woken")
	}
	if err := s.Read(new(Message)); err == nil || s.Err() == nil {
		t.Errorf("read after the end: %v", err)
	}
}

// A Wake that finds nobody asleep is no Wake for who sleeps later.
func TestNobodyIsWoken(t *testing.T) {
	near, far := tcp(t)
	c, s := client(near, 0), server(far)
	defer end(c, s)
	s.Wake()
	c.Post(&Message{Kind: Ping})
	if s.Sleep() {
		t.Error("woken by what was before")
	}
	var m Message
	if err := s.Read(&m); err != nil || m.Kind != Ping {
		t.Errorf("got %v, %v", m.Kind, err)
	}
}

// Where it is not known what a deadline does, there is none.
func TestOnlySocketsAreWoken(t *testing.T) {
	near, far := tcp(t)
	secure, _ := overTLS(t, near, far)
	one, other := memnet.Pipe()
	inMemory, _ := overTLS(t, one, other)
	for _, test := range []struct {
		nc   net.Conn
		want bool
	}{
		{near, true},
		{secure, true},
		{one, false},
		{inMemory, false},
		{struct{ net.Conn }{near}, false},
		{struct{ *net.TCPConn }{near.(*net.TCPConn)}, false}, // it may read in another way
		{struct{ *tls.Conn }{secure}, false},
	} {
		if got := isSocket(test.nc); got != test.want {
			t.Errorf("%T: %v", test.nc, got)
		}
	}
}

// late is a connection that tells of its deadline beside what has come, as TLS does up to 1.2.
type late struct{ net.Conn }

func (l late) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	if err == nil {
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

// A deadline is for who waits, not for who has got something.
func TestADeadlineBesideWhatHasCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memnet.Pipe()
		c, s := client(near, 0), server(late{far})
		defer end(c, s)
		for range 3 {
			c.Post(&Message{Kind: Ping})
			var m Message
			if err := s.Read(&m); err != nil || m.Kind != Ping {
				t.Fatalf("got %v, %v", m.Kind, err)
			}
		}
	})
}

// After a Shrink the buffers of both directions are small.
func TestShrink(t *testing.T) {
	near, far := tcp(t)
	s := server(far)
	defer end(s)
	go io.Copy(io.Discard, near)
	for slot := range 8 {
		s.Post(&Message{Kind: Result, Slot: slot, Body: make([]byte, 6000)})
	}
	if !s.Settle(time.Minute) {
		t.Fatal("not written")
	}
	// Pings, and a command that the read buffer does not hold.
	frame := wire.AppendHeader(nil, wire.Header{Kind: wire.KindCommand, Length: 2 * readBuffer})
	near.Write(slices.Concat(make([]byte, 1000), frame, make([]byte, 2*readBuffer)))
	var m Message
	for range 1001 {
		if err := s.Read(&m); err != nil {
			t.Fatal(err)
		}
	}
	framed := s.transport.(*framed)
	if cap(s.out)+cap(s.spare) < 6000 || s.in == s.small || cap(framed.frame) < 2*readBuffer {
		t.Errorf("buffers of %d, %d and %d bytes, small: %v: this test shows nothing", cap(s.out), cap(s.spare), cap(framed.frame), s.in == s.small)
	}
	woken := make(chan bool)
	go func() { woken <- s.Sleep() }()
	for done := false; !done; {
		s.Wake()
		select {
		case ok := <-woken:
			if !ok {
				t.Error("not woken")
			}
			done = true
		case <-time.After(time.Millisecond):
		}
	}
	if s.Shrink(); cap(s.out)+cap(s.spare)+cap(framed.frame) > 0 || s.in != s.small {
		t.Errorf("buffers of %d, %d and %d bytes, small: %v", cap(s.out), cap(s.spare), cap(framed.frame), s.in == s.small)
	}
	near.Write([]byte{0})
	if err := s.Read(&m); err != nil || m.Kind != Ping {
		t.Errorf("got %v, %v", m.Kind, err)
	}
}
