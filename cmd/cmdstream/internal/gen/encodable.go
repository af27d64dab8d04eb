package gen

import (
	"fmt"
	"go/types"
	"reflect"
	"strings"
)

// encodable finds what no format carries, as the formats' own checks do when a program
// starts. It knows nothing of what one of them alone can't, such as a key of a map.
type encodable struct {
	home *source
	seen map[types.Type]bool
}

// problem says what is wrong with a type; "": nothing.
func (s *source) problem(t types.Type) string {
	e := encodable{s, make(map[types.Type]bool)}
	if wrong := e.spelled(t); wrong != "" {
		return wrong
	}
	return e.check(t, "")
}

// spelled finds names in the expression of a type that this package may not use.
func (e encodable) spelled(t types.Type) string {
	named := func(name *types.TypeName, arguments *types.TypeList) string {
		if p := name.Pkg(); p != nil && p.Path() != e.home.Types.Path() && !name.Exported() {
			return fmt.Sprintf("names %s.%s, which its package does not export: let it export the type, or an alias of it", p.Name(), name.Name())
		}
		if strings.HasPrefix(name.Name(), "_Ctype_") {
			return fmt.Sprintf("names %s, a type of C that has no name in other files: use one of Go", name.Name())
		}
		if name.Pkg() != nil && name.Parent() != name.Pkg().Scope() {
			return fmt.Sprintf("names %s, which is declared in a function: declare it at the top", name.Name())
		}
		if p := name.Pkg(); p != nil && p.Path() == e.home.Types.Path() && !e.home.everywhere(name.Pos()) {
			return fmt.Sprintf("names %s of %s, %s", name.Name(), e.home.at(name.Pos()), notEverywhere)
		}
		for argument := range arguments.Types() {
			if wrong := e.spelled(argument); wrong != "" {
				return wrong
			}
		}
		return ""
	}
	switch t := t.(type) {
	case *types.Named:
		return named(t.Obj(), t.TypeArgs())
	case *types.Alias:
		return named(t.Obj(), t.TypeArgs())
	case *types.Map:
		if wrong := e.spelled(t.Key()); wrong != "" {
			return wrong
		}
	case *types.Struct:
		for field := range t.Fields() {
			if wrong := e.spelled(field.Type()); wrong != "" {
				return wrong
			}
		}
	case *types.Signature: // of an iterator
		for _, variables := range []*types.Tuple{t.Params(), t.Results()} {
			for v := range variables.Variables() {
				if wrong := e.spelled(v.Type()); wrong != "" {
					return wrong
				}
			}
		}
	}
	if t, ok := t.(interface{ Elem() types.Type }); ok {
		return e.spelled(t.Elem())
	}
	return ""
}

// check finds what can't be carried. at is where in the whole: a field, or "".
func (e encodable) check(t types.Type, at string) string {
	t = types.Unalias(t)
	if e.seen[t] || opaque(t) {
		return ""
	}
	e.seen[t] = true
	is := func(what string) string {
		switch {
		case at == "":
			return "is " + what
		case strings.Trim(at, "[]") == "key":
			return "has keys, each " + what
		case strings.Trim(at, "[]") == "":
			return "has elements, each " + what
		}
		return "holds " + at + ", which is " + what
	}
	switch u := t.Underlying().(type) {
	case *types.Chan:
		return is("a channel: send the values, or return an iter.Seq2[T, error]")
	case *types.Signature:
		return is("a function: send what it needs, and call it here")
	case *types.Basic:
		if u.Info()&types.IsComplex != 0 || u.Kind() == types.UnsafePointer {
			return is("a " + u.Name() + ", which no format carries: send its parts as numbers")
		}
	case *types.Interface:
		if u.NumMethods() > 0 {
			return is("the interface " + types.TypeString(t, e.qualify) + ": nothing says into what type to decode it, so send a struct")
		}
	case *types.Pointer:
		return e.check(u.Elem(), at)
	case *types.Slice:
		return e.check(u.Elem(), at+"[]")
	case *types.Array:
		return e.check(u.Elem(), at+"[]")
	case *types.Map:
		if wrong := e.check(u.Key(), at+"[key]"); wrong != "" {
			return wrong
		}
		return e.check(u.Elem(), at+"[]")
	case *types.Struct:
		return e.checkStruct(t, u, at)
	}
	return ""
}

func (e encodable) checkStruct(t types.Type, u *types.Struct, at string) string {
	if _, named := t.(*types.Named); named {
		at = types.TypeString(t, e.qualify)
	}
	for i := range u.NumFields() {
		field := u.Field(i)
		tag := reflect.StructTag(u.Tag(i))
		if tag.Get("json") == "-" || tag.Get("cbor") == "-" || field.Name() == "_" {
			continue
		}
		inner := strings.TrimPrefix(at+"."+field.Name(), ".")
		if _, isStruct := field.Type().Underlying().(*types.Struct); field.Embedded() && isStruct {
			if wrong := e.check(field.Type(), inner); wrong != "" {
				return wrong
			}
			continue
		}
		if !field.Exported() {
			return "holds " + inner + ", which is not exported: it would be lost, so export it, tag it `json:\"-\"`, or let its struct marshal and unmarshal itself"
		}
		if wrong := e.check(field.Type(), inner); wrong != "" {
			return wrong
		}
	}
	return ""
}

func (e encodable) qualify(p *types.Package) string {
	if p.Path() == e.home.Types.Path() {
		return ""
	}
	return p.Name()
}

// opaque tells whether a type looks after itself, in one of the ways that formats know.
func opaque(t types.Type) bool {
	if types.IsInterface(t) {
		return false
	}
	pointer := t
	if _, is := t.Underlying().(*types.Pointer); !is {
		pointer = types.NewPointer(t)
	}
	methods := types.NewMethodSet(pointer)
	for _, form := range []string{"JSON", "Text", "Binary", "CBOR"} {
		if methods.Lookup(nil, "Marshal"+form) != nil && methods.Lookup(nil, "Unmarshal"+form) != nil {
			return true
		}
	}
	return false
}

// kind is what a type is, in a word.
func kind(t types.Type) string {
	switch t.Underlying().(type) {
	case *types.Struct:
		return "struct"
	case *types.Signature:
		return "function"
	case *types.Map:
		return "map"
	case *types.Slice:
		return "slice"
	case *types.Pointer:
		return "pointer"
	case *types.Chan:
		return "channel"
	}
	return t.Underlying().String()
}
