package json

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
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
	c := checker{seen: make(map[place]bool)}
	// The set hands out pointers, so methods with pointer receivers are found.
	return c.check(t, t.String(), true)
}

// place is a type and whether a value of it can be addressed where it stands:
// encoding/json calls methods with pointer receivers only on those.
type place struct {
	t           reflect.Type
	addressable bool
}

type checker struct{ seen map[place]bool }

func (c checker) check(t reflect.Type, path string, addressable bool) error {
	// A type that contains itself is checked once.
	if c.seen[place{t, addressable}] || isOpaque(t, addressable) {
		return nil
	}
	c.seen[place{t, addressable}] = true
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		return fmt.Errorf("json: %s is a %s, which JSON can't carry", path, t)
	case reflect.Interface:
		if t.NumMethod() > 0 {
			return fmt.Errorf("json: %s is the interface %s, which can't be decoded: nothing says into what type", path, t)
		}
	case reflect.Pointer:
		return c.check(t.Elem(), path, true)
	case reflect.Slice:
		return c.check(t.Elem(), path+"[]", true)
	case reflect.Array:
		return c.check(t.Elem(), path+"[]", addressable)
	case reflect.Map:
		if !isKey(t.Key()) {
			return fmt.Errorf("json: the keys of %s are of the type %s: a string, an integer or a text is needed", path, t.Key())
		}
		return c.check(t.Elem(), path+"[]", false)
	case reflect.Struct:
		return c.checkStruct(t, path, addressable, fields{make(map[string]string), make(map[reflect.Type]bool)})
	}
	return nil
}

// fields is what a struct shares with those that it embeds: one space of names.
type fields struct {
	paths    map[string]string // by JSON name
	embedded map[reflect.Type]bool
}

// checkStruct checks the fields of t and of the structs that it embeds.
func (c checker) checkStruct(t reflect.Type, path string, addressable bool, known fields) error {
	known.embedded[t] = true
	for i := range t.NumField() {
		field := t.Field(i)
		tag := field.Tag.Get("json")
		if tag == "-" || field.Name == "_" {
			continue
		}
		at := path + "." + field.Name
		name, _, _ := strings.Cut(tag, ",")
		if inner, ok := embedded(field); ok && name == "" {
			// One that embeds itself brings nothing new.
			if known.embedded[inner] {
				continue
			}
			if err := c.checkStruct(inner, at, addressable || field.Type != inner, known); err != nil {
				return err
			}
			continue
		}
		if !field.IsExported() {
			return fmt.Errorf("json: %s is not exported and would be lost: export it, tag it `json:\"-\"`, or let its struct marshal and unmarshal itself", at)
		}
		if name == "" {
			name = field.Name
		}
		if other, ok := known.paths[name]; ok {
			return fmt.Errorf("json: %s and %s have the same name %q, so one would be lost", other, at, name)
		}
		known.paths[name] = at
		if err := c.check(field.Type, at, addressable); err != nil {
			return err
		}
	}
	return nil
}

// embedded returns the struct whose fields JSON takes for those of the outer
// one. A pointer to a struct that is not exported is none: JSON can't set it.
func embedded(field reflect.StructField) (reflect.Type, bool) {
	t := field.Type
	if t.Kind() == reflect.Pointer && field.IsExported() {
		t = t.Elem()
	}
	return t, field.Anonymous && t.Kind() == reflect.Struct
}

var (
	marshaler       = reflect.TypeFor[json.Marshaler]()
	unmarshaler     = reflect.TypeFor[json.Unmarshaler]()
	textMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// isOpaque tells whether t looks after itself in both directions.
func isOpaque(t reflect.Type, addressable bool) bool {
	pointer := reflect.PointerTo(t)
	sender := t
	if addressable {
		sender = pointer
	}
	return (sender.Implements(marshaler) || sender.Implements(textMarshaler)) &&
		(pointer.Implements(unmarshaler) || pointer.Implements(textUnmarshaler))
}

// isKey tells whether t can be the key of an object.
func isKey(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return true
	}
	return t.Implements(textMarshaler) && reflect.PointerTo(t).Implements(textUnmarshaler)
}
