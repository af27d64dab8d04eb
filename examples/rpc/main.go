// Rpc shows how a service moves to another machine: callers use a Go interface,
// and a constructor decides whether what is behind it is here or at a server.
//
//	go run ./examples/rpc
//
// service.go has the interface and the service itself. remote.go has the
// commands and the client's side. Callers, such as average below, know neither.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/cmdstream/cmdstream/server"
)

// average is a caller: it is the same for a local and a remote calculator.
func average(ctx context.Context, calculator Calculator, numbers ...int) (int, error) {
	sum := 0
	for _, number := range numbers {
		var err error
		if sum, err = calculator.Add(ctx, sum, number); err != nil {
			return 0, err
		}
	}
	return calculator.Divide(ctx, sum, len(numbers))
}

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(w io.Writer) error {
	ctx := context.Background()

	// Before: the calculator is part of this program.
	if err := use(ctx, w, "local", NewLocal()); err != nil {
		return err
	}

	// After: it runs at a server, which for once is in this program too.
	listener, err := net.Listen("tcp", "127.0.0.1:0") // a free port
	if err != nil {
		return err
	}
	s := server.NewDef(newSet().Server(), NewLocal())
	go s.Serve(listener) // until Close
	defer s.Close()

	remote, err := NewRemote(ctx, listener.Addr().String())
	if err != nil {
		return err
	}
	defer remote.Close()
	return use(ctx, w, "remote", remote)
}

func use(ctx context.Context, w io.Writer, kind string, calculator Calculator) error {
	result, err := average(ctx, calculator, 2, 4, 9)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s: the average of 2, 4 and 9 is %d\n", kind, result)

	result, err = average(ctx, calculator)
	if err == nil {
		return fmt.Errorf("%s: the average of nothing is %d", kind, result)
	}
	fmt.Fprintf(w, "%s: the average of nothing: %v\n", kind, err)
	return nil
}
