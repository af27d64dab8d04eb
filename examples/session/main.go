// Session shows commands that survive a lost connection: a stream goes on where it was,
// and a payment that is under way is done once.
//
//	go run ./examples/session
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/server"
)

// Till is the receiver.
type Till struct {
	mu       sync.Mutex
	payments map[base.ID]int // by the command's ID, which stays the same if it comes again
	paying   chan struct{}   // for this example: a payment has begun
}

// Pay takes a while.
type Pay struct{ Cents int }

// Run runs at the server.
func (p Pay) Run(ctx context.Context, t *Till) (int, error) {
	id, _ := base.CommandID(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.payments[id] += p.Cents
	t.paying <- struct{}{}
	time.Sleep(50 * time.Millisecond)
	return t.payments[id], nil
}

// Count counts.
type Count struct{ To int }

// Stream runs at the server.
func (c Count) Stream(_ context.Context, _ *Till, send func(int) error) error {
	for n := range c.To {
		if err := send(n + 1); err != nil {
			return err
		}
	}
	return nil
}

// cable dials, and can be pulled.
type cable struct {
	dial client.Dialer
	mu   sync.Mutex // protects conn
	conn net.Conn
}

func (c *cable) Dial(ctx context.Context) (net.Conn, error) {
	conn, err := c.dial(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = conn
	return conn, err
}

func (c *cable) pull() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn.Close()
}

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(w io.Writer) error {
	set := codec.NewSet[*Till](json.Format{})
	codec.Unary[Pay](set, 1)
	codec.Stream[Count](set, 2)

	listener, err := net.Listen("tcp", "127.0.0.1:0") // a free port
	if err != nil {
		return err
	}
	till := &Till{payments: make(map[base.ID]int), paying: make(chan struct{}, 1)}
	s := server.NewDef(set.Server(), till)
	go s.Serve(listener) // until Close
	defer s.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	line := &cable{dial: client.TCP(listener.Addr().String())}
	c, err := client.NewReconnect(ctx, set.Client(), line.Dial, client.Conf{Session: true})
	if err != nil {
		return err
	}
	defer c.Close()

	// A stream is cut, and goes on after the last result that has come.
	sum := 0
	for n, err := range cmdstream.Results(ctx, c, Count{To: 1000}) {
		if err != nil {
			return err
		}
		if n == 500 {
			line.pull()
		}
		sum += n
	}
	fmt.Fprintln(w, "the sum of 1 to 1000, over two connections:", sum)

	// The connection breaks while a payment is under way at the server.
	go func() {
		<-till.paying
		line.pull()
	}()
	paid, err := cmdstream.Do(ctx, c, Pay{Cents: 250})
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "cents paid:", paid)
	fmt.Fprintln(w, "connections lost:", s.Stats().SessionsResumed)
	return nil
}
