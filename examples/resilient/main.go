// Resilient shows a client that gets along with a server in trouble: it reconnects, sends
// commands again that did not run, and leaves a server in peace that is not there.
//
//	go run ./examples/resilient
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/policy"
	"github.com/cmdstream/cmdstream/server"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
)

// Calc is the receiver.
type Calc struct{}

// Add is a command.
type Add struct{ A, B int }

// Run runs at the server.
func (c Add) Run(context.Context, Calc) (int, error) { return c.A + c.B, nil }

// busy is a middleware of the server that refuses the next so many commands.
func busy(left *atomic.Int32) handler.Middleware[Calc] {
	return func(next handler.Invoker[Calc]) handler.Invoker[Calc] {
		return handler.InvokerFunc[Calc](func(ctx context.Context, at time.Time, seq base.Seq, cmd base.Cmd[Calc], proxy base.Proxy) error {
			if left.Add(-1) >= 0 {
				return &base.Error{Outcome: base.Rejected, Code: base.ErrBusy, Message: "the server is busy", RetryAfter: 10 * time.Millisecond}
			}
			return next.Invoke(ctx, at, seq, cmd, proxy)
		})
	}
}

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(w io.Writer) error {
	set := codec.NewSet[Calc](json.Format{})
	codec.Unary[Add](set, 1)
	var busyFor atomic.Int32
	serve := func() (*server.Server, error) {
		return server.New(set.Server(), Calc{}, server.Conf[Calc]{Use: []handler.Middleware[Calc]{busy(&busyFor)}})
	}
	s, err := serve()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") // a free port
	if err != nil {
		return err
	}
	address := listener.Addr().String()
	go s.Serve(listener) // until Close
	defer func() { s.Close() }()

	// The client connects again by itself. What finds no connection meanwhile is told so at
	// once, by FailFast: the policies decide what is to be done.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := client.NewReconnect(ctx, set.Client(), client.TCP(address), client.Conf{
		FailFast: true, Backoff: client.Backoff{Max: 20 * time.Millisecond},
	})
	if err != nil {
		return err
	}
	defer conn.Close()

	// Retries are the outer policy: each attempt asks the breaker.
	retries := retrypolicy.NewBuilder[base.Result]().WithMaxRetries(2).WithDelay(time.Millisecond).
		OnRetry(func(e failsafe.ExecutionEvent[base.Result]) { fmt.Fprintln(w, "  again, for:", e.LastError()) })
	breaker := circuitbreaker.NewBuilder[any]().WithFailureThreshold(3).WithSuccessThreshold(1).WithDelay(time.Second).Build()
	c := cmdstream.Use(conn, policy.Retry[Calc](retries), policy.Breaker[Calc](breaker))

	return tell(ctx, w, c, breaker, events{
		busy: func() { busyFor.Store(2) },
		lost: func() {
			s.Close()
			for conn.Connected() {
				time.Sleep(time.Millisecond)
			}
		},
		back: func() (err error) {
			if s, err = serve(); err != nil {
				return err
			}
			if listener, err = net.Listen("tcp", address); err == nil {
				go s.Serve(listener)
			}
			return err
		},
	})
}

// events is what happens to the server.
type events struct {
	busy, lost func()
	back       func() error
}

// tell sends commands, and tells what becomes of them.
func tell(ctx context.Context, w io.Writer, c cmdstream.Client[Calc], breaker circuitbreaker.CircuitBreaker[any], server events) error {
	add := func(ctx context.Context, when string) {
		sum, err := cmdstream.Do(ctx, c, Add{2, 3})
		switch {
		case errors.Is(err, circuitbreaker.ErrOpen):
			fmt.Fprintf(w, "%s: %v, the circuit breaker is open\n", when, base.OutcomeOf(err))
		case err != nil:
			fmt.Fprintf(w, "%s: %v; the circuit breaker is %v\n", when, err, breaker.State())
		default:
			fmt.Fprintf(w, "%s: %d\n", when, sum)
		}
	}
	add(ctx, "all is well")
	server.busy()
	add(ctx, "the server was busy")
	server.lost()
	add(ctx, "the server is lost")

	// Who has little time is told at once. Who has more waits until the breaker lets a
	// command through, and by then the client has connected again.
	hurried, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	add(hurried, "in a hurry")
	if err := server.back(); err != nil {
		return err
	}
	add(ctx, "the server is back")
	return nil
}
