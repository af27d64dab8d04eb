// Package fields checks types for formats that go by the exported fields of structs, as
// encoding/json does: what they would lose is found before any data is.
package fields

import (
	"fmt"
	"reflect"
	"strings"
)

// Rules are what such formats differ in.
type Rules struct {
	// Format is the name of the format, in small letters, as of its package and of the
	// struct tag that leaves a field out.
	Format string
	// Tags are the struct tags that may name a field; the first that there is counts.
	Tags []string
	// Opaque tells whether a type looks after itself in both directions. A type whose
	// values are addressable may do so by methods of its pointer.
	Opaque func(t reflect.Type, addressable bool) bool
	// Key says what is wrong with the type of a map's keys; "": nothing.
	Key func(t reflect.Type) string
	// Ordered tells that the format goes by the order of fields, which Describe keeps then.
	Ordered bool
}

// Check refuses a type that the format would not carry whole, and names the field.
func (r Rules) Check(t reflect.Type) error {
	c := checker{r, make(map[place]bool)}
	// A set hands out pointers, so methods with pointer receivers are found.
	return c.check(t, t.String(), true)
}

// place is a type and whether a value of it can be addressed where it stands:
// such formats call methods with pointer receivers only on those.
type place struct {
	t           reflect.Type
	addressable bool
}

type checker struct {
	Rules
	seen map[place]bool
}

func (c checker) check(t reflect.Type, path string, addressable bool) error {
	// A type that contains itself is checked once.
	if c.seen[place{t, addressable}] || c.Opaque(t, addressable) {
		return nil
	}
	c.seen[place{t, addressable}] = true
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		return c.errorf("%s is a %s, which %s can't carry", path, t, strings.ToUpper(c.Format))
	case reflect.Interface:
		if t.NumMethod() > 0 {
			return c.errorf("%s is the interface %s, which can't be decoded: nothing says into what type", path, t)
		}
	case reflect.Pointer:
		return c.check(t.Elem(), path, true)
	case reflect.Slice:
		return c.check(t.Elem(), path+"[]", true)
	case reflect.Array:
		return c.check(t.Elem(), path+"[]", addressable)
	case reflect.Map:
		if err := c.checkKey(t.Key(), path); err != nil {
			return err
		}
		return c.check(t.Elem(), path+"[]", false)
	case reflect.Struct:
		return c.checkStruct(t, path, addressable, fields{make(map[string]string), make(map[reflect.Type]bool)})
	}
	return nil
}

// fields is what a struct shares with those that it embeds: one space of names.
type fields struct {
	paths    map[string]string // by the name that the format has
	embedded map[reflect.Type]bool
}

// checkStruct checks the fields of t and of the structs that it embeds.
func (c checker) checkStruct(t reflect.Type, path string, addressable bool, known fields) error {
	known.embedded[t] = true
	for i := range t.NumField() {
		field := t.Field(i)
		tag := c.tag(field)
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
			return c.errorf("%s is not exported and would be lost: export it, tag it `%s:\"-\"`, or let its struct marshal and unmarshal itself", at, c.Format)
		}
		if name == "" {
			name = field.Name
		}
		if other, ok := known.paths[name]; ok {
			return c.errorf("%s and %s have the same name %q, so one would be lost", other, at, name)
		}
		known.paths[name] = at
		if err := c.check(field.Type, at, addressable); err != nil {
			return err
		}
	}
	return nil
}

// tag returns the tag that names a field; "": there is none.
func (r Rules) tag(field reflect.StructField) string {
	for _, name := range r.Tags {
		if tag, ok := field.Tag.Lookup(name); ok {
			return tag
		}
	}
	return ""
}

// checkKey refuses the keys of a map.
func (c checker) checkKey(key reflect.Type, path string) error {
	if wrong := c.Key(key); wrong != "" {
		return c.errorf("the keys of %s are of the type %s: %s", path, key, wrong)
	}
	return nil
}

func (c checker) errorf(format string, args ...any) error {
	return fmt.Errorf(c.Format+": "+format, args...)
}

// embedded returns the struct whose fields such a format takes for those of the outer
// one. A pointer to a struct that is not exported is none: it can't set it.
func embedded(field reflect.StructField) (reflect.Type, bool) {
	t := field.Type
	if t.Kind() == reflect.Pointer && field.IsExported() {
		t = t.Elem()
	}
	return t, field.Anonymous && t.Kind() == reflect.Struct
}
