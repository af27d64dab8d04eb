package mus_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mus-format/mus-stream-go/ord"

	"github.com/cmdstream/cmdstream/codec/formattest"
	"github.com/cmdstream/cmdstream/codec/mus"
	"github.com/cmdstream/cmdstream/internal/frugal"
)

// format knows all types of these tests.
var format = mus.NewFormat(
	mus.For[add](addSer{}), mus.For[*add](pointerSer), mus.For[everything](mus.TrustArrays(everythingSer{})),
	mus.For[tree](treeSer{}), mus.For[[3]uint16](arraySer), mus.For[map[string]add](byNameSer), mus.For[[]int64](numbersSer),
)

func values() []any {
	return []any{
		new(true), new("ü\n"), new(""), new(strings.Repeat("long ", 1000)), &[]byte{0, 255}, &[]byte{},
		new(math.MinInt), new(int8(-1)), new(int16(-1)), new(int32(-1)), new(int64(math.MaxInt64)),
		new(uint(math.MaxUint)), new(uint8(255)), new(uint16(1)), new(uint32(1)), new(uint64(math.MaxUint64)),
		new(float32(1.5)), new(math.Inf(-1)),
		&add{1, -2}, new(&add{3, 4}), new(*add), &[3]uint16{1, 2, 65535}, &map[string]add{"a": {1, 2}, "": {}}, &map[string]add{}, &[]int64{1, -1}, &[]int64{},
		&tree{[]tree{{[]tree{}}, {[]tree{{[]tree{}}}}}},
		&everything{
			Text: "ü", Long: strings.Repeat("long ", 1000), Bytes: []byte{0}, Numbers: []int64{math.MinInt64}, ByName: map[string]add{"b": {5, 6}},
			Pointer: &add{7, 8}, Array: [3]uint16{9, 10, 11}, Time: time.Unix(1, 2).UTC(), secret: 0.1,
		},
	}
}

// nested is the encoding of so many trees within one another.
func nested(depth int) []byte { return append(bytes.Repeat([]byte{1}, depth-1), 0) }

func TestFormat(t *testing.T) {
	formattest.Run(t, formattest.Suite{
		Format: format, Values: values(),
		Foreign: []any{new(struct{}), new(func()), new(any), new(time.Time), new(**add), new([]add)},
		Deep:    nested(1000), Into: new(tree),
	})
}

func TestTheZeroFormat(t *testing.T) {
	data, err := mus.Format{}.Append(nil, new(7))
	if err != nil {
		t.Fatal(err)
	}
	var got int
	if err := (mus.Format{}).Unmarshal(data, &got); err != nil || got != 7 {
		t.Errorf("got %d, %v", got, err)
	}
}

// A serializer that is given counts before the one that is there anyhow.
func TestABasicTypeOfOnesOwn(t *testing.T) {
	own := mus.NewFormat(mus.For[string](ord.NewStringSer()), mus.For[int](doubled{}))
	if data, err := own.Append(nil, new(7)); err != nil || !bytes.Equal(data, []byte{28}) {
		t.Errorf("got %v, %v", data, err)
	}
}

// What the limit is meant for is taken, and what is much deeper is not, however deep the
// caller's stack is.
func TestALimitOfDepth(t *testing.T) {
	for _, test := range []struct{ limit, taken, refused int }{
		{0, 100, 500}, {-1, 100, 500}, {10, 1, 20}, {30, 10, 60}, {3000, 1000, 5000},
	} {
		format := format
		format.MaxDepth = test.limit
		for _, stack := range []int{0, 500} {
			if err := deep(stack, func() error { return format.Unmarshal(nested(test.taken), new(tree)) }); err != nil {
				t.Errorf("MaxDepth %d: %d levels were refused: %v", test.limit, test.taken, err)
			}
			err := deep(stack, func() error { return format.Unmarshal(nested(test.refused), new(tree)) })
			if err == nil || err.Error() != "mus: mus_test.tree: it is nested deeper than MaxDepth allows" {
				t.Errorf("MaxDepth %d: %d levels: %v", test.limit, test.refused, err)
			}
		}
	}
}

// deep calls f from so far down the stack.
func deep(n int, f func() error) error {
	if n == 0 {
		return f()
	}
	return deep(n-1, f)
}

// A wide tree is no deep one.
func TestAWideValueIsNotDeep(t *testing.T) {
	wide := tree{make([]tree, 100_000)}
	for i := range wide.Children {
		wide.Children[i].Children = []tree{}
	}
	data, err := format.Append(nil, &wide)
	if err != nil {
		t.Fatal(err)
	}
	var got tree
	if err := format.Unmarshal(data, &got); err != nil || len(got.Children) != 100_000 {
		t.Errorf("%d children, %v", len(got.Children), err)
	}
}

// Bodies that are wrong, one clear error each. None takes memory for what it announces.
func TestRefusedBodies(t *testing.T) {
	const ends = "the data ends within the value: unexpected EOF"
	huge := binary.AppendUvarint(nil, 1<<40)
	for name, test := range map[string]struct {
		data []byte
		into any
		want string
	}{
		"nothing":                  {nil, new(add), "mus_test.add: " + ends},
		"cut":                      {[]byte{1}, new(add), "mus_test.add: " + ends},
		"more":                     {[]byte{1, 2, 3}, new(add), "mus_test.add: 1 bytes follow the value, as Skip of its serializer reads it"},
		"an overflow":              {bytes.Repeat([]byte{0xff}, 11), new(int64), "int64: mus: overflow"},
		"a long string":            {huge, new(string), "string: " + ends},
		"many bytes":               {huge, new([]byte), "[]uint8: " + ends},
		"many elements":            {huge, new([]int64), "[]int64: " + ends},
		"many pairs":               {huge, new(map[string]add), "map[string]mus_test.add: " + ends},
		"many elements of a field": {append([]byte{0, 0, 0}, huge...), new(everything), "mus_test.everything: " + ends},
		"a negative length":        {binary.AppendUvarint(nil, math.MaxUint64), new(string), "string: a length is -1"},
		"few elements":             {[]byte{2, 0, 0, 0, 0}, new([3]uint16), "[3]uint16: an array has 3 elements, and 2 were sent"},
		"no elements":              {[]byte{0}, new([3]uint16), "[3]uint16: an array has 3 elements, and 0 were sent"},
		"too many elements":        {append([]byte{4}, make([]byte, 8)...), new([3]uint16), "[3]uint16: an array has 3 elements, and 4 were sent"},
		"a flag that is none":      {[]byte{7}, new(*add), "*mus_test.add: mus: wrong format"},
		"a bool that is none":      {[]byte{7}, new(bool), "bool: mus: wrong format"},
	} {
		t.Run(name, func(t *testing.T) {
			err := format.Unmarshal(test.data, test.into)
			if err == nil || err.Error() != "mus: "+test.want {
				t.Errorf("got %v, want mus: %s", err, test.want)
			}
			if !reflect.ValueOf(test.into).Elem().IsZero() {
				t.Errorf("it was set to %v", test.into)
			}
			if allocated := testing.AllocsPerRun(10, func() { format.Unmarshal(test.data, test.into) }); allocated > 20 {
				t.Errorf("%v allocations", allocated)
			}
		})
	}
}

// What has no serializer, or a wrong one, in words.
func TestRefusedValues(t *testing.T) {
	format := mus.NewFormat(mus.For[add](addSer{}), mus.For[string](broken{Serializer: mus.String, marshal: errBroken}))
	for _, test := range []struct {
		v    any
		want string
	}{
		{nil, "a pointer to a value is needed, and not a <nil>"},
		{5, "a pointer to a value is needed, and not a int"},
		{(*add)(nil), "a pointer to a value is needed, and not a nil *mus_test.add"},
		{new(tree), "there is no serializer for mus_test.tree: give NewFormat a mus.For[mus_test.tree](…)"},
		{new(*add), "there is no serializer for *mus_test.add: give NewFormat a mus.For[*mus_test.add](…), such as ord.NewPtrSer of that for mus_test.add"},
		{new("text"), "string: broken"},
	} {
		if got, err := format.Append([]byte("before"), test.v); err == nil || err.Error() != "mus: "+test.want || string(got) != "before" {
			t.Errorf("%T: got %q, %v, want mus: %s", test.v, got, err, test.want)
		}
	}
	if err := format.Unmarshal(nil, new(tree)); err == nil {
		t.Error("a tree was decoded")
	}
}

// A Skip that reads less or more than Unmarshal, or fails, is told of.
func TestASkipThatIsWrong(t *testing.T) {
	for _, test := range []struct {
		skips int
		skip  error
		want  string
	}{
		{1, nil, "3 bytes follow the value, as Skip of its serializer reads it"},
		{4, nil, "its serializer's Skip does not read what its Unmarshal does"},
		{0, errBroken, "broken"},
	} {
		format := mus.NewFormat(mus.For[string](broken{Serializer: mus.String, skips: test.skips, skip: test.skip}))
		if err := format.Unmarshal([]byte{2, 'a', 'b', 'c'}, new(string)); err == nil || err.Error() != "mus: string: "+test.want {
			t.Errorf("%+v: got %v", test, err)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	for _, v := range values() {
		data, err := format.Append(nil, v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, v := range values() {
			into := reflect.New(reflect.TypeOf(v).Elem()).Interface()
			var err error
			frugal.Check(t, 64<<10+200*len(data), func() { err = format.Unmarshal(data, into) })
			if err != nil {
				continue
			}
			again, err := format.Append(nil, into)
			if err != nil {
				t.Errorf("%T: what was decoded can't be encoded: %v", into, err)
				continue
			}
			back := reflect.New(reflect.TypeOf(v).Elem()).Interface()
			if err := format.Unmarshal(again, back); err != nil {
				t.Errorf("%T: what was encoded can't be decoded: %v", into, err)
			}
		}
	})
}
