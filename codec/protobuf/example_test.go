package protobuf_test

import (
	"bytes"
	"context"
	"fmt"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/protobuf"
)

// Greeter is the receiver of the command.
type Greeter struct{ Greeting string }

// Greet is a command that is made of a message, here one of those that come with protobuf.
type Greet struct{ *wrapperspb.StringValue }

// Run greets.
func (c Greet) Run(_ context.Context, greeter Greeter) (*wrapperspb.StringValue, error) {
	return wrapperspb.String(greeter.Greeting + ", " + c.Value), nil
}

func Example() {
	set := codec.NewSet[Greeter](protobuf.Format{})
	codec.Unary[Greet](set, 1)

	// What cmdstream.Do sends, and the server receives.
	cmd := base.Unary[Greeter, *wrapperspb.StringValue, Greet]{Cmd: Greet{wrapperspb.String("world")}}
	var connection bytes.Buffer
	if err := set.Client().Encode(cmd, &connection); err != nil {
		fmt.Println(err)
	}
	fmt.Printf("%q\n", connection.String())
	received, err := set.Server().Decode(&connection)
	if err != nil {
		fmt.Println(err)
	}
	greet := received.(base.Unary[Greeter, *wrapperspb.StringValue, Greet]).Cmd
	result, err := greet.Run(context.Background(), Greeter{"Hello"})
	fmt.Println(result.GetValue(), err)
	// Output:
	// "\x01\a\n\x05world"
	// Hello, world <nil>
}

// A command by value is refused, with what to use instead.
func ExampleFormat_Check() {
	defer func() { fmt.Println(recover()) }()
	set := codec.NewSet[Greeter](protobuf.Format{})
	codec.Unary[Shout](set, 1)
	// Output:
	// codec: the result of protobuf_test.Shout (tag 1): protobuf: string is no message: use *wrapperspb.StringValue, or a message of your own
}

// Shout is a command whose result is no message.
type Shout struct{ *wrapperspb.StringValue }

// Run shouts.
func (c Shout) Run(context.Context, Greeter) (string, error) { return c.Value + "!", nil }
