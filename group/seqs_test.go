package group_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/delegate"
	"github.com/cmdstream/cmdstream/group"
	"github.com/cmdstream/cmdstream/server"
)

// seqsOf sends n commands that stay open, and returns in whose Seqs they are.
func seqsOf(t *testing.T, g *group.Group[*host], n int) map[base.Seq]int {
	t.Helper()
	const each = 1 << 44 // Seqs for each client
	open, whose := make(map[base.Seq]bool), make(map[base.Seq]int)
	for range n {
		seq, err := g.Send(wait, make(chan base.AsyncResult, 1))
		if err != nil {
			t.Fatal(err)
		}
		if open[seq] || seq <= 0 {
			t.Errorf("it is sent with the Seq %d, which another open command has, or nobody can", seq)
		}
		open[seq] = true
		whose[seq/each]++
	}
	return whose
}

// Attempts to connect that fail use up no Seqs, so that they don't run out while a server is
// down.
func TestFailedAttemptsUseUpNoSeqs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := start(t, "a", "b")
		c.refuse("b", true)
		g := c.join(group.Conf{Servers: group.Static("a", "b"), Client: client.Conf{Backoff: delegate.Backoff{First: time.Millisecond, Max: time.Millisecond}}})
		time.Sleep(5 * time.Second) // thousands of attempts
		c.refuse("b", false)
		time.Sleep(time.Second)
		if got := seqsOf(t, g, 10); len(got) != 2 || got[0] != 5 || got[1] != 5 {
			t.Errorf("the Seqs of the clients are %v", got)
		}
	})
}

// After the last of them the first come again, less those of clients that live.
func TestSeqsComeAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const last = 1<<19 - 1
		c := start(t, "a", "b", "c", "d", "e")
		var now atomic.Value
		now.Store("a b c")
		g := c.join(group.Conf{Servers: group.Lookup(func(context.Context) ([]string, error) {
			return strings.Fields(now.Load().(string)), nil
		}, time.Second)})
		if got := seqsOf(t, g, 9); got[0] != 3 || got[1] != 3 || got[2] != 3 {
			t.Fatalf("the Seqs of the first clients are %v", got)
		}
		g.Numbered(last)
		now.Store("a b c d e")
		time.Sleep(2 * time.Second)
		if got := seqsOf(t, g, 10); len(got) != 5 || got[last] != 2 || got[3] != 2 {
			t.Errorf("the Seqs of all clients are %v", got)
		}
	})
}

// A client after another has Seqs of its own: what is left of the first is not mistaken for
// what the second does.
func TestTheNextClientHasOtherSeqs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := start(t, "a")
		g := c.join(group.Conf{Servers: group.Static("a")})
		if got := seqsOf(t, g, 1); got[0] != 1 {
			t.Fatalf("the Seqs of the first client are %v", got)
		}
		c.down("a")
		c.up("a", server.Conf[*host]{ServerInfo: []byte("another")})
		time.Sleep(time.Minute) // its client has ended
		c.down("a")
		c.up("a", server.Conf[*host]{})
		time.Sleep(time.Minute)
		if got := seqsOf(t, g, 1); got[1] != 1 {
			t.Errorf("the Seqs of the second client are %v", got)
		}
	})
}
