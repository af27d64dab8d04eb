// Group shows several servers as one client: commands take turns, a server that is
// lost is left out until it is back, and the commands of a key go to one server.
//
//	go run ./examples/group
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/group"
	"github.com/cmdstream/cmdstream/server"
)

// Server is the receiver: it knows its name.
type Server string

// Name is a command that asks for it.
type Name struct{}

// Run runs at a server.
func (Name) Run(_ context.Context, s Server) (string, error) { return string(s), nil }

// Cart is a command that works on a user's cart, of which a server may have a copy in its
// memory: all commands of a user had better go to one server.
type Cart struct{ User string }

// Key tells a sticky group where the command belongs.
func (c Cart) Key() string { return c.User }

// Run runs at a server.
func (c Cart) Run(_ context.Context, s Server) (string, error) { return string(s), nil }

func newSet() *codec.Set[Server] {
	set := codec.NewSet[Server](json.Format{})
	codec.Unary[Name](set, 1)
	codec.Unary[Cart](set, 2)
	return set
}

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(w io.Writer) error {
	set := newSet()
	names := []string{"one", "two", "three"}
	addresses, servers := make(map[string]string), make(map[string]*server.Server)
	for _, name := range names {
		listener, err := net.Listen("tcp", "127.0.0.1:0") // a free port
		if err != nil {
			return err
		}
		addresses[name] = listener.Addr().String()
		servers[name] = server.NewDef(set.Server(), Server(name))
		go servers[name].Serve(listener) // until Close
		defer func() { servers[name].Close() }()
	}

	// The callback hears of each step of each member.
	states := make(chan client.State, 10)
	ctx := context.Background()
	g, err := group.New(ctx, set.Client(), group.Conf{
		Servers: group.Static(addresses["one"], addresses["two"], addresses["three"]),
		StateCallback: func(_ string, change client.StateChange) {
			if change.Attempt == 0 {
				states <- change.State
			}
		},
	})
	if err != nil {
		return err
	}
	defer g.Close()
	for range names {
		<-states // New is content with the first one that is connected
	}

	ask := func(when string) error {
		answers := make(map[string]int)
		for range 6 {
			name, err := cmdstream.Do(ctx, g, Name{})
			if err != nil {
				return err
			}
			answers[name]++
		}
		fmt.Fprintln(w, when+":", answers)
		return nil
	}
	if err := ask("all there"); err != nil {
		return err
	}
	servers["two"].Close()
	<-states
	if err := ask("two is lost"); err != nil {
		return err
	}
	servers["two"] = server.NewDef(set.Server(), Server("two"))
	go servers["two"].ListenAndServe(addresses["two"])
	<-states
	if err := ask("two is back"); err != nil {
		return err
	}
	return carts(ctx, w, set, addresses)
}

// carts sends commands that have a key, over two groups, as two programs would.
func carts(ctx context.Context, w io.Writer, set *codec.Set[Server], addresses map[string]string) error {
	where := make(map[string]string)
	for _, order := range [][]string{{"one", "two", "three"}, {"three", "one", "two"}} {
		connected := make(chan struct{}, 10)
		g, err := group.New(ctx, set.Client(), group.Conf{
			Servers:       group.Static(addresses[order[0]], addresses[order[1]], addresses[order[2]]),
			Strategy:      group.Sticky,
			StateCallback: func(string, client.StateChange) { connected <- struct{}{} },
		})
		if err != nil {
			return err
		}
		defer g.Close()
		for range order {
			<-connected
		}
		for i := range 100 {
			user := fmt.Sprint("user-", i)
			name, err := cmdstream.Do(ctx, g, Cart{user})
			if err != nil {
				return err
			}
			if before, known := where[user]; known && before != name {
				return fmt.Errorf("the cart of %s is at %s and at %s", user, before, name)
			}
			where[user] = name
		}
	}
	fmt.Fprintln(w, "each of", len(where), "carts is at one server, for both programs")
	return nil
}
