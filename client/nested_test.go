package client_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/server"
)

// A command whose Exec fails because another server has refused it was not
// refused itself: it has run.
func TestACommandThatAnotherServerRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		other   serverConf
		wrapped bool
		results int // sent before the other server is asked
		custom  bool
	}{
		"is full":                         {serverConf{WorkersCount: 1}, false, 0, false},
		"is full, wrapped":                {serverConf{WorkersCount: 1}, true, 0, false},
		"is full, with an Invoker":        {serverConf{WorkersCount: 1}, false, 0, true},
		"is full, wrapped, with Invoker":  {serverConf{WorkersCount: 1}, true, 0, true},
		"is another one, after results":   {serverConf{ServerInfo: []byte("another")}, false, 1, false},
		"is another one, with an Invoker": {serverConf{ServerInfo: []byte("another")}, true, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				other := serve(t, echo, test.other)
				if test.other.WorkersCount == 1 {
					dial(t, other, client.Conf{}) // takes the one place
				}
				ran := 0
				exec := receiver(func(ctx context.Context, _ command, seq base.Seq, proxy base.Proxy) error {
					ran++
					for n := range test.results {
						if err := proxy.Send(seq, result{N: n}); err != nil {
							return err
						}
					}
					err := connect(ctx, other)
					if test.wrapped {
						err = fmt.Errorf("the other server: %w", err)
					}
					return err
				})
				conf := serverConf{}
				if test.custom {
					conf.Invoker = invoker{handler.NewInvoker(exec)}
				}
				c := dial(t, serve(t, exec, conf), client.Conf{})
				var last error
				for _, err := range c.Results(t.Context(), command{}) {
					last = err
				}
				want(t, last, base.Failed)
				if ran != 1 {
					t.Errorf("it ran %d times", ran)
				}
			})
		})
	}
}

// invoker is one of the user's, which may reject commands.
type invoker struct{ handler.Invoker[receiver] }

// connect returns why a client can't connect to l.
func connect(ctx context.Context, l *memnet.Listener) error {
	conn, err := l.Dial(ctx)
	if err != nil {
		return err
	}
	c, err := client.New[receiver](ctx, codec{}, conn, client.Conf{Logger: quiet})
	if err != nil {
		return err
	}
	return c.Close()
}

// A server and another one that its command uses drain together, as in a
// rollout: the command does not run a second time on the next server.
func TestACommandWhoseOtherServerDrainsDoesNotRunTwice(t *testing.T) {
	bubble(t, func(t *testing.T) {
		otherL, other := serveOn(t, memnet.Listen(), echo, serverConf{})
		ran := 0
		var first *server.Server
		exec := receiver(func(ctx context.Context, _ command, seq base.Seq, proxy base.Proxy) error {
			if ran++; ran > 1 {
				return proxy.Send(seq, result{Last: true})
			}
			conn, err := otherL.Dial(ctx)
			if err != nil {
				return err
			}
			c, err := client.New[receiver](ctx, codec{}, conn, client.Conf{Logger: quiet})
			if err != nil {
				return err
			}
			go other.Shutdown(context.Background())
			go first.Shutdown(context.Background())
			<-c.Done()
			time.Sleep(50 * time.Millisecond) // the client has heard that the first server drains
			return c.Err()
		})
		conf := serverConf{Invoker: invoker{handler.NewInvoker(exec)}}
		firstL, s := serveOn(t, memnet.Listen(), exec, conf)
		first = s
		next := serve(t, exec, conf)
		dials := 0
		c := redial(t, func(ctx context.Context) (net.Conn, error) {
			if dials++; dials == 1 {
				return firstL.Dial(ctx)
			}
			return next.Dial(ctx)
		}, client.Conf{})
		_, err := c.Do(t.Context(), command{})
		want(t, err, base.Failed)
		if ran != 1 {
			t.Errorf("it ran %d times", ran)
		}
	})
}
