package protobuf

import (
	"fmt"
	"reflect"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// shape is how a type holds its message.
type shape struct {
	message reflect.Type // a pointer to the generated struct
	name    protoreflect.FullName
	pointer bool // the type is a pointer to a struct with the message
	wrapped bool // the message is the only field of a struct
}

// message returns the message of what v points to.
func message(v any) (proto.Message, error) {
	s, value, err := open(v)
	if err != nil {
		return nil, err
	}
	if s.pointer && value.IsNil() {
		return nil, fmt.Errorf("protobuf: a nil %s can't be told from one with an empty message: send that", value.Type())
	}
	field := s.field(value)
	switch {
	case !field.IsNil():
		return field.Interface().(proto.Message), nil
	case s.wrapped:
		return nil, fmt.Errorf("protobuf: %s holds a nil %s, which can't be told from an empty message: send that", value.Type(), s.message)
	}
	return nil, fmt.Errorf("protobuf: a nil %s can't be told from an empty message: send that", s.message)
}

// field returns where value holds its message. A pointer must not be nil.
func (s shape) field(value reflect.Value) reflect.Value {
	if s.pointer {
		value = value.Elem()
	}
	if s.wrapped {
		value = value.Field(0)
	}
	return value
}

// setMessage sets what v points to to a new message, as decode fills it.
func setMessage(v any, decode func(proto.Message) error) error {
	s, value, err := open(v)
	if err != nil {
		return err
	}
	fresh := reflect.New(s.message.Elem())
	m := fresh.Interface().(proto.Message)
	if err := decode(m); err != nil {
		return failed(m, err)
	}
	if s.pointer {
		value.Set(reflect.New(value.Type().Elem()))
	}
	s.field(value).Set(fresh)
	return nil
}

// open returns what v points to.
func open(v any) (shape, reflect.Value, error) {
	pointer := reflect.ValueOf(v)
	if pointer.Kind() != reflect.Pointer {
		return shape{}, reflect.Value{}, fmt.Errorf("protobuf: a pointer to a value is needed, and not a %T", v)
	}
	if pointer.IsNil() {
		return shape{}, reflect.Value{}, fmt.Errorf("protobuf: a pointer to a value is needed, and not a nil %T", v)
	}
	s, err := shapeOf(pointer.Type().Elem())
	return s, pointer.Elem(), err
}

// shapes are those that were looked up, or an error, by type.
var shapes sync.Map

func shapeOf(t reflect.Type) (shape, error) {
	known, ok := shapes.Load(t)
	if !ok {
		s, err := look(t)
		if err != nil {
			known = err
		} else {
			known = s
		}
		shapes.Store(t, known)
	}
	if err, ok := known.(error); ok {
		return shape{}, err
	}
	return known.(shape), nil
}

// look finds out how t holds its message.
func look(t reflect.Type) (shape, error) {
	if name := nameOf(t); name != "" {
		return shape{message: t, name: name}, nil
	}
	if nameOf(reflect.PointerTo(t)) != "" {
		return shape{}, fmt.Errorf("protobuf: %s is a message by value, which must not be copied: use *%s", t, t)
	}
	s := shape{wrapped: true}
	holder := t
	if t.Kind() == reflect.Pointer {
		holder, s.pointer = t.Elem(), true
	}
	if holder.Kind() != reflect.Struct || holder.NumField() == 0 {
		return shape{}, fmt.Errorf("protobuf: %s is no message: %s", t, instead(holder))
	}
	var rest reflect.StructField
	for i := range holder.NumField() {
		field := holder.Field(i)
		switch name := nameOf(field.Type); {
		case name == "" && nameOf(reflect.PointerTo(field.Type)) != "":
			return shape{}, fmt.Errorf("protobuf: %s.%s is a message by value, which must not be copied: make it a *%s", t, field.Name, field.Type)
		case name == "":
			rest = field
		case !field.IsExported():
			return shape{}, fmt.Errorf("protobuf: %s.%s is not exported, so the message that is received can't be set: export it", t, field.Name)
		case s.message != nil:
			return shape{}, fmt.Errorf("protobuf: %s holds several messages, and one is sent: make one message of them", t)
		default:
			s.message, s.name = field.Type, name
		}
	}
	switch {
	case s.message == nil:
		return shape{}, fmt.Errorf("protobuf: %s is no message: %s", t, instead(holder))
	case rest.Name != "":
		return shape{}, fmt.Errorf("protobuf: %s.%s would be lost: only the message beside it is sent, so make it a field of that", t, rest.Name)
	}
	return s, nil
}

// nameOf returns the name of the message that t points to; "": t is no pointer to a
// generated message. Other types have a message's methods as well: those that embed one,
// and those of which a value alone knows what message it is.
func nameOf(t reflect.Type) (name protoreflect.FullName) {
	if t.Kind() != reflect.Pointer || !t.Implements(reflect.TypeFor[proto.Message]()) {
		return ""
	}
	// The methods of a nil that is embedded may panic.
	defer func() {
		if recover() != nil {
			name = ""
		}
	}()
	m := reflect.New(t.Elem()).Interface().(proto.Message).ProtoReflect()
	if reflect.TypeOf(m.Interface()) != t {
		return ""
	}
	return m.Descriptor().FullName()
}

// instead says what to use in place of t.
func instead(t reflect.Type) string {
	name := ""
	switch t.Kind() {
	case reflect.Bool:
		name = "Bool"
	case reflect.Int8, reflect.Int16, reflect.Int32:
		name = "Int32"
	case reflect.Int, reflect.Int64:
		name = "Int64"
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		name = "UInt32"
	case reflect.Uint, reflect.Uint64, reflect.Uintptr:
		name = "UInt64"
	case reflect.Float32:
		name = "Float"
	case reflect.Float64:
		name = "Double"
	case reflect.String:
		name = "String"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			name = "Bytes"
		}
	case reflect.Interface:
		return "it is an interface, and nothing says into what message to decode"
	case reflect.Struct:
		if t.NumField() == 0 {
			return "use *emptypb.Empty, or a struct that embeds it"
		}
	}
	if name == "" {
		return "use a pointer to a generated message, or a struct whose only field is one"
	}
	return fmt.Sprintf("use *wrapperspb.%sValue, or a message of your own", name)
}
