package cbor_test

import (
	"bytes"
	"context"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/cmdstreamtest"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/cbor"
	"github.com/cmdstream/cmdstream/codec/formattest"
	"github.com/cmdstream/cmdstream/internal/frugal"
	"github.com/cmdstream/cmdstream/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

var (
	_ codec.Format  = cbor.Format{}
	_ codec.Checker = cbor.Format{}
)

type everything struct {
	Int      int64
	Uint     uint64
	Float    float64
	Text     string
	Bytes    []byte
	Time     time.Time
	Address  netip.Addr
	Big      *big.Int
	Pointer  *int
	Slice    []int
	Map      map[string]point
	Numbers  map[int]bool
	Array    [3]byte
	Embedded `cbor:"embedded"`
	Renamed  string `json:"other"`
	Lost     func() `cbor:"-"`
}

type Embedded struct{ Name string }

type point struct{ X, Y int }

// row goes without the names of its fields.
type row struct {
	_    struct{} `cbor:",toarray"`
	A, B int
}

type tree struct {
	Children []tree
}

func values() []any {
	return []any{
		new(int), new(42), new(uint64(math.MaxUint64)), new(int64(math.MinInt64)), new(3.5), new(math.Inf(-1)), new("ü\n"), new(""),
		new(true), &[]byte{0, 255}, &[]int{}, new([]int), &map[string]int{"a": 1}, new(map[string]int), &point{1, -2}, new(*point),
		&row{A: 1, B: 2}, new(struct{}{}), &tree{[]tree{{}, {[]tree{{}}}}}, new(any("text")),
		&everything{
			Int: math.MinInt64, Uint: math.MaxUint64, Float: math.SmallestNonzeroFloat64, Text: strings.Repeat("long ", 1000),
			Bytes: []byte{}, Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Address: netip.MustParseAddr("::1"),
			Big: new(big.Int).Lsh(big.NewInt(1), 100), Pointer: new(7), Slice: []int{1}, Map: map[string]point{"a": {1, 2}},
			Numbers: map[int]bool{-1: true}, Array: [3]byte{1, 2, 3}, Embedded: Embedded{"name"}, Renamed: "x",
		},
		&everything{Time: time.Unix(0, 0).UTC()},
	}
}

func TestFormat(t *testing.T) {
	deep := bytes.Repeat([]byte{0x81}, 101) // arrays of one element
	formattest.Run(t, formattest.Suite{
		Format: cbor.Format{}, Values: values(),
		Foreign: []any{new(make(chan int)), new(func() {}), new(complex(1, 2)), &struct{ C chan int }{make(chan int)}},
		Deep:    append(deep, 0x80), Into: new(any),
	})
}

func TestALimitOfDepth(t *testing.T) {
	nested := func(n int) []byte { return append(bytes.Repeat([]byte{0x81}, n-1), 0x80) }
	for _, test := range []struct {
		format cbor.Format
		taken  int
	}{{cbor.Format{}, 100}, {cbor.Format{MaxDepth: 10}, 10}, {cbor.Format{MaxDepth: 1}, 4}, {cbor.Format{MaxDepth: 1 << 30}, 1000}} {
		if err := test.format.Unmarshal(nested(test.taken), new(any)); err != nil {
			t.Errorf("%+v: %v", test.format, err)
		}
		if err := test.format.Unmarshal(nested(test.taken+1), new(any)); err == nil && test.taken < 1000 {
			t.Errorf("%+v: more than %d levels were taken", test.format, test.taken)
		}
	}
}

func TestALimitOfElements(t *testing.T) {
	array := func(n int) []byte { return append([]byte{0x98, byte(n)}, make([]byte, n)...) }
	for _, max := range []int{16, 1} { // which counts as 16
		format := cbor.Format{MaxElements: max}
		if err := format.Unmarshal(array(24), new([]int)); err == nil {
			t.Errorf("at most %d: 24 elements were taken", max)
		}
	}
	if err := (cbor.Format{}).Unmarshal(array(200), new([]int)); err != nil {
		t.Error(err)
	}
}

func TestRefused(t *testing.T) {
	strict := cbor.Format{DisallowUnknownFields: true}
	for name, test := range map[string]struct {
		format cbor.Format
		data   string
		into   any
	}{
		"a field too many":   {strict, "\xa1\x61Z\x01", new(point)},
		"a key twice":        {cbor.Format{}, "\xa2\x61X\x01\x61X\x02", new(point)},
		"no UTF-8":           {cbor.Format{}, "\x61\xff", new(string)},
		"a number too large": {cbor.Format{}, "\x19\x01\x00", new(uint8)},
		"another type":       {cbor.Format{}, "\x61X", new(point)},
		"nothing":            {cbor.Format{}, "", new(any)},
	} {
		if err := test.format.Unmarshal([]byte(test.data), test.into); err == nil {
			t.Errorf("%s was taken: %+v", name, reflect.ValueOf(test.into).Elem())
		}
	}
	var p point
	if err := (cbor.Format{}).Unmarshal([]byte("\xa1\x61Z\x01"), &p); err != nil {
		t.Errorf("an unknown field: %v", err)
	}
}

func TestCheck(t *testing.T) {
	for _, v := range values() {
		if err := (cbor.Format{}).Check(reflect.TypeOf(v).Elem()); err != nil {
			t.Errorf("%T: %v", v, err)
		}
	}
	for want, refused := range map[string]reflect.Type{
		"struct { a int }.a is not exported and would be lost: export it, tag it `cbor:\"-\"`, or let its struct marshal and unmarshal itself": reflect.TypeFor[struct{ a int }](),
		"struct { C chan int }.C is a chan int, which CBOR can't carry":                                                                        reflect.TypeFor[struct{ C chan int }](),
		"error is the interface error, which can't be decoded: nothing says into what type":                                                    reflect.TypeFor[error](),
		"the keys of map[*int]int are of the type *int: it would not be the same key when it arrives":                                          reflect.TypeFor[map[*int]int](),
		"struct { A int; B int \"cbor:\\\"A\\\"\" }.A and struct { A int; B int \"cbor:\\\"A\\\"\" }.B have the same name \"A\", so one would be lost": reflect.TypeFor[struct {
			A int
			B int `cbor:"A"`
		}](),
	} {
		if err := (cbor.Format{}).Check(refused); err == nil || err.Error() != "cbor: "+want {
			t.Errorf("%v:\ngot  %v\nwant cbor: %s", refused, err, want)
		}
	}
}

type calc struct{}

type add struct{ A, B int }

func (c add) Run(context.Context, calc) (int, error) { return c.A + c.B, nil }

// Through a client and a server.
func TestACommand(t *testing.T) {
	set := codec.NewSet[calc](cbor.Format{})
	codec.Unary[add](set, 1)
	c := cmdstreamtest.New(t, set.Client(), set.Server(), calc{})
	if sum, err := cmdstream.Do(t.Context(), c, add{2, 3}); sum != 5 || err != nil {
		t.Errorf("got %d, %v", sum, err)
	}
}

func FuzzUnmarshal(f *testing.F) {
	for _, v := range values() {
		data, err := (cbor.Format{}).Append(nil, v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, into := range []any{new(any), new(everything), new(row), new(tree)} {
			var err error
			frugal.Check(t, 64<<10+200*len(data), func() { err = cbor.Format{}.Unmarshal(data, into) })
			if err != nil {
				continue
			}
			again, err := cbor.Format{}.Append(nil, into)
			if err != nil {
				t.Errorf("%T: what was decoded can't be encoded: %v", into, err)
				continue
			}
			if err := (cbor.Format{}).Unmarshal(again, reflect.New(reflect.TypeOf(into).Elem()).Interface()); err != nil {
				t.Errorf("%T: what was encoded can't be decoded: %v", into, err)
			}
		}
	})
}
