package memnet

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// wantTimeout wants what net.Conn promises of an error after a deadline.
func wantTimeout(t *testing.T, r result, n int) {
	t.Helper()
	r.want(t, n, os.ErrDeadlineExceeded)
	var failure net.Error
	if !errors.As(r.err, &failure) || !failure.Timeout() {
		t.Fatalf("%v is not a timeout", r.err)
	}
}

func TestDeadlineInPast(t *testing.T) {
	for name, past := range map[string]time.Time{
		"now": {}, "long ago": time.Unix(1, 0), "longer ago": time.Time{}.Add(1),
	} {
		pair(t, func(t *testing.T, client, server *Conn) {
			if name == "now" {
				past = time.Now()
			}
			write(t, server, pattern(1)) // is not to be read after the deadline
			client.SetDeadline(past)
			wantTimeout(t, read(client), 0)
			wantTimeout(t, writeOne(client), 0)
			client.SetDeadline(time.Time{})
			read(client).want(t, 1, nil)
			writeOne(client).want(t, 1, nil)
		})
	}
}

func TestDeadlineInFuture(t *testing.T) {
	pair(t, func(t *testing.T, client, server *Conn) {
		for range 3 { // the timer is used again
			started := time.Now()
			client.SetReadDeadline(started.Add(time.Second))
			wantTimeout(t, read(client), 0)
			if took := time.Since(started); took != time.Second {
				t.Errorf("Read took %v, want 1s", took)
			}
			client.SetWriteDeadline(time.Now().Add(time.Second))
			wantTimeout(t, <-start(client.Write, pattern(smallSize+1)), smallSize)
			if took := time.Since(started); took != 2*time.Second {
				t.Errorf("Read and Write took %v, want 2s", took)
			}
			readExactly(t, server, pattern(smallSize))
		}
	})
}

func TestDeadlineChangesForBlockedCalls(t *testing.T) {
	pair(t, func(t *testing.T, client, server *Conn) {
		reading := start(client.Read, make([]byte, 1))
		writing := start(client.Write, pattern(smallSize+1))
		waiting := start(client.Write, pattern(1))
		client.SetDeadline(time.Now().Add(time.Second))
		time.Sleep(time.Second / 2)
		client.SetDeadline(time.Now().Add(time.Minute)) // later
		time.Sleep(2 * time.Second)
		client.SetDeadline(time.Time{}) // never
		time.Sleep(time.Hour)
		blocked(t, reading)
		blocked(t, writing)
		blocked(t, waiting)
		client.SetReadDeadline(time.Now()) // at once
		wantTimeout(t, <-reading, 0)
		blocked(t, writing)
		client.SetWriteDeadline(time.Now().Add(time.Second))
		wantTimeout(t, <-writing, smallSize)
		wantTimeout(t, <-waiting, 0)
	})
}

func TestDeadlinesAreSeparate(t *testing.T) {
	pair(t, func(t *testing.T, client, server *Conn) {
		client.SetReadDeadline(time.Now())
		writeOne(client).want(t, 1, nil)
		wantTimeout(t, read(client), 0)
		client.SetReadDeadline(time.Time{})
		client.SetWriteDeadline(time.Now())
		wantTimeout(t, writeOne(client), 0)
		write(t, server, pattern(1))
		read(client).want(t, 1, nil)
		read(server).want(t, 1, nil)
	})
}

func TestDeadlineWithoutMonotonicClock(t *testing.T) {
	pair(t, func(t *testing.T, client, server *Conn) {
		client.SetReadDeadline(time.Now().Add(time.Second).Round(0))
		started := time.Now()
		wantTimeout(t, read(client), 0)
		if took := time.Since(started); took != time.Second {
			t.Errorf("Read took %v, want 1s", took)
		}
	})
}

func TestDeadlineAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := Pipe()
		client.SetDeadline(time.Now().Add(time.Second))
		client.Close()
		(result{err: client.SetDeadline(time.Time{})}).want(t, 0, net.ErrClosed)
		time.Sleep(2 * time.Second)
		read(client).want(t, 0, net.ErrClosed)
		server.SetDeadline(time.Now())
		wantTimeout(t, read(server), 0)
		server.SetDeadline(time.Time{})
		writeOne(server).want(t, 0, syscall.EPIPE)
	})
}
