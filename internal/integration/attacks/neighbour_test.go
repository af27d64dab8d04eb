package attacks

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
)

// neighbour is a client that does nothing wrong: a command every two milliseconds, on a
// connection of its own.
type neighbour struct {
	a     *arena
	c     *client.Client[*world]
	nc    net.Conn
	done  atomic.Int64
	stop  chan struct{}
	ended chan struct{}
}

func (a *arena) newNeighbour() *neighbour {
	nc, err := a.dial(context.Background())
	if err != nil {
		a.t.Fatal(err)
	}
	conf := client.Conf{Logger: quiet}
	if a.limits.server.Authenticate != nil {
		conf.Credentials = func(context.Context) ([]byte, error) { return []byte("neighbour"), nil }
	}
	c, err := client.New(context.Background(), clientCodec{}, nc, conf)
	if err != nil {
		a.t.Fatal(err)
	}
	n := &neighbour{a: a, c: c, nc: nc, stop: make(chan struct{}), ended: make(chan struct{})}
	go n.run()
	return n
}

// run does commands until stop, and notes those that fail, and those that take long. Of
// a server that is shut down it takes that it does not run them, and says so.
func (n *neighbour) run() {
	defer close(n.ended)
	for {
		begin := time.Now()
		err := n.do()
		took := time.Since(begin)
		switch outcome := base.OutcomeOf(err); {
		case err == nil:
			n.done.Add(1)
		case n.a.mode == draining && (outcome == base.NotSent || outcome == base.Rejected):
		default:
			n.a.fail("a neighbour's command ended as %v: %v", outcome, err)
			return
		}
		if took > slowest {
			n.a.fail("a neighbour's command took %v", took)
			return
		}
		select {
		case <-n.stop:
			return
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// do does a command; where the row says so, once more if the server is busy.
func (n *neighbour) do() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		_, err := n.c.Do(ctx, command{Op: echo, Body: []byte("hello")})
		if !n.a.row.retries || !errors.Is(err, base.ErrBusy) {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

func (n *neighbour) commands() int { return int(n.done.Load()) }

func (n *neighbour) leave() {
	close(n.stop)
	<-n.ended
	n.c.Close()
}
