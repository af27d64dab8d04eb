package attacks

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/server"
)

// A client whose clock is decades behind its server's: it lives in simulated time, which
// begins in the year 2000, and the server does not. Deadlines and commands work all the
// same, since the wire carries no clock's time. The client's own clock stands still while
// it waits for a real socket, so that the server alone ends its command.
func TestAClientOfAnotherCentury(t *testing.T) {
	w := newWorld()
	s, err := server.New(serverCodec{}, w, server.Conf[*world]{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	const timeout = 100 * time.Millisecond
	begin := time.Now()
	synctest.Test(t, func(t *testing.T) {
		if gap := time.Until(begin); gap < 20*365*24*time.Hour {
			t.Fatalf("the clocks are only %v apart", gap)
		}
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c, err := client.New(t.Context(), clientCodec{}, nc, client.Conf{Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		if _, err := c.Do(ctx, command{Op: echo, Number: 1}); err != nil {
			t.Errorf("a command within its time: %v", err)
		}
		_, err = c.Do(ctx, command{Op: block})
		var e *base.Error
		if !errors.Is(err, base.ErrDeadline) || !errors.As(err, &e) || !e.Remote {
			t.Errorf("got %v, want the server's word that its time is over", err)
		}
	})
	if !strings.Contains(w.at.String(), " m=") {
		t.Errorf("the server counts the time left from %v, which is the wall clock's", w.at)
	}
	if took := time.Since(begin); took < timeout {
		t.Errorf("a deadline of %v has passed after %v", timeout, took)
	}
}
