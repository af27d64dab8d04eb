package server_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/server"
)

// failing is a listener whose Accept fails as told, or works where that is nil,
// and notes when it was called.
type failing struct {
	*memnet.Listener
	errs  []error
	calls []time.Time
}

func (l *failing) Accept() (net.Conn, error) {
	l.calls = append(l.calls, time.Now())
	if len(l.errs) == 0 {
		return l.Listener.Accept()
	}
	err := l.errs[0]
	l.errs = l.errs[1:]
	if err == nil {
		return l.Listener.Accept()
	}
	return nil, err
}

// acceptError is an error as it comes from the net package.
func acceptError(errno syscall.Errno) error {
	return &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", errno)}
}

func TestAcceptGoesOnWithoutFileDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{}, nil)
		first := h.client()
		l := &failing{Listener: memnet.Listen()}
		for range 10 {
			l.errs = append(l.errs, acceptError(syscall.EMFILE))
		}
		served := make(chan error, 1)
		go func() { served <- h.Serve(l) }()
		h.echoes(first)
		time.Sleep(10 * s)
		settle()
		for i, want := range []time.Duration{5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000} {
			if got := l.calls[i+1].Sub(l.calls[i]); got != want*time.Millisecond {
				t.Errorf("wait %d was %v, want %v ms", i, got, want)
			}
		}
		h.l = l.Listener
		h.echoes(h.client())
		h.Close()
		if err := <-served; !errors.Is(err, server.ErrClosed) {
			t.Errorf("Serve returned %v", err)
		}
	})
}

func TestTheBackoffOfAcceptStartsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{}, nil)
		l := &failing{Listener: memnet.Listen()}
		for _, errno := range []syscall.Errno{syscall.ENFILE, syscall.ECONNABORTED, syscall.ENOBUFS} {
			l.errs = append(l.errs, fmt.Errorf("wrapped: %w", acceptError(errno)))
		}
		l.errs = append(l.errs, nil, acceptError(syscall.EMFILE))
		go h.Serve(l)
		time.Sleep(s)
		h.l = l.Listener
		h.client()
		time.Sleep(s)
		settle()
		if n := len(l.calls); n != 6 || l.calls[5].Sub(l.calls[4]) != 5*time.Millisecond {
			t.Errorf("%d calls, at %v", n, l.calls)
		}
	})
}

func TestCloseEndsTheBackoffOfAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{}, nil)
		l := &failing{Listener: memnet.Listen()}
		for range 100 {
			l.errs = append(l.errs, acceptError(syscall.EMFILE))
		}
		served := make(chan error, 1)
		go func() { served <- h.Serve(l) }()
		time.Sleep(10 * s)
		began := time.Now()
		h.Close()
		if err := <-served; !errors.Is(err, server.ErrClosed) || time.Since(began) != 0 {
			t.Errorf("Serve returned %v after %v", err, time.Since(began))
		}
	})
}

// One listener's end is not the server's.
func TestAListenerThatFailsForGood(t *testing.T) {
	broken := errors.New("broken")
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{}, nil)
		l := &failing{Listener: memnet.Listen(), errs: []error{acceptError(syscall.EMFILE), broken}}
		if err := h.Serve(l); err != broken {
			t.Errorf("Serve returned %v", err)
		}
		if _, err := l.Listener.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the listener is open: %v", err)
		}
		h.echoes(h.client())
		h.l.Close() // by the user, behind the server's back
		h.expectServed(net.ErrClosed)
	})
}

func TestTwoListeners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{WorkersCount: 2}, nil)
		first, l := h.l, memnet.Listen()
		served := make(chan error, 1)
		go func() { served <- h.Serve(l) }()
		settle()
		h.echoes(h.client())
		h.l = l
		h.echoes(h.client())
		if hello := sayHello(t, h.dial()); hello.Status == 0 {
			t.Error("the places are not counted for both together")
		}
		h.Close()
		h.expectServed(server.ErrClosed)
		if err := <-served; !errors.Is(err, server.ErrClosed) {
			t.Errorf("Serve returned %v", err)
		}
		for _, l := range []*memnet.Listener{first, l} {
			if _, err := l.Dial(t.Context()); err == nil {
				t.Error("a listener is open")
			}
		}
	})
}

func TestListenAndServe(t *testing.T) {
	if err := server.NewDef[World](serverCodec{}, World{}).ListenAndServe("no such address"); err == nil {
		t.Error("it returned nil")
	}
	s := server.NewDef[World](serverCodec{}, World{})
	served := make(chan error)
	go func() { served <- s.ListenAndServe("localhost:0") }()
	s.Close()
	if err := <-served; !errors.Is(err, server.ErrClosed) {
		t.Errorf("it returned %v", err)
	}
	if err := s.ListenAndServe("localhost:0"); !errors.Is(err, server.ErrClosed) {
		t.Errorf("after Close it returned %v", err)
	}
}

func TestNoFirstClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{FirstConnTimeout: 5 * s}, nil)
		time.Sleep(5*s - 10*time.Millisecond)
		select {
		case err := <-h.served:
			t.Fatal(err)
		default:
		}
		time.Sleep(10 * time.Millisecond)
		h.expectServed(server.ErrNoClient)
		if err := h.Serve(memnet.Listen()); !errors.Is(err, server.ErrNoClient) {
			t.Errorf("Serve returned %v then", err)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{FirstConnTimeout: 5 * s}, nil)
		time.Sleep(4 * s)
		h.client().Close()
		time.Sleep(time.Hour)
		h.echoes(h.client())
	})
}

// late is a listener whose Accept returns one more connection when it is closed.
type late struct {
	*memnet.Listener
	conn net.Conn
}

func (l *late) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil && l.conn != nil {
		conn, l.conn, err = l.conn, nil, nil
	}
	return conn, err
}

func TestAConnectionThatComesWithTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, server.Conf[World]{}, nil)
		near, far := memnet.Pipe()
		served := make(chan error, 1)
		go func() { served <- h.Serve(&late{memnet.Listen(), far}) }()
		settle()
		h.Close()
		if !isClosed(near) {
			t.Error("it was not closed")
		}
		if err := <-served; !errors.Is(err, server.ErrClosed) {
			t.Errorf("Serve returned %v", err)
		}
	})
}
