// Package mus is MUS, a format without names and with hardly a byte too many, by
// github.com/mus-format/mus-stream-go. It is a module of its own, and has two things: a
// format of a typed command set, and codecs of the command form, see [NewCodec].
//
// MUS has a serializer for each type: written by hand, put together from those of
// mus-stream-go, or generated. A [Format] is told of them:
//
//	format := mus.NewFormat(mus.For[Add](AddSer))
//	set := codec.NewSet[Calc](format)
//	codec.Unary[Add](set, 1)
//
// A serializer of a struct calls those of its fields:
//
//	var AddSer addSer
//
//	type addSer struct{}
//
//	func (addSer) Marshal(c Add, w mus.Writer) (n int, err error) {
//		if n, err = varint.Int.Marshal(c.A, w); err != nil {
//			return n, err
//		}
//		more, err := varint.Int.Marshal(c.B, w)
//		return n + more, err
//	}
//
// and so on for Unmarshal, Size and Skip: the examples have one whole. What a serializer
// leaves out is lost, unseen by anybody; its types can be changed only together with their
// serializers, at both sides at once.
//
// # Data from the other side
//
// The serializers of mus-stream-go take the memory for a string, a slice or a map as soon
// as they have read its length, and go as deep as the data says. So what comes is gone
// through by Skip first, which takes no memory, and decoded only if all that it announces
// is there, and no deeper than MaxDepth. This holds for serializers of your own as well,
// if their Skip reads exactly what their Unmarshal does. Three things it can't find:
//
//   - Elements of a slice or map that take not a single byte: their number would be read
//     and believed. A type that has elements of no size, as a []struct{}, is refused.
//   - Arrays that are read by ord.NewArraySer of mus-stream-go, which trusts a length that
//     is too small, and returns memory from behind it. A type with an array is refused,
//     see [TrustArrays]; [NewArraySer] is safe.
//   - Package pm of mus-stream-go, whose serializers keep state and mistake one type for
//     another. Do not use it here.
package mus

import (
	"fmt"
	"maps"
	"reflect"

	"github.com/mus-format/mus-stream-go"

	"github.com/cmdstream/cmdstream/internal/fields"
)

// The types of mus-stream-go that serializers are written with.
type (
	// Serializer turns values of type T into bytes and back. It is used by many
	// goroutines at once.
	Serializer[T any] = mus.Serializer[T]
	// Writer is what a Serializer writes to.
	Writer = mus.Writer
	// Reader is what a Serializer reads from. It must not be kept.
	Reader = mus.Reader
)

// Format is the format of a typed set, made by [NewFormat]. It may be used by many
// goroutines at once; its fields are to be set before.
type Format struct {
	// MaxDepth is how deep the calls of serializers may be nested when a value is received
	// whose type contains itself, or an interface. One level of data takes two calls or
	// three. It is looked at now and then, so data three times as deep may pass: it is
	// there to keep the stack small. 0, and less, means DefaultMaxDepth.
	MaxDepth int

	types map[reflect.Type]*Type
}

// NewFormat returns a format for the given types, and for those that Go has a name for:
// bool, string, []byte, and all integers (as varint) and floating-point numbers (as raw),
// unless they are among the given ones. It panics for two serializers of one type.
func NewFormat(types ...Type) Format {
	all := maps.Clone(basic)
	maps.Copy(all, byType(types...))
	return Format{types: all}
}

// Append appends v to dst. With an error, which wraps that of the serializer, it returns
// dst as it was.
func (f Format) Append(dst []byte, v any) ([]byte, error) {
	t, err := f.typeOf(v)
	if err != nil {
		return dst, err
	}
	return t.appendTo(dst, v)
}

// Unmarshal sets what v points to from data, which must be one value and nothing else. An
// error says what is wrong, or wraps that of the serializer.
func (f Format) Unmarshal(data []byte, v any) error {
	t, err := f.typeOf(v)
	if err != nil {
		return err
	}
	r := reads(data, nil)
	defer r.release()
	return t.decode(r, v, f.MaxDepth)
}

// typeOf returns the type that v points to a value of.
func (f Format) typeOf(v any) (*Type, error) {
	pointer := reflect.ValueOf(v)
	if pointer.Kind() != reflect.Pointer {
		return nil, fmt.Errorf("mus: a pointer to a value is needed, and not a %T", v)
	}
	if pointer.IsNil() {
		return nil, fmt.Errorf("mus: a pointer to a value is needed, and not a nil %T", v)
	}
	return f.find(pointer.Type().Elem())
}

func (f Format) find(t reflect.Type) (*Type, error) {
	types := f.types
	if types == nil {
		types = basic
	}
	if known := types[t]; known != nil {
		return known, nil
	}
	return nil, fmt.Errorf("mus: there is no serializer for %s: give NewFormat a mus.For[%s](…)%s", t, t, f.hint(t))
}

// hint says how a pointer's serializer is made of that of its element.
func (f Format) hint(t reflect.Type) string {
	if t.Kind() == reflect.Pointer && f.types[t.Elem()] != nil {
		return fmt.Sprintf(", such as ord.NewPtrSer of that for %s", t.Elem())
	}
	return ""
}

// Check refuses a type that has no serializer.
func (f Format) Check(t reflect.Type) error {
	_, err := f.find(t)
	return err
}

// Describe returns the fields of t, in their order, and the name of its serializer, if that
// is one of mus-stream-go: two that write other bytes have other names, and so have two that
// are put together from others, such as slices of varint.Int and of raw.Int. Checks of length,
// the zone of a time, and unsafe in place of raw, make no difference.
//
// A serializer of one's own, as every struct has one, is not seen into, wherever it stands: nor
// is one that merely wraps or calls one of mus-stream-go. So that a field is written by raw.Int
// instead of varint.Int is found for a slice of numbers, but not for a field of a struct. Where
// that changes, change the type as well, or give the command another tag.
func (f Format) Describe(t reflect.Type) string {
	described := description.Describe(t)
	if known, err := f.find(t); err == nil {
		described += " by " + known.by
	}
	return described
}

// description goes by the order of the fields as well as by their names, which is how one
// finds out that two of the same type have changed places.
var description = fields.Rules{Opaque: fields.Go.Opaque, Ordered: true}
