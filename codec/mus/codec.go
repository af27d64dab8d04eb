package mus

import (
	"fmt"
	"reflect"

	"github.com/mus-format/mus-stream-go/varint"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// Codec makes the codecs of a client and a server whose commands have an Exec method and
// send their results themselves. It is made by [NewCodec], and may be used by many
// goroutines at once; its fields are to be set before.
type Codec[T any] struct {
	// MaxDepth is as that of a [Format].
	MaxDepth int

	commands, results parts[T]
}

// Part is a command or a result of a [Codec].
type Part[T any] struct {
	tag    uint64
	result bool
	goType reflect.Type
	size   func(v any) int
	encode func(v any, w Writer) error
	decode func(r *reader, maxDepth int) (any, error)
}

// Command is a command and its tag, which is what names it on the wire. Once in use, a tag
// keeps its command for good. It panics as [For] does.
func Command[T any, C base.Cmd[T]](tag uint64, ser Serializer[C]) Part[T] {
	return part[T](tag, ser)
}

// Result is a result and its tag, like [Command]. Commands and results may have the same
// tags.
func Result[T any, R base.Result](tag uint64, ser Serializer[R]) Part[T] {
	p := part[T](tag, ser)
	p.result = true
	return p
}

func part[T, V any](tag uint64, ser Serializer[V]) Part[T] {
	t := For(ser)
	return Part[T]{
		tag: tag, goType: t.goType,
		size: func(v any) int { return varint.Uint64.Size(tag) + ser.Size(v.(V)) },
		encode: func(v any, w Writer) error {
			if _, err := varint.Uint64.Marshal(tag, w); err != nil {
				return err
			}
			_, err := ser.Marshal(v.(V), w)
			return err
		},
		decode: func(r *reader, maxDepth int) (any, error) {
			var v V
			err := t.decode(r, &v, maxDepth)
			return v, err
		},
	}
}

// NewCodec returns a codec of the given commands and results:
//
//	codec := mus.NewCodec(
//		mus.Command[Calc](1, AddCmdSer),
//		mus.Result[Calc](1, SumSer),
//	)
//	c, err := client.NewReconnect(ctx, codec.Client(), …)
//	s := server.NewDef(codec.Server(), Calc{})
//
// On the wire a command or result is its tag (uvarint) and its value, which are the DTM and
// the data of MUS. NewCodec panics where two have the same tag or the same type.
func NewCodec[T any](all ...Part[T]) *Codec[T] {
	c := &Codec[T]{commands: newParts[T](), results: newParts[T]()}
	for _, one := range all {
		if one.result {
			c.results.add(one)
		} else {
			c.commands.add(one)
		}
	}
	return c
}

// Client returns the codec for a client.
func (c *Codec[T]) Client() *ClientCodec[T] { return &ClientCodec[T]{c} }

// Server returns the codec for a server.
func (c *Codec[T]) Server() *ServerCodec[T] { return &ServerCodec[T]{c} }

// parts are the commands, or the results.
type parts[T any] struct {
	byTag  map[uint64]Part[T]
	byType map[reflect.Type]Part[T]
}

func newParts[T any]() parts[T] {
	return parts[T]{make(map[uint64]Part[T]), make(map[reflect.Type]Part[T])}
}

func (p parts[T]) add(added Part[T]) {
	if other, ok := p.byTag[added.tag]; ok {
		panic(fmt.Sprintf("mus: %s and %s have the same tag %d", other.goType, added.goType, added.tag))
	}
	if other, ok := p.byType[added.goType]; ok {
		panic(fmt.Sprintf("mus: %s has two tags, %d and %d", added.goType, other.tag, added.tag))
	}
	p.byTag[added.tag], p.byType[added.goType] = added, added
}

// decode reads a tag and its value from r. Its errors have the given outcome.
func (p parts[T]) decode(r transport.Reader, maxDepth int, outcome base.Outcome) (any, error) {
	var in *reader
	if body, ok := r.(*transport.Body); ok {
		in = reads(body.Bytes(), nil)
	} else {
		in = reads(nil, r)
	}
	defer in.release()
	tag, _, err := varint.Uint64.Unmarshal(in)
	if err != nil {
		return nil, fmt.Errorf("mus: the tag can't be read: %w", err)
	}
	known, ok := p.byTag[tag]
	if !ok {
		return nil, &base.Error{Outcome: outcome, Code: base.ErrUnknownCmd, Message: fmt.Sprintf("the codec has nothing with the tag %d", tag)}
	}
	v, err := known.decode(in, maxDepth)
	switch {
	case err != nil:
		return nil, known.fail(outcome, base.ErrDecode, fmt.Sprintf("it (tag %d) can't be decoded", tag), err)
	case isNil(v):
		return nil, known.fail(outcome, base.ErrNilCmd, fmt.Sprintf("what came (tag %d) stands for a nil pointer", tag), nil)
	}
	return v, nil
}

// encode writes the tag of v and v. Its errors have the given outcome.
func (p parts[T]) encode(v any, w transport.Writer, outcome base.Outcome) error {
	known, ok := p.byType[reflect.TypeOf(v)]
	switch {
	case v == nil:
		return &base.Error{Outcome: outcome, Code: base.ErrNilCmd, Message: "it is nil"}
	case !ok:
		return &base.Error{Outcome: outcome, Code: base.ErrUnknownCmd, Cmd: fmt.Sprintf("%T", v), Message: "the codec has no serializer for it"}
	case isNil(v):
		return known.fail(outcome, base.ErrNilCmd, "it is a nil pointer", nil)
	}
	if err := known.encode(v, w); err != nil {
		return known.fail(outcome, base.ErrEncode, fmt.Sprintf("it (tag %d) can't be encoded", known.tag), err)
	}
	return nil
}

func (p Part[T]) fail(outcome base.Outcome, code base.Code, message string, err error) error {
	return &base.Error{Outcome: outcome, Code: code, Cmd: p.goType.String(), Message: message, Err: err}
}

// isNil tells whether v is nothing that a method could be called on.
func isNil(v any) bool {
	value := reflect.ValueOf(v)
	return value.Kind() == reflect.Pointer && value.IsNil()
}

// ClientCodec is the codec of a client. It may be used by many goroutines at once.
type ClientCodec[T any] struct{ codec *Codec[T] }

// Encode writes the tag of cmd and cmd. Its errors are a [*base.Error] with the outcome
// NotSent: [base.ErrNilCmd], [base.ErrUnknownCmd], or [base.ErrEncode], which wraps the
// error of the serializer. Then a part of cmd may have been written.
func (c *ClientCodec[T]) Encode(cmd base.Cmd[T], w transport.Writer) error {
	return c.codec.commands.encode(cmd, w, base.NotSent)
}

// Size returns how many bytes Encode writes; 0 for a command that it refuses.
func (c *ClientCodec[T]) Size(cmd base.Cmd[T]) int {
	known, ok := c.codec.commands.byType[reflect.TypeOf(cmd)]
	if !ok || isNil(cmd) {
		return 0
	}
	return known.size(cmd)
}

// Decode reads one result. Its errors are those of r, wrapped, or a [*base.Error] with the
// outcome Failed: [base.ErrUnknownCmd] for a tag that no result has, [base.ErrNilCmd] for a
// nil pointer, or [base.ErrDecode].
func (c *ClientCodec[T]) Decode(r transport.Reader) (base.Result, error) {
	v, err := c.codec.results.decode(r, c.codec.MaxDepth, base.Failed)
	if err != nil {
		return nil, err
	}
	return v.(base.Result), nil
}

// ServerCodec is the codec of a server. It may be used by many goroutines at once.
type ServerCodec[T any] struct{ codec *Codec[T] }

// Encode writes the tag of result and result. Its errors are as those of
// [ClientCodec.Encode], with the outcome Failed.
func (c *ServerCodec[T]) Encode(result base.Result, w transport.Writer) error {
	return c.codec.results.encode(result, w, base.Failed)
}

// Decode reads one command. Its errors are as those of [ClientCodec.Decode], with the
// outcome Rejected.
func (c *ServerCodec[T]) Decode(r transport.Reader) (base.Cmd[T], error) {
	v, err := c.codec.commands.decode(r, c.codec.MaxDepth, base.Rejected)
	if err != nil {
		return nil, err
	}
	return v.(base.Cmd[T]), nil
}
