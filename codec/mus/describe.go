package mus

import (
	"encoding/binary"
	"reflect"
	"strings"
)

// writtenBy names the serializer of mus-stream-go that ser is, and in brackets those that
// it is made of: ord.slice(varint.positiveInt64,raw.int32). Two with the same name write the
// same bytes. One of somebody else's is "?".
//
// The names are made from nothing but Go types, less their type arguments, so that they are
// the same in every program: those of the user's types, and of validators, are not in them.
func writtenBy(ser reflect.Value) string {
	for ser.Kind() == reflect.Interface || ser.Kind() == reflect.Pointer {
		ser = ser.Elem()
	}
	if ser.Kind() != reflect.Struct { // a nil, or somebody's own
		return "?"
	}
	t := ser.Type()
	name, isTheirs := strings.CutPrefix(t.PkgPath(), library)
	if !isTheirs && t.PkgPath() != own {
		return "?"
	}
	var parts []string
	for i := range t.NumField() {
		switch field := t.Field(i); {
		case field.Anonymous: // it adds checks, or a time zone, and no bytes
			return writtenBy(ser.Field(i))
		case strings.HasSuffix(field.Name, "Ser"):
			parts = append(parts, writtenBy(ser.Field(i)))
		}
	}
	name = pathOf(name, baseName(t))
	if len(parts) > 0 {
		name += "(" + strings.Join(parts, ",") + ")"
	}
	return name
}

// own is where this package's serializers are, each of which embeds the one whose bytes it has.
var own = reflect.TypeFor[text[string]]().PkgPath()

// baseName is a type's name without type arguments and "Ser".
func baseName(t reflect.Type) string {
	name, _, _ := strings.Cut(t.Name(), "[")
	name = strings.TrimSuffix(name, "Ser")
	switch name { // the same bytes
	case "int", "uint", "positiveInt":
		name += "64"
	case "byte":
		name = "uint8"
	}
	return name
}

// pathOf puts the package before a name: the one that has the same bytes, for package unsafe.
func pathOf(pkg, name string) string {
	if pkg == "unsafe" {
		switch {
		case name == "bool" || name == "string":
			pkg = "ord"
		case isLittleEndian: // as package raw is everywhere
			pkg = "raw"
		}
	}
	return pkg + "." + name
}

var isLittleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1
