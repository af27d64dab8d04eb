package protobuf_test

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/formattest"
	"github.com/cmdstream/cmdstream/codec/protobuf"
	"github.com/cmdstream/cmdstream/codec/protobuf/internal/testpb"
	"github.com/cmdstream/cmdstream/internal/frugal"
)

var (
	_ codec.Format    = protobuf.Format{}
	_ codec.Checker   = protobuf.Format{}
	_ codec.Describer = protobuf.Format{}
	_ codec.JSON      = protobuf.Format{}
	_ codec.Typed     = protobuf.Format{}
)

// wrapper is the usual command; named holds its message in a field with a name.
type (
	wrapper struct{ *testpb.Everything }
	named   struct{ Request *testpb.Sum }
)

func everything() *testpb.Everything {
	return &testpb.Everything{
		Yes: new(true), Int32: new(int32(math.MinInt32)), Sint64: new(int64(math.MinInt64)), Uint64: new(uint64(math.MaxUint64)),
		Fixed32: new(uint32(1)), Sfixed64: new(int64(-1)), Float: new(float32(math.Inf(-1))), Double: new(math.NaN()), Text: new("ü\n"),
		Bytes: []byte{0, 255}, Color: testpb.Everything_COLOR_RED.Enum(), Time: timestamppb.New(time.Unix(1, 2)),
		Numbers: []int64{1, -1, math.MaxInt64}, Sums: []*testpb.Sum{{Value: 1}, {}}, ByName: map[string]*testpb.Sum{"": {}, "a": {Value: 2}},
		Either: &testpb.Everything_Sum{Sum: &testpb.Sum{Value: 3}},
	}
}

func values() []any {
	lazy := &testpb.Lazy{}
	lazy.SetTree(&testpb.Tree{Children: []*testpb.Tree{{}, {Children: []*testpb.Tree{{}}}}})
	lazy.SetData([]byte("data"))
	return []any{
		new(everything()), new(&testpb.Everything{}), new(&testpb.Sum{Value: -1}), new(&testpb.Tree{Children: []*testpb.Tree{{}, {}}}),
		new(&testpb.Required{Name: proto.String("")}), &lazy, new(wrapperspb.String(strings.Repeat("ü", 1000))),
		&wrapper{everything()}, new(&wrapper{everything()}), &named{&testpb.Sum{Value: 1}}, new(&named{&testpb.Sum{}}),
	}
}

// equal compares what two of the values hold.
func equal(a, b any) bool { return proto.Equal(held(a), held(b)) }

func held(v any) proto.Message {
	switch v := v.(type) {
	case *named:
		return v.Request
	case **named:
		return (*v).Request
	}
	return reflect.ValueOf(v).Elem().Interface().(proto.Message)
}

func TestFormat(t *testing.T) {
	formattest.Run(t, formattest.Suite{
		Format: protobuf.Format{}, Values: values(), Equal: equal, Mergeable: true,
		Foreign: []any{
			new(int), new(""), &testpb.Sum{}, new(proto.Message(&testpb.Sum{})), &struct{ N int }{},
			new(*testpb.Sum), new(*wrapper), &wrapper{}, new(&wrapper{}), // nil messages
		},
		Deep: tree(101), Into: new(*testpb.Tree),
	})
}

// tree is the encoding of so many messages within one another.
func tree(depth int) (data []byte) {
	for range depth - 1 {
		data = append(protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.BytesType), uint64(len(data))), data...)
	}
	return data
}

func TestALimitOfDepth(t *testing.T) {
	for limit, want := range map[int]int{0: 100, -1: 100, 1: 1, 7: 7, math.MaxInt: 5000} {
		format := protobuf.Format{MaxDepth: limit}
		var got *testpb.Tree
		if err := format.Unmarshal(tree(want), &got); err != nil {
			t.Errorf("at most %d: %d were refused: %v", limit, want, err)
		}
		if limit == math.MaxInt {
			continue
		}
		got = nil
		err := format.Unmarshal(tree(want+1), &got)
		if err == nil || got != nil || !strings.Contains(err.Error(), "recursion depth") {
			t.Errorf("at most %d: %d: got %v, %v", limit, want+1, got, err)
		}
	}
}

// A field that is decoded when it is asked for counts at once.
func TestALimitOfDepthOfALazyField(t *testing.T) {
	within := func(tree []byte) []byte {
		return append(protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.BytesType), uint64(len(tree))), tree...)
	}
	if err := (protobuf.Format{}).Unmarshal(within(tree(99)), new(*testpb.Lazy)); err != nil {
		t.Error(err)
	}
	if err := (protobuf.Format{}).Unmarshal(within(tree(100)), new(*testpb.Lazy)); err == nil {
		t.Error("101 levels were taken")
	}
}

func TestUnknownFields(t *testing.T) {
	sent, err := proto.Marshal(&testpb.AddRequest{A: 1, B: 2})
	if err != nil {
		t.Fatal(err)
	}
	for discard, want := range map[bool]int64{false: 2, true: 0} {
		format := protobuf.Format{DiscardUnknown: discard}
		var sum *testpb.Sum // it knows the first field only
		if err := format.Unmarshal(sent, &sum); err != nil || sum.Value != 1 {
			t.Fatalf("got %v, %v", sum, err)
		}
		again, err := format.Append(nil, &sum)
		if err != nil {
			t.Fatal(err)
		}
		var add *testpb.AddRequest
		if err := format.Unmarshal(again, &add); err != nil || add.A != 1 || add.B != want {
			t.Errorf("DiscardUnknown %v: got %v, %v", discard, add, err)
		}
	}
}

func TestDeterministic(t *testing.T) {
	m := &testpb.Everything{ByName: make(map[string]*testpb.Sum)}
	for _, name := range strings.Split("abcdefghijklmnopqrstuvwxyz", "") {
		m.ByName[name] = &testpb.Sum{}
	}
	differ := func(format protobuf.Format) bool {
		first, err := format.Append(nil, &m)
		for range 20 {
			again, failed := format.Append(nil, &m)
			if err = errors.Join(err, failed); !bytes.Equal(first, again) {
				return true
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		return false
	}
	if differ(protobuf.Format{Deterministic: true}) {
		t.Error("the bytes of a message differ")
	}
	if !differ(protobuf.Format{}) {
		t.Error("without Deterministic they should, or this test finds nothing")
	}
}

// Bodies that are wrong, one clear error each, and nothing is set.
func TestRefusedBodies(t *testing.T) {
	everything, err := protobuf.Format{}.Append(nil, new(everything()))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		data []byte
		into any
		want string
	}{
		"cut":              {everything[:len(everything)-1], new(*testpb.Everything), "cannot parse"},
		"cut, in a struct": {everything[:len(everything)-1], new(wrapper), "cannot parse"},
		"no UTF-8":         {[]byte{9<<3 | 2, 1, 0xff}, new(*testpb.Everything), "invalid UTF-8"},
		"a huge length":    {[]byte{10<<3 | 2, 0xff, 0xff, 0xff, 0xff, 0x0f}, new(*testpb.Everything), "cannot parse"},
		"no group's end":   {[]byte{1<<3 | 4}, new(*testpb.Sum), "cannot parse"},
		"nothing required": {nil, new(*testpb.Required), "required field"},
	} {
		err := protobuf.Format{}.Unmarshal(test.data, test.into)
		if err == nil || !errors.Is(err, proto.Error) || !strings.HasPrefix(err.Error(), "protobuf: cmdstream.codec.protobuf.test.") ||
			!strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v", name, err)
		}
		if !reflect.ValueOf(test.into).Elem().IsZero() {
			t.Errorf("%s: it was set to %v", name, test.into)
		}
	}
}

// What can't be sent, in words.
func TestRefusedValues(t *testing.T) {
	for _, test := range []struct {
		v    any
		want string
	}{
		{new(*testpb.Sum), "protobuf: a nil *testpb.Sum can't be told from an empty message: send that"},
		{&wrapper{}, "protobuf: protobuf_test.wrapper holds a nil *testpb.Everything, which can't be told from an empty message: send that"},
		{new(*wrapper), "protobuf: a nil *protobuf_test.wrapper can't be told from one with an empty message: send that"},
		{new(&wrapper{}), "protobuf: *protobuf_test.wrapper holds a nil *testpb.Everything, which can't be told from an empty message: send that"},
		{nil, "protobuf: a pointer to a value is needed, and not a <nil>"},
		{5, "protobuf: a pointer to a value is needed, and not a int"},
		{(**testpb.Sum)(nil), "protobuf: a pointer to a value is needed, and not a nil **testpb.Sum"},
	} {
		if _, err := (protobuf.Format{}).Append(nil, test.v); err == nil || err.Error() != test.want {
			t.Errorf("%T: got %v, want %s", test.v, err, test.want)
		}
		if _, err := (protobuf.Format{}).ToJSON(test.v); err == nil || err.Error() != test.want {
			t.Errorf("%T: as JSON: got %v, want %s", test.v, err, test.want)
		}
	}
	if _, err := (protobuf.Format{}).Append(nil, new(&testpb.Required{})); !errors.Is(err, proto.Error) {
		t.Errorf("without a required field: %v", err)
	}
	if err := (protobuf.Format{}).Unmarshal(nil, new(int)); err == nil {
		t.Error("an int was decoded")
	}
}

func TestDescribe(t *testing.T) {
	for want, described := range map[string]reflect.Type{
		"cmdstream.codec.protobuf.test.Everything": reflect.TypeFor[wrapper](),
		"cmdstream.codec.protobuf.test.Sum":        reflect.TypeFor[*named](),
		"google.protobuf.Timestamp":                reflect.TypeFor[*timestamppb.Timestamp](),
		"map[int]bool":                             reflect.TypeFor[map[int]bool](), // which Check refuses
	} {
		if got := (protobuf.Format{}).Describe(described); got != want {
			t.Errorf("%v is described as %s", described, got)
		}
	}
}

func TestJSON(t *testing.T) {
	text, err := protobuf.Format{}.ToJSON(&named{&testpb.Sum{Value: 7}})
	if err != nil || strings.ReplaceAll(string(text), " ", "") != `{"value":"7"}` {
		t.Errorf("got %s, %v", text, err)
	}
	var got *named
	if err := (protobuf.Format{}).FromJSON(text, &got); err != nil || got.Request.Value != 7 {
		t.Errorf("got %v, %v", got, err)
	}
	for _, wrong := range []string{"", "{", `{"unknown": 1}`, `{"value": "x"}`, "{}{}"} {
		var m *testpb.Sum
		if err := (protobuf.Format{}).FromJSON([]byte(wrong), &m); err == nil || m != nil {
			t.Errorf("%s: got %v, %v", wrong, m, err)
		}
	}
	deep := strings.Repeat(`{"children":[`, 100) + "{}" + strings.Repeat("]}", 100)
	if err := (protobuf.Format{}).FromJSON([]byte(deep), new(*testpb.Tree)); err == nil {
		t.Error("101 levels of JSON were taken")
	}
	if _, err := (protobuf.Format{}).ToJSON(new(&testpb.Required{})); err == nil {
		t.Error("a message without a required field was written")
	}
}

func FuzzUnmarshal(f *testing.F) {
	for _, v := range values() {
		data, err := protobuf.Format{}.Append(nil, v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, into := range []any{new(*testpb.Everything), new(wrapper), new(*testpb.Tree), new(*testpb.Required), new(*testpb.Lazy)} {
			var err error
			frugal.Check(t, 64<<10+200*len(data), func() { err = protobuf.Format{}.Unmarshal(data, into) })
			if err != nil {
				continue
			}
			again, err := protobuf.Format{}.Append(nil, into)
			if err != nil {
				t.Errorf("%T: what was decoded can't be encoded: %v", into, err)
				continue
			}
			back := reflect.New(reflect.TypeOf(into).Elem()).Interface()
			if err := (protobuf.Format{}).Unmarshal(again, back); err != nil {
				t.Errorf("%T: what was encoded can't be decoded: %v", into, err)
			}
		}
	})
}
