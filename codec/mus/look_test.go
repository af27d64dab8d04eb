package mus_test

import (
	"bufio"
	"bytes"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mus-format/common-go"
	slops "github.com/mus-format/mus-stream-go/options/slice"
	strops "github.com/mus-format/mus-stream-go/options/string"
	"github.com/mus-format/mus-stream-go/ord"
	"github.com/mus-format/mus-stream-go/pm"
	"github.com/mus-format/mus-stream-go/raw"
	"github.com/mus-format/mus-stream-go/unsafe"
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
	if got := format.Describe(reflect.TypeFor[*add]()); got != `*("A" int64;"B" int64;) by ord.ptr(?)` {
		t.Errorf("got %s", got)
	}
}

// Two serializers that write a value differently are described differently, however deep
// they are in others, and two that write the same are not.
func TestDescribeSerializers(t *testing.T) {
	numbers := func(elements mus.Serializer[int], options ...slops.SetOption[int]) mus.Type {
		return mus.For[[]int](ord.NewSliceSer(elements, options...))
	}
	byKey := func(key mus.Serializer[string], value mus.Serializer[*int]) mus.Type {
		return mus.For[map[string]*int](ord.NewMapSer(key, value))
	}
	pointer := func(to mus.Serializer[int]) mus.Serializer[*int] { return ord.NewPtrSer(to) }
	array := func(elements mus.Serializer[int]) mus.Type {
		return mus.For[[2]int](mus.NewArraySer[[2]int](elements))
	}
	short := strops.WithLenSer(raw.Int)
	slice := ord.NewSliceSer[int](varint.Int)
	for _, test := range []struct {
		t    reflect.Type
		want string
		same []mus.Type // are described so
		not  []mus.Type // are not
	}{
		{
			reflect.TypeFor[int32](), "int32 by varint.int32",
			[]mus.Type{mus.For[int32](varint.Int32)},
			[]mus.Type{mus.For[int32](varint.PositiveInt32), mus.For[int32](raw.Int32), mus.For[int32](never[int32]())},
		},
		{
			reflect.TypeFor[float64](), "float64 by raw.float64",
			[]mus.Type{mus.For[float64](raw.Float64), mus.For[float64](unsafe.Float64)},
			[]mus.Type{mus.For[float64](varint.Float64)},
		},
		{
			reflect.TypeFor[byte](), "uint8 by raw.uint8",
			[]mus.Type{mus.For[byte](raw.Byte), mus.For[byte](raw.Uint8), mus.For[byte](unsafe.Byte)},
			[]mus.Type{mus.For[byte](varint.Byte)},
		},
		{
			reflect.TypeFor[bool](), "bool by ord.bool",
			[]mus.Type{mus.For[bool](ord.Bool), mus.For[bool](unsafe.Bool)},
			nil,
		},
		{
			reflect.TypeFor[string](), "string by ord.string(varint.positiveInt64)",
			[]mus.Type{
				mus.For[string](ord.String), mus.For[string](mus.String), mus.For[string](unsafe.String), mus.For(mus.TrustArrays(mus.String)),
				mus.For[string](ord.NewValidStringSer(strops.WithLenValidator(atMost(3)))),
			},
			[]mus.Type{mus.For[string](ord.NewStringSer(short)), mus.For[string](ord.NewValidStringSer(short))},
		},
		{
			reflect.TypeFor[[]int](), "[]int64 by ord.slice(varint.positiveInt64,varint.int64)",
			[]mus.Type{numbers(varint.Int), numbers(&varint.Int), mus.For[[]int](&slice), mus.For[[]int](ord.NewValidSliceSer(mus.Serializer[int](varint.Int), slops.WithLenValidator[int](atMost(3))))},
			[]mus.Type{numbers(raw.Int), numbers(varint.PositiveInt), numbers(doubled{}), numbers(varint.Int, slops.WithLenSer[int](raw.Int)), numbers(nil)},
		},
		{
			reflect.TypeFor[map[string]*int](), "map[string]*int64 by ord.map(varint.positiveInt64,ord.string(varint.positiveInt64),ord.ptr(varint.int64))",
			[]mus.Type{byKey(mus.String, pointer(varint.Int))},
			[]mus.Type{byKey(mus.String, pointer(raw.Int)), byKey(ord.NewStringSer(short), pointer(varint.Int))},
		},
		{
			reflect.TypeFor[[2]int](), "[2]int64 by ord.array(ord.slice(varint.positiveInt64,raw.int64))",
			[]mus.Type{array(raw.Int), array(unsafe.Int), mus.For(mus.TrustArrays[[2]int](ord.NewArraySer[[2]int, int](raw.Int)))},
			[]mus.Type{array(varint.Int)},
		},
		{
			reflect.TypeFor[time.Time](), "<time.Time> by raw.timeUnixMilli",
			[]mus.Type{mus.For[time.Time](raw.TimeUnixMilli), mus.For[time.Time](raw.TimeUnixMilliUTC), mus.For[time.Time](unsafe.TimeUnixMilliUTC)},
			[]mus.Type{mus.For[time.Time](raw.TimeUnixMicro), mus.For[time.Time](raw.TimeUnixUTC)},
		},
		{
			reflect.TypeFor[add](), `("A" int64;"B" int64;) by ?`,
			[]mus.Type{mus.For[add](addSer{}), mus.For[add](never[add]())},
			nil,
		},
	} {
		for _, same := range test.same {
			if got := mus.NewFormat(same).Describe(test.t); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		}
		for i, other := range test.not {
			if got := mus.NewFormat(other).Describe(test.t); got == test.want {
				t.Errorf("%s: number %d is described alike", got, i)
			}
		}
	}
}

// atMost is a check of a length.
type atMost int

func (most atMost) Validate(n int) error {
	if n > int(most) {
		return errBroken
	}
	return nil
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
