package mus

import (
	"fmt"
	"reflect"
)

// library is where mus-stream-go has its serializers.
const library = "github.com/mus-format/mus-stream-go/"

// look tells whether data may nest values of type t without end, or why ser is refused.
func look(t reflect.Type, ser any) (nests bool, err error) {
	if ser == nil {
		return false, fmt.Errorf("mus: the serializer of %s is nil", t)
	}
	if reflect.TypeOf(ser).PkgPath() == library+"pm" {
		return false, fmt.Errorf("mus: the serializer of %s is one of package pm, which keeps state and is not for data from others", t)
	}
	_, trusted := ser.(arraysTrusted)
	w := walk{trusted: trusted, state: make(map[reflect.Type]state)}
	err = w.visit(t, t.String())
	return w.nests, err
}

// arraysTrusted is a serializer that does not read arrays by ord.NewArraySer.
type arraysTrusted interface{ arraysTrusted() }

// walk goes through the types that a type is made of.
type walk struct {
	trusted bool
	nests   bool
	state   map[reflect.Type]state
}

type state int

const (
	within state = iota + 1 // it is being visited
	done
)

func (w *walk) visit(t reflect.Type, path string) error {
	switch w.state[t] {
	case within:
		w.nests = true
		return nil
	case done:
		return nil
	}
	w.state[t] = within
	defer func() { w.state[t] = done }()
	switch t.Kind() {
	case reflect.Interface:
		w.nests = true // it may hold anything
	case reflect.Struct:
		for i := range t.NumField() {
			if err := w.visit(t.Field(i).Type, path+"."+t.Field(i).Name); err != nil {
				return err
			}
		}
	case reflect.Map:
		if t.Key().Size()+t.Elem().Size() == 0 {
			return hollow(path, t)
		}
		if err := w.visit(t.Key(), path+"[]"); err != nil {
			return err
		}
		return w.visit(t.Elem(), path+"[]")
	case reflect.Array:
		if t.Len() == 0 {
			return nil
		}
		if !w.trusted {
			return fmt.Errorf("mus: %s is the array %s, which ord.NewArraySer of mus-stream-go does not read safely: use mus.NewArraySer, and say so by mus.TrustArrays", path, t)
		}
		fallthrough
	case reflect.Slice:
		if t.Elem().Size() == 0 {
			return hollow(path, t)
		}
		return w.visit(t.Elem(), path+"[]")
	case reflect.Pointer:
		return w.visit(t.Elem(), path)
	}
	return nil
}

func hollow(path string, t reflect.Type) error {
	return fmt.Errorf("mus: %s is a %s, whose elements have no size: a few bytes could announce any number of them", path, t)
}
