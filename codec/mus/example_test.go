package mus_test

import (
	"bytes"
	"context"
	"fmt"

	"github.com/mus-format/mus-stream-go/varint"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/mus"
)

// Greeter is the receiver of the command.
type Greeter struct{ Greeting string }

// Greet is a typed command.
type Greet struct {
	Name  string
	Times int
}

// Run greets.
func (c Greet) Run(_ context.Context, greeter Greeter) (string, error) {
	return greeter.Greeting + ", " + c.Name, nil
}

// GreetSer is the serializer of Greet.
type GreetSer struct{}

// Marshal writes the fields, one after the other.
func (GreetSer) Marshal(c Greet, w mus.Writer) (n int, err error) {
	if n, err = mus.String.Marshal(c.Name, w); err != nil {
		return n, err
	}
	more, err := varint.Int.Marshal(c.Times, w)
	return n + more, err
}

// Unmarshal reads them.
func (GreetSer) Unmarshal(r mus.Reader) (c Greet, n int, err error) {
	if c.Name, n, err = mus.String.Unmarshal(r); err != nil {
		return c, n, err
	}
	var more int
	c.Times, more, err = varint.Int.Unmarshal(r)
	return c, n + more, err
}

// Size is how many bytes Marshal writes.
func (GreetSer) Size(c Greet) int { return mus.String.Size(c.Name) + varint.Int.Size(c.Times) }

// Skip reads what Unmarshal does, and keeps nothing.
func (GreetSer) Skip(r mus.Reader) (n int, err error) {
	if n, err = mus.String.Skip(r); err != nil {
		return n, err
	}
	more, err := varint.Int.Skip(r)
	return n + more, err
}

func Example() {
	set := codec.NewSet[Greeter](mus.NewFormat(mus.For[Greet](GreetSer{})))
	codec.Unary[Greet](set, 1)

	// What cmdstream.Do sends, and the server receives.
	cmd := base.Unary[Greeter, string, Greet]{Cmd: Greet{"world", 3}}
	var connection bytes.Buffer
	fmt.Println(set.Client().Encode(cmd, &connection))
	fmt.Printf("%q\n", connection.String())
	fmt.Println(set.Server().Decode(&connection))
	// Output:
	// <nil>
	// "\x01\a\x05world\x06"
	// {{world 3}} <nil>
}

// A type without a serializer is refused when it is registered.
func ExampleFormat_Check() {
	defer func() { fmt.Println(recover()) }()
	set := codec.NewSet[Greeter](mus.NewFormat())
	codec.Unary[Greet](set, 1)
	// Output:
	// codec: the command mus_test.Greet (tag 1): mus: there is no serializer for mus_test.Greet: give NewFormat a mus.For[mus_test.Greet](…)
}

// Commands of the command form, whose results are tagged as well.
func ExampleNewCodec() {
	codec := mus.NewCodec(
		mus.Command[calc](1, addCmdSer{}),
		mus.Result[calc](1, sumSer{}),
	)
	client, server := codec.Client(), codec.Server()
	var connection bytes.Buffer
	fmt.Println(client.Encode(addCmd{2, 3}, &connection))
	fmt.Printf("%q\n", connection.String())
	fmt.Println(server.Decode(&connection))

	fmt.Println(server.Encode(sum(5), &connection))
	fmt.Println(client.Decode(&connection))
	// Output:
	// <nil>
	// "\x01\x04\x06"
	// {2 3} <nil>
	// <nil>
	// 5 <nil>
}

// A slice may announce any number of elements. None are made before they have come.
func ExampleFormat_Unmarshal() {
	var numbers []byte
	err := mus.NewFormat().Unmarshal([]byte("\xff\xff\xff\xff\x7f"), &numbers)
	fmt.Println(err)
	// Output:
	// mus: []uint8: the data ends within the value: unexpected EOF
}
