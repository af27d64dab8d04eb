package fields

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Describe returns how the format reads values of t, so that two programs can find out
// whether they read a type alike: the names, types and options of its fields, but not the
// names of its Go types, nor the order of fields where the format goes by names.
func (r Rules) Describe(t reflect.Type) string {
	d := describer{Rules: r}
	d.describe(t, true)
	return d.text.String()
}

// Go describes types for formats that say nothing of how they read them: by their fields
// in Go; a struct that hides some is described by its name.
var Go = Rules{Opaque: func(t reflect.Type, _ bool) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		if field := t.Field(i); !field.IsExported() && field.Name != "_" {
			return true
		}
	}
	return false
}}

type describer struct {
	Rules
	text  strings.Builder
	outer []reflect.Type       // that are being described
	known map[reflect.Type]int // structs that were, by the order in which they came
}

// enough is the length in bytes from which on a struct is not described twice: those that
// all refer to each other would else make a text without end. Shorter texts are the same
// whether a program has one type for two fields, or two that are alike.
const enough = 16 << 10

func (d *describer) describe(t reflect.Type, addressable bool) {
	if d.Opaque(t, addressable) {
		fmt.Fprintf(&d.text, "<%s>", t)
		return
	}
	if i := slices.Index(d.outer, t); i >= 0 { // it contains itself
		fmt.Fprintf(&d.text, "^%d", len(d.outer)-i)
		return
	}
	d.outer = append(d.outer, t)
	defer func() { d.outer = d.outer[:len(d.outer)-1] }()
	switch t.Kind() {
	case reflect.Pointer:
		d.text.WriteByte('*')
		d.describe(t.Elem(), true)
	case reflect.Slice:
		d.text.WriteString("[]")
		d.describe(t.Elem(), true)
	case reflect.Array:
		fmt.Fprintf(&d.text, "[%d]", t.Len())
		d.describe(t.Elem(), addressable)
	case reflect.Map:
		d.text.WriteString("map[")
		d.describe(t.Key(), false)
		d.text.WriteByte(']')
		d.describe(t.Elem(), false)
	case reflect.Struct:
		if n, ok := d.known[t]; ok && d.text.Len() > enough {
			fmt.Fprintf(&d.text, "#%d", n)
			return
		}
		if d.known == nil {
			d.known = make(map[reflect.Type]int)
		}
		if _, ok := d.known[t]; !ok {
			d.known[t] = len(d.known)
		}
		d.describeStruct(t, addressable)
	case reflect.Int: // on every machine that one meets
		d.text.WriteString("int64")
	case reflect.Uint, reflect.Uintptr:
		d.text.WriteString("uint64")
	default:
		d.text.WriteString(t.Kind().String())
	}
}

func (d *describer) describeStruct(t reflect.Type, addressable bool) {
	all := d.fieldsOf(t, addressable, nil)
	opening, closing := byte('('), byte(')')
	if !d.Ordered && !isOrdered(t, d.Tags) {
		opening, closing = '{', '}'
		slices.SortFunc(all, func(a, b described) int { return strings.Compare(a.name, b.name) })
	}
	d.text.WriteByte(opening)
	for _, f := range all {
		d.text.WriteString(strconv.Quote(f.name))
		d.text.WriteByte(' ')
		d.describe(f.t, f.addressable)
		d.text.WriteByte(';')
	}
	d.text.WriteByte(closing)
}

// described is a field as the format has it.
type described struct {
	name        string // and the options that change how it is read
	t           reflect.Type
	addressable bool
}

// fieldsOf returns the fields of t and of the structs that it embeds.
func (d *describer) fieldsOf(t reflect.Type, addressable bool, within []reflect.Type) (all []described) {
	within = append(within, t)
	for i := range t.NumField() {
		field := t.Field(i)
		tag := d.tag(field)
		if tag == "-" || field.Name == "_" {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		if inner, ok := embedded(field); ok && name == "" {
			if !slices.Contains(within, inner) {
				all = append(all, d.fieldsOf(inner, addressable || field.Type != inner, within)...)
			}
			continue
		}
		if name == "" {
			name = field.Name
		}
		for option := range strings.SplitSeq(options, ",") {
			if option != "" && option != "omitempty" && option != "omitzero" {
				name += "," + option
			}
		}
		all = append(all, described{name, field.Type, addressable})
	}
	return all
}

// isOrdered tells whether the format has the fields of t without names, in their order.
func isOrdered(t reflect.Type, tags []string) bool {
	field, ok := t.FieldByName("_")
	if !ok {
		return false
	}
	for _, tag := range tags {
		if strings.Contains(field.Tag.Get(tag), "toarray") {
			return true
		}
	}
	return false
}
