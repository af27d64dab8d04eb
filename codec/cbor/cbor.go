// Package cbor is the format of a typed command set that uses CBOR (RFC 8949), by
// github.com/fxamacker/cbor. It is a module of its own.
//
//	set := codec.NewSet[Calc](cbor.Format{})
//
// What CBOR does to values, since commands and results pass through it:
//
//   - Integers and floating-point numbers keep all their bits, NaN and the infinities
//     included. In an any an integer becomes a uint64, or an int64 below zero.
//   - A time keeps its nanoseconds and its offset from UTC, and loses the name of its zone
//     and its monotonic reading: compare with Equal.
//   - Nil pointers, slices and maps stay nil; empty ones stay empty. The zero time is sent as
//     null, so a pointer to it arrives as nil.
//   - A []byte is sent as it is. A string that is not UTF-8 is refused when received: use
//     []byte for what is not text.
//   - A struct is sent as a map by the names of its fields, which a tag `cbor:"name"`, or
//     else `json:"name"`, changes. With `cbor:"1,keyasint"` a name is a number, and with
//     `_ struct{} cbor:",toarray"` the fields go without names, in their order.
//   - A field that the other side doesn't know is ignored, and one that was not sent is
//     zero. A set refuses commands whose fields differ between client and server all the
//     same; where fields may be added on one side first, use codec.Set.IgnoreFields. See
//     Format.DisallowUnknownFields.
//   - An any holds a map[any]any for a map.
package cbor

import (
	"bytes"
	"encoding"
	"math"
	"math/big"
	"reflect"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/cmdstream/cmdstream/internal/fields"
)

// Defaults of a Format.
const (
	DefaultMaxDepth    = 100
	DefaultMaxElements = 1 << 20
)

// Format is the format. The zero value works. It may be used by many goroutines
// at once.
type Format struct {
	// MaxDepth is how deep arrays, maps and tags may be nested in what is received, 4 to
	// 65535. 0 means DefaultMaxDepth; a number beyond these limits is brought within them.
	MaxDepth int
	// MaxElements is how many elements one array, or pairs one map, may have in what is
	// received, 16 or more. 0 means DefaultMaxElements.
	MaxElements int
	// DisallowUnknownFields refuses what is received with a field that the type
	// doesn't have. By default such a field is ignored.
	DisallowUnknownFields bool
}

// encoder is made once: what is sent does not depend on a Format.
var encoder = sync.OnceValues(cbor.EncOptions{
	Time: cbor.TimeRFC3339Nano, TimeTag: cbor.EncTagRequired, TextMarshaler: cbor.TextMarshalerTextString,
}.UserBufferEncMode)

// Append appends v as CBOR to dst. With an error, which is one of fxamacker/cbor, it
// returns dst as it was.
func (f Format) Append(dst []byte, v any) ([]byte, error) {
	mode, err := encoder()
	if err != nil {
		return dst, err
	}
	out := bytes.NewBuffer(dst)
	if err := mode.MarshalToBuffer(v, out); err != nil {
		return dst, err
	}
	return out.Bytes(), nil
}

// Unmarshal sets what v points to from data, which must be one item of CBOR and nothing
// else. An error is one of fxamacker/cbor.
func (f Format) Unmarshal(data []byte, v any) error {
	mode, err := f.decoder()
	if err != nil {
		return err
	}
	return mode.Unmarshal(data, v)
}

// decoders are the decoders that were made, by Format.
var decoders sync.Map

func (f Format) decoder() (cbor.DecMode, error) {
	if mode, ok := decoders.Load(f); ok {
		return mode.(cbor.DecMode), nil
	}
	depth, elements, extra := DefaultMaxDepth, DefaultMaxElements, cbor.ExtraDecErrorNone
	if f.MaxDepth > 0 {
		depth = min(max(f.MaxDepth, 4), math.MaxUint16)
	}
	if f.MaxElements > 0 {
		elements = min(max(f.MaxElements, 16), math.MaxInt32)
	}
	if f.DisallowUnknownFields {
		extra = cbor.ExtraDecErrorUnknownField
	}
	mode, err := cbor.DecOptions{
		MaxNestedLevels: depth, MaxArrayElements: elements, MaxMapPairs: elements,
		DupMapKey: cbor.DupMapKeyEnforcedAPF, ExtraReturnErrors: extra, TextUnmarshaler: cbor.TextUnmarshalerTextString,
	}.DecMode()
	if err != nil {
		return nil, err
	}
	decoders.Store(f, mode)
	return mode, nil
}

// Check refuses a type that CBOR would not carry whole, and names the field: one that is
// not exported, or shares its name with another; channels, functions and complex numbers;
// an interface with methods, since nothing says what to decode into it.
//
// A type that marshals and unmarshals itself, as CBOR, binary or text, is trusted, and a
// field tagged `cbor:"-"` is taken to be lost on purpose.
func (f Format) Check(t reflect.Type) error { return rules.Check(t) }

// Describe returns how CBOR reads values of t: the names and types of what it has.
func (f Format) Describe(t reflect.Type) string { return rules.Describe(t) }

var rules = fields.Rules{
	Format: "cbor", Tags: []string{"cbor", "json"}, Opaque: isOpaque,
	Key: func(t reflect.Type) string {
		switch t.Kind() {
		case reflect.Chan, reflect.Pointer:
			return "it would not be the same key when it arrives"
		}
		return ""
	},
}

// known are the types that the library itself looks after.
var known = map[reflect.Type]bool{
	reflect.TypeFor[time.Time](): true, reflect.TypeFor[big.Int](): true, reflect.TypeFor[cbor.RawMessage](): true,
	reflect.TypeFor[cbor.ByteString](): true, reflect.TypeFor[cbor.Tag](): true, reflect.TypeFor[cbor.RawTag](): true,
	reflect.TypeFor[cbor.SimpleValue](): true,
}

// isOpaque tells whether t looks after itself in both directions.
func isOpaque(t reflect.Type, addressable bool) bool {
	pointer := reflect.PointerTo(t)
	sender := t
	if addressable {
		sender = pointer
	}
	both := func(marshaler, unmarshaler reflect.Type) bool {
		return sender.Implements(marshaler) && pointer.Implements(unmarshaler)
	}
	return known[t] ||
		both(reflect.TypeFor[cbor.Marshaler](), reflect.TypeFor[cbor.Unmarshaler]()) ||
		both(reflect.TypeFor[encoding.BinaryMarshaler](), reflect.TypeFor[encoding.BinaryUnmarshaler]()) ||
		both(reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler]())
}
