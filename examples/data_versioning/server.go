package main

import (
	"context"
	"fmt"
	"unicode/utf8"

	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
)

// Greeter is the receiver. It knows only the commands of today.
type Greeter struct{}

// Greet greets somebody.
func (Greeter) Greet(first, last string) Greeting {
	name := first
	if last != "" {
		name += " " + last
	}
	text := fmt.Sprintf("Hello, %s!", name)
	return Greeting{Text: text, Letters: utf8.RuneCountInString(name)}
}

// Greet is the command of today. Its result has become a struct too.
type Greet struct{ FirstName, LastName string }

// Greeting is its result.
type Greeting struct {
	Text    string
	Letters int
}

// Run runs at the server.
func (c Greet) Run(_ context.Context, greeter Greeter) (Greeting, error) {
	return greeter.Greet(c.FirstName, c.LastName), nil
}

// GreetV1 is the first version of the command, as old clients send it.
type GreetV1 struct{ Name string }

// Run turns the old command into the new one, and the new result into the old.
// So there is one greeter, whatever the age of the client.
func (c GreetV1) Run(ctx context.Context, greeter Greeter) (string, error) {
	greeting, err := Greet{FirstName: c.Name}.Run(ctx, greeter)
	return greeting.Text, err
}

// oldSet is the set of yesterday.
func oldSet() *codec.Set[Greeter] {
	set := codec.NewSet[Greeter](json.Format{})
	codec.Unary[GreetV1](set, 1)
	return set
}

// newSet has both versions. A tag stays with its version for good: the old
// clients have no other name for it.
func newSet() *codec.Set[Greeter] {
	set := codec.NewSet[Greeter](json.Format{})
	codec.Unary[GreetV1](set, 1)
	codec.Unary[Greet](set, 2)
	return set
}
