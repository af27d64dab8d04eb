package memnet

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
)

func TestListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l net.Listener = Listen()
		defer l.Close()
		if a := l.Addr(); a.Network() != "mem" || !strings.HasPrefix(a.String(), "mem:") {
			t.Errorf("the address is %s %s", a.Network(), a)
		}
		var group sync.WaitGroup
		defer group.Wait()
		group.Go(func() {
			for range 3 {
				server, err := l.Accept()
				if err != nil {
					t.Error(err)
					return
				}
				write(t, server.(*Conn), []byte(server.RemoteAddr().String()))
				server.Close()
			}
		})
		seen := make(map[net.Addr]bool)
		for range 3 {
			client, err := l.(*Listener).Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			readExactly(t, client.(*Conn), []byte(client.LocalAddr().String()))
			readEnd(t, client.(*Conn))
			if client.RemoteAddr() != l.Addr() || seen[client.LocalAddr()] {
				t.Errorf("a connection from %v to %v", client.LocalAddr(), client.RemoteAddr())
			}
			seen[client.LocalAddr()] = true
		}
	})
}

func TestListenerClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Listen()
		first, _ := l.Dial(t.Context())
		accepted, _ := l.Accept()
		second, _ := l.Dial(t.Context())
		for range 2 {
			if err := l.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept: %v", err)
		}
		if client, err := l.Dial(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) || client != nil {
			t.Errorf("Dial returned %v, %v", client, err)
		}
		read(second.(*Conn)).want(t, 0, syscall.ECONNRESET)
		write(t, first.(*Conn), pattern(3))
		readExactly(t, accepted.(*Conn), pattern(3))
	})
}

func TestListenerCloseWakesAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Listen()
		accepting := start(func([]byte) (int, error) {
			_, err := l.Accept()
			return 0, err
		}, nil)
		blocked(t, accepting)
		l.Close()
		if r := <-accepting; !errors.Is(r.err, net.ErrClosed) {
			t.Errorf("Accept: %v", r.err)
		}
	})
}

func TestDialWithContext(t *testing.T) {
	l := Listen()
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if client, err := l.Dial(ctx); !errors.Is(err, context.Canceled) || client != nil {
		t.Errorf("Dial returned %v, %v", client, err)
	}
}

func TestOnDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := ListenSize(smallSize)
		l.OnDial(func(client, server *Conn) {
			client.SetPlan(Plan{Cut: FIN, At: 2})
			server.SetPlan(Plan{Corrupt: map[int64]byte{0: 0xff}})
			l.OnDial(nil) // the second connection is in order
		})
		for _, taken := range []int{2, 3} {
			client, _ := l.Dial(t.Context())
			server, _ := l.Accept()
			if n, _ := client.Write(pattern(3)); n != taken {
				t.Errorf("%d bytes written, want %d", n, taken)
			}
			writing := start(server.Write, pattern(smallSize+1))
			blocked(t, writing) // the size of the buffer holds
			client.Close()
			(<-writing).want(t, smallSize, syscall.EPIPE)
		}
		l.OnDial(func(client, server *Conn) { l.Close() })
		if client, err := l.Dial(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) || client != nil {
			t.Errorf("Dial returned %v, %v after a Close in OnDial", client, err)
		}
		l.OnDial(func(client, server *Conn) { t.Error("called for a closed listener") })
		l.Dial(t.Context())
	})
}
