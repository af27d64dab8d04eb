package protobuf

import (
	"reflect"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/cmdstream/cmdstream/codec/reflection"
)

// JSONType describes t as ToJSON and FromJSON have it, for codec/reflection: the message alone,
// whatever it is held by, with its name in protobuf and the fields' names in JSON. All fields
// may be left out but those that proto2 requires. Messages of google.protobuf are told by their
// name alone, as "custom": most of them have a JSON of their own, a Timestamp for instance is a
// string.
func (f Format) JSONType(t reflect.Type) *reflection.Type {
	s, err := shapeOf(t)
	if err != nil {
		return reflection.TypeOf(t)
	}
	m := reflect.New(s.message.Elem()).Interface().(proto.Message)
	return make(teller).message(m.ProtoReflect().Descriptor())
}

// teller has the messages that were told, of which only the name is told again.
type teller map[protoreflect.FullName]bool

func (told teller) message(m protoreflect.MessageDescriptor) *reflection.Type {
	is := &reflection.Type{Name: string(m.FullName()), Kind: "struct"}
	if isGoogle(m) {
		is.Kind = "custom"
		return is
	}
	if told[m.FullName()] {
		return is
	}
	told[m.FullName()] = true
	for i := range m.Fields().Len() {
		field := m.Fields().Get(i)
		is.Fields = append(is.Fields, reflection.Field{
			Name: field.JSONName(), Type: told.field(field), Optional: field.Cardinality() != protoreflect.Required,
		})
	}
	return is
}

func (told teller) field(field protoreflect.FieldDescriptor) *reflection.Type {
	switch {
	case field.IsMap():
		return &reflection.Type{Kind: "map", Key: told.value(field.MapKey()), Elem: told.value(field.MapValue())}
	case field.IsList():
		return &reflection.Type{Kind: "list", Elem: told.value(field)}
	}
	return told.value(field)
}

// value describes a field's value, or one of them.
func (told teller) value(field protoreflect.FieldDescriptor) *reflection.Type {
	switch field.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return told.message(field.Message())
	case protoreflect.EnumKind: // its names, or its numbers
		is := &reflection.Type{Name: string(field.Enum().FullName()), Kind: "string"}
		if isGoogle(field.Enum()) { // null
			is.Kind = "custom"
		}
		return is
	case protoreflect.BoolKind:
		return &reflection.Type{Kind: "bool"}
	case protoreflect.StringKind:
		return &reflection.Type{Kind: "string"}
	case protoreflect.BytesKind:
		return &reflection.Type{Kind: "bytes"}
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return &reflection.Type{Kind: "float"}
	}
	return &reflection.Type{Kind: "int"}
}

func isGoogle(d protoreflect.Descriptor) bool {
	return strings.HasPrefix(string(d.FullName()), "google.protobuf.")
}
