package main

import (
	"github.com/mus-format/mus-stream-go/ord"

	"github.com/cmdstream/cmdstream/codec/mus"
)

// namesSer is put together from serializers that there are.
var namesSer = ord.NewSliceSer[string](mus.String)

// greetSer is the serializer of Greet: that of one field after the other.
type greetSer struct{}

func (greetSer) Marshal(c Greet, w mus.Writer) (n int, err error) {
	n, err = namesSer.Marshal(c.Names, w)
	if err != nil {
		return n, err
	}
	more, err := ord.Bool.Marshal(c.Loud, w)
	return n + more, err
}

func (greetSer) Unmarshal(r mus.Reader) (c Greet, n int, err error) {
	c.Names, n, err = namesSer.Unmarshal(r)
	if err != nil {
		return c, n, err
	}
	var more int
	c.Loud, more, err = ord.Bool.Unmarshal(r)
	return c, n + more, err
}

func (greetSer) Size(c Greet) int { return namesSer.Size(c.Names) + ord.Bool.Size(c.Loud) }

// Skip reads what Unmarshal does: it is how a command is looked through before any
// memory is taken for it.
func (greetSer) Skip(r mus.Reader) (n int, err error) {
	n, err = namesSer.Skip(r)
	if err != nil {
		return n, err
	}
	more, err := ord.Bool.Skip(r)
	return n + more, err
}

// greetCmdSer is the serializer of GreetCmd.
type greetCmdSer struct{ greetSer }

func (s greetCmdSer) Marshal(c GreetCmd, w mus.Writer) (int, error) {
	return s.greetSer.Marshal(c.Greet, w)
}

func (s greetCmdSer) Unmarshal(r mus.Reader) (GreetCmd, int, error) {
	c, n, err := s.greetSer.Unmarshal(r)
	return GreetCmd{c}, n, err
}

func (s greetCmdSer) Size(c GreetCmd) int { return s.greetSer.Size(c.Greet) }

// greetingSer is the serializer of Greeting.
type greetingSer struct{}

func (greetingSer) Marshal(g Greeting, w mus.Writer) (int, error) {
	return mus.String.Marshal(string(g), w)
}

func (greetingSer) Unmarshal(r mus.Reader) (Greeting, int, error) {
	text, n, err := mus.String.Unmarshal(r)
	return Greeting(text), n, err
}

func (greetingSer) Size(g Greeting) int            { return mus.String.Size(string(g)) }
func (greetingSer) Skip(r mus.Reader) (int, error) { return mus.String.Skip(r) }
