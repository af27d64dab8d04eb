package json

import (
	"encoding"
	"encoding/json"
	"reflect"

	"github.com/cmdstream/cmdstream/internal/fields"
)

// Check refuses a type that JSON would not carry whole, and names the field:
// one that is not exported, or shares its JSON name with another; channels,
// functions and complex numbers; an interface with methods, since nothing says
// what to decode into it; a map key that is no string, integer or text.
//
// A type that marshals and unmarshals itself, as JSON or as text, is trusted,
// and a field tagged `json:"-"` is taken to be lost on purpose. Beware of a
// struct that embeds such a type, as time.Time: by Go's rules it inherits the
// methods, and its other fields are lost, unseen by Check.
func (f Format) Check(t reflect.Type) error {
	return rules.Check(t)
}

// Describe returns how JSON reads values of t: the names and types of what it has.
func (f Format) Describe(t reflect.Type) string { return rules.Describe(t) }

var rules = fields.Rules{Format: "json", Tags: []string{"json"}, Opaque: isOpaque, Key: wrongKey}

var (
	marshaler       = reflect.TypeFor[json.Marshaler]()
	unmarshaler     = reflect.TypeFor[json.Unmarshaler]()
	textMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// isOpaque tells whether t looks after itself in both directions.
func isOpaque(t reflect.Type, addressable bool) bool {
	if t == reflect.TypeFor[json.Number]() {
		return true
	}
	pointer := reflect.PointerTo(t)
	sender := t
	if addressable {
		sender = pointer
	}
	return (sender.Implements(marshaler) || sender.Implements(textMarshaler)) &&
		(pointer.Implements(unmarshaler) || pointer.Implements(textUnmarshaler))
}

// wrongKey says why t can't be the key of an object; "": it can.
func wrongKey(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return ""
	}
	if t.Implements(textMarshaler) && reflect.PointerTo(t).Implements(textUnmarshaler) {
		return ""
	}
	return "a string, an integer or a text is needed"
}
