package server_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/server"
)

// Greeter is the receiver of the commands.
type Greeter struct {
	Greeting string
	Started  chan<- string // hears of the names
}

// Greet is a command with one result.
type Greet struct{ Name string }

// Run greets, which takes a moment.
func (g Greet) Run(_ context.Context, greeter Greeter) (string, error) {
	if greeter.Started != nil {
		greeter.Started <- g.Name
	}
	time.Sleep(10 * time.Millisecond)
	return greeter.Greeting + ", " + g.Name, nil
}

// greetings are the commands that both sides know.
func greetings() *codec.Set[Greeter] {
	set := codec.NewSet[Greeter](json.Format{})
	codec.Unary[Greet](set, 1)
	return set
}

// A server with the default Conf. Serve returns when the server was closed.
func ExampleNewDef() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	s := server.NewDef(greetings().Server(), Greeter{Greeting: "Hello"})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()

	ctx := context.Background()
	c, err := client.NewReconnect(ctx, greetings().Client(), client.TCP(l.Addr().String()), client.Conf{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	fmt.Println(cmdstream.Do(ctx, c, Greet{"world"}))

	fmt.Println(s.Close())
	fmt.Println(errors.Is(<-served, server.ErrClosed))
	// Output:
	// Hello, world <nil>
	// <nil>
	// true
}

// Shutdown lets the commands that are running end, for as long as ctx lasts.
func ExampleServer_Shutdown() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	started := make(chan string)
	s := server.NewDef(greetings().Server(), Greeter{Greeting: "Goodbye", Started: started})
	go s.Serve(l)

	ctx := context.Background()
	c, err := client.NewReconnect(ctx, greetings().Client(), client.TCP(l.Addr().String()), client.Conf{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		fmt.Println(cmdstream.Do(ctx, c, Greet{"world"}))
	}()
	<-started // the command is running

	within, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err = s.Shutdown(within)
	<-answered
	fmt.Println(err)
	// Output:
	// Goodbye, world <nil>
	// <nil>
}
