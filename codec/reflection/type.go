package reflection

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
)

// Description is what a server tells of its set.
type Description struct {
	// Format is the Go type of the set's format.
	Format string `json:"format"`
	// Reflection tells whether fields are told, and commands run by name.
	Reflection bool      `json:"reflection"`
	Commands   []Command `json:"commands"`
}

// Command is one command of a set.
type Command struct {
	Tag  uint64 `json:"tag"`
	Name string `json:"name"`
	// Kind is "unary", "stream" or "exchange".
	Kind string `json:"kind"`
	// Body are the command's fields, Input those of what an exchange is sent, and Result
	// those of a result; nil: not told.
	Body   *Type `json:"body,omitempty"`
	Input  *Type `json:"input,omitempty"`
	Result *Type `json:"result,omitempty"`
}

// Type is a Go type, as JSON has its values.
type Type struct {
	// Name is the Go type's, or for protobuf the message's; "" for one without a name.
	Name string `json:"name,omitempty"`
	// Kind is "bool", "int", "float", "string", "bytes", "list", "map", "struct",
	// "optional" (a pointer), "any", or "custom" for a type that looks after itself.
	Kind string `json:"kind"`
	// Fields are those of a struct. One that was told before, in the same command's Body, Input
	// or Result, is told by its name alone.
	Fields []Field `json:"fields,omitempty"`
	// Elem is the type of elements, of a map's values, or of what a pointer points to, and
	// Key of a map's keys.
	Elem *Type `json:"elem,omitempty"`
	Key  *Type `json:"key,omitempty"`
}

// Field is a field of a struct.
type Field struct {
	// Name is the one that JSON has.
	Name string `json:"name"`
	Type *Type  `json:"type"`
	// Optional: it is left out if it is zero.
	Optional bool `json:"optional,omitempty"`
}

// TypeOf describes a Go type.
func TypeOf(t reflect.Type) *Type { return typeOf(t, make(map[reflect.Type]bool)) }

func typeOf(t reflect.Type, told map[reflect.Type]bool) *Type {
	is := &Type{Kind: kindOf(t)}
	if t.PkgPath() != "" {
		is.Name = t.String()
	}
	if is.Kind == "custom" || told[t] {
		return is
	}
	told[t] = is.Name != "" // a type without a name can't contain itself
	switch is.Kind {
	case "list", "optional":
		is.Elem = typeOf(t.Elem(), told)
	case "map":
		is.Key, is.Elem = typeOf(t.Key(), told), typeOf(t.Elem(), told)
	case "struct":
		for _, field := range reflect.VisibleFields(t) {
			name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
			embedded := field.Anonymous && name == "" && isStruct(field.Type)
			if !field.IsExported() || embedded || field.Tag.Get("json") == "-" || len(field.Index) > 1 && hidden(t, field.Index) {
				continue
			}
			if name == "" {
				name = field.Name
			}
			is.Fields = append(is.Fields, Field{Name: name, Type: typeOf(field.Type, told), Optional: strings.Contains(options, "omit")})
		}
	}
	return is
}

// hidden tells whether a field of an embedded struct has a name before it in JSON, since
// one of the structs that embed it has.
func hidden(t reflect.Type, index []int) bool {
	for i := 1; i < len(index); i++ {
		outer := t.FieldByIndex(index[:i])
		if name, _, _ := strings.Cut(outer.Tag.Get("json"), ","); name != "" || !isStruct(outer.Type) {
			return true
		}
	}
	return false
}

// isStruct tells whether JSON has the fields of an embedded t among those of the outer struct.
func isStruct(t reflect.Type) bool {
	return t.Kind() == reflect.Struct || t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct
}

func kindOf(t reflect.Type) string {
	if pointer := reflect.PointerTo(t); t.Kind() != reflect.Pointer && t.Kind() != reflect.Interface &&
		(pointer.Implements(reflect.TypeFor[json.Marshaler]()) || pointer.Implements(reflect.TypeFor[encoding.TextMarshaler]())) {
		return "custom"
	}
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Map, reflect.Struct:
		return t.Kind().String()
	case reflect.Float32, reflect.Float64:
		return "float"
	case reflect.Array:
		return "list"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		return "list"
	case reflect.Pointer:
		return "optional"
	case reflect.Interface:
		return "any"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return "int"
	}
	return "custom"
}
