// Generated shows `cmdstream gen`: from a Go interface it writes commands, their set, and a
// client that is that interface, so a constructor decides whether a service is here or at a
// server.
//
//	go run ./examples/generated
//
// users.go has the interface and the service. users_cmdstream.go was written from it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/server"
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(w io.Writer) error {
	ctx := context.Background()

	// Before: the users are part of this program.
	if err := use(ctx, w, "local", NewLocal()); err != nil {
		return err
	}

	// After: they are at a server, which for once is in this program too.
	listener, err := net.Listen("tcp", "127.0.0.1:0") // a free port
	if err != nil {
		return err
	}
	s := server.NewDef[Users](UsersCommands(json.Format{}).Server(), NewLocal())
	go s.Serve(listener) // until Close
	defer s.Close()

	c, err := client.NewReconnect(ctx, UsersCommands(json.Format{}).Client(), client.TCP(listener.Addr().String()), client.Conf{})
	if err != nil {
		return err
	}
	defer c.Close()
	return use(ctx, w, "remote", NewUsersClient(c))
}

// use is a caller, the same for both.
func use(ctx context.Context, w io.Writer, kind string, users Users) error {
	for _, name := range []string{"ann", "bob", "anton"} {
		if _, err := users.Add(ctx, name); err != nil {
			return err
		}
	}
	for user, err := range users.List(ctx, "an") {
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s: user %d is %s\n", kind, user.ID, user.Name)
	}
	_, err := users.Get(ctx, 7)
	fmt.Fprintf(w, "%s: %v (ErrNotFound: %t)\n", kind, err, errors.Is(err, ErrNotFound))
	return nil
}
