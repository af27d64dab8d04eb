package main

import (
	"context"
	"strings"
	"time"

	"github.com/cmdstream/cmdstream/base"
)

// Greeter is the receiver: the part of the server that commands work with.
type Greeter struct{ Greeting string }

func (g Greeter) Greet(name string, loud bool) string {
	text := g.Greeting + ", " + name
	if loud {
		text = strings.ToUpper(text) + "!"
	}
	return text
}

// Greet is a typed command.
type Greet struct {
	Names []string
	Loud  bool
}

// Stream runs at the server.
func (c Greet) Stream(_ context.Context, greeter Greeter, send func(string) error) error {
	for _, name := range c.Names {
		if err := send(greeter.Greet(name, c.Loud)); err != nil {
			return err
		}
	}
	return nil
}

// GreetCmd is the same in the command form: it sends its results itself.
type GreetCmd struct{ Greet }

// Exec runs at the server. An empty greeting is the last one.
func (c GreetCmd) Exec(ctx context.Context, _ time.Time, seq base.Seq, greeter Greeter, proxy base.Proxy) error {
	err := c.Stream(ctx, greeter, func(text string) error { return proxy.Send(seq, Greeting(text)) })
	if err != nil {
		return err
	}
	return proxy.Send(seq, Greeting(""))
}

// Greeting is its result.
type Greeting string

// LastOne tells whether no more follow.
func (g Greeting) LastOne() bool { return g == "" }
