package mus_test

import (
	"bufio"
	"bytes"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/mus-format/common-go"
	"github.com/mus-format/mus-stream-go/ord"
	"github.com/mus-format/mus-stream-go/pm"
	"github.com/mus-format/mus-stream-go/raw"
	"github.com/mus-format/mus-stream-go/varint"

	"github.com/cmdstream/cmdstream/codec/mus"
)

// panicOf returns what f panics with.
func panicOf(f func()) (v any) {
	defer func() { v = recover() }()
	f()
	return nil
}

// A type or serializer by which data could do harm is refused with the path to it.
func TestRefusedTypes(t *testing.T) {
	type (
		hollow   struct{ Marks []struct{} }
		flags    struct{ ByFlag map[struct{}][0]int }
		id       [16]byte
		user     struct{ Friends map[string]*id }
		harmless struct {
			None [0]int
			Set  map[string]struct{}
		}
	)
	ids := ord.NewArraySer[id, byte](varint.Byte)
	for want, register := range map[string]func(){
		"the serializer of int is nil": func() { mus.For[int](nil) },
		"mus_test.hollow.Marks is a []struct {}, whose elements have no size: a few bytes could announce any number of them":                                                func() { mus.For(never[hollow]()) },
		"mus_test.flags.ByFlag is a map[struct {}][0]int, whose elements have no size: a few bytes could announce any number of them":                                       func() { mus.For(never[flags]()) },
		"[2]struct {} is a [2]struct {}, whose elements have no size: a few bytes could announce any number of them":                                                        func() { mus.For(mus.TrustArrays(never[[2]struct{}]())) },
		"mus_test.id is the array mus_test.id, which ord.NewArraySer of mus-stream-go does not read safely: use mus.NewArraySer, and say so by mus.TrustArrays":             func() { mus.For(ids) },
		"mus_test.user.Friends[] is the array mus_test.id, which ord.NewArraySer of mus-stream-go does not read safely: use mus.NewArraySer, and say so by mus.TrustArrays": func() { mus.For(never[user]()) },
		"the serializer of *int is one of package pm, which keeps state and is not for data from others": func() {
			there, back := common.NewPtrMap(), common.NewReversePtrMap()
			mus.For(pm.Wrap(there, back, mus.Serializer[*int](pm.NewPtrSer[int](there, back, varint.Int))))
		},
		"int has two serializers":      func() { mus.NewFormat(mus.For[int](varint.Int), mus.For[int](raw.Int)) },
		"int is no array of int":       func() { mus.NewArraySer[int, int](varint.Int) },
		"[2]int is no array of string": func() { mus.NewArraySer[[2]int, string](ord.String) },
	} {
		if got := panicOf(register); got != "mus: "+want {
			t.Errorf("got  %v\nwant mus: %s", got, want)
		}
	}
	for _, register := range []func(){
		func() { mus.For(mus.TrustArrays(never[user]())) },
		func() { mus.For(mus.NewArraySer[id](mus.Serializer[byte](varint.Byte))) },
		func() { mus.For(never[harmless]()) },
	} {
		if got := panicOf(register); got != nil {
			t.Error(got)
		}
	}
}

// never is a serializer that is not called.
func never[T any]() mus.Serializer[T] { return unused[T]{} }

type unused[T any] struct{ mus.Serializer[T] }

func TestCheck(t *testing.T) {
	for _, v := range values() {
		if err := format.Check(reflect.TypeOf(v).Elem()); err != nil {
			t.Errorf("%T: %v", v, err)
		}
	}
	if err := format.Check(reflect.TypeFor[celsius]()); err == nil || err.Error() != "mus: there is no serializer for mus_test.celsius: give NewFormat a mus.For[mus_test.celsius](…)" {
		t.Errorf("got %v", err)
	}
}

type celsius float64

// A description changes with what is on the wire, as far as it can be known.
func TestDescribe(t *testing.T) {
	type one struct {
		A int
		B string
	}
	type renamed struct {
		A int
		B string
	}
	type turned struct {
		B string
		A int
	}
	describe := func(t reflect.Type) string { return format.Describe(t) }
	if a, b := describe(reflect.TypeFor[one]()), describe(reflect.TypeFor[renamed]()); a != b {
		t.Errorf("the name of the type counts: %s, %s", a, b)
	}
	if a, b := describe(reflect.TypeFor[one]()), describe(reflect.TypeFor[turned]()); a == b {
		t.Errorf("the order of the fields does not count: %s", a)
	}
	fixed := mus.NewFormat(mus.For[int](raw.Int)).Describe(reflect.TypeFor[int]())
	if variable := describe(reflect.TypeFor[int]()); fixed == variable {
		t.Errorf("how an int is written does not count: %s", fixed)
	}
	if got := format.Describe(reflect.TypeFor[*add]()); got != "*{A int64;B int64;}" {
		t.Errorf("got %s", got)
	}
}

// The bytes of the package's own serializers are those of mus-stream-go.
func TestSerializers(t *testing.T) {
	long := strings.Repeat("long ", 100)
	same(t, mus.String, mus.Serializer[string](ord.String), "")
	same(t, mus.String, mus.Serializer[string](ord.String), long)
	same(t, mus.Bytes, mus.Serializer[[]byte](ord.ByteSlice), []byte(long))
	same(t, arraySer, mus.Serializer[[3]uint16](ord.NewArraySer[[3]uint16, uint16](raw.Uint16)), [3]uint16{1, 2, 3})
}

func same[T any](t *testing.T, ours, theirs mus.Serializer[T], v T) {
	var a, b bytes.Buffer
	n, err := ours.Marshal(v, &a)
	if _, err := theirs.Marshal(v, &b); err != nil {
		t.Fatal(err)
	}
	if err != nil || n != a.Len() || n != ours.Size(v) || !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Errorf("%T: %d bytes %x, %v; want %x", v, n, a.Bytes(), err, b.Bytes())
	}
	for name, r := range map[string]mus.Reader{
		"bytes": bytes.NewReader(a.Bytes()), "bufio": bufio.NewReaderSize(bytes.NewReader(a.Bytes()), 16),
	} {
		if skipped, err := ours.Skip(r); skipped != n || err != nil {
			t.Errorf("%T from %s: skipped %d of %d, %v", v, name, skipped, n, err)
		}
		if _, err := r.ReadByte(); err != io.EOF {
			t.Errorf("%T from %s: something is left", v, name)
		}
	}
	for cut := range a.Len() {
		if _, err := ours.Skip(bytes.NewReader(a.Bytes()[:cut])); err == nil {
			t.Errorf("%T: %d of %d bytes were skipped", v, cut, n)
		}
		if _, _, err := ours.Unmarshal(bytes.NewReader(a.Bytes()[:cut])); err == nil {
			t.Errorf("%T: %d of %d bytes were read", v, cut, n)
		}
	}
	if got, read, err := ours.Unmarshal(&a); read != n || err != nil || !reflect.DeepEqual(got, v) {
		t.Errorf("got %v (%d bytes), %v", got, read, err)
	}
}
