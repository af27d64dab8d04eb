package protobuf_test

import (
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/cmdstream/cmdstream/codec/protobuf"
	"github.com/cmdstream/cmdstream/codec/protobuf/internal/testpb"
)

type (
	empty struct{ *emptypb.Empty }
	more  struct {
		*testpb.Sum
		Extra int
	}
	two       struct{ A, B *testpb.Sum }
	byValue   struct{ testpb.Sum }
	anyOne    struct{ proto.Message }
	defined   testpb.AddRequest
	nested    struct{ named }
	plain     struct{ A, B int }
	celsius   float64
	pointered struct{ Named *named }
)

func TestCheck(t *testing.T) {
	for _, v := range values() {
		if err := (protobuf.Format{}).Check(reflect.TypeOf(v).Elem()); err != nil {
			t.Errorf("%T: %v", v, err)
		}
	}
	for _, taken := range []reflect.Type{reflect.TypeFor[*emptypb.Empty](), reflect.TypeFor[empty](), reflect.TypeFor[*empty]()} {
		if err := (protobuf.Format{}).Check(taken); err != nil {
			t.Errorf("%v: %v", taken, err)
		}
	}
	const (
		own     = "is no message: use a pointer to a generated message, or a struct whose only field is one"
		noValue = "is a message by value, which must not be copied: "
	)
	for _, test := range []struct {
		refused reflect.Type
		want    string
	}{
		{reflect.TypeFor[testpb.Sum](), "testpb.Sum " + noValue + "use *testpb.Sum"},
		{reflect.TypeFor[byValue](), "protobuf_test.byValue.Sum " + noValue + "make it a *testpb.Sum"},
		{reflect.TypeFor[*byValue](), "*protobuf_test.byValue.Sum " + noValue + "make it a *testpb.Sum"},
		{reflect.TypeFor[struct{ sum *testpb.Sum }](), "struct { sum *testpb.Sum }.sum is not exported, so the message that is received can't be set: export it"},
		{reflect.TypeFor[more](), "protobuf_test.more.Extra would be lost: only the message beside it is sent, so make it a field of that"},
		{reflect.TypeFor[two](), "protobuf_test.two holds several messages, and one is sent: make one message of them"},
		{reflect.TypeFor[anyOne](), "protobuf_test.anyOne " + own},
		{reflect.TypeFor[*anyOne](), "*protobuf_test.anyOne " + own},
		{reflect.TypeFor[defined](), "protobuf_test.defined " + own},
		{reflect.TypeFor[nested](), "protobuf_test.nested " + own},
		{reflect.TypeFor[pointered](), "protobuf_test.pointered " + own},
		{reflect.TypeFor[plain](), "protobuf_test.plain " + own},
		{reflect.TypeFor[**testpb.Sum](), "**testpb.Sum " + own},
		{reflect.TypeFor[[]*testpb.Sum](), "[]*testpb.Sum " + own},
		{reflect.TypeFor[*dynamicpb.Message](), "*dynamicpb.Message " + own},
		{reflect.TypeFor[time.Time](), "time.Time " + own},
		{reflect.TypeFor[struct{}](), "struct {} is no message: use *emptypb.Empty, or a struct that embeds it"},
		{reflect.TypeFor[proto.Message](), "protoreflect.ProtoMessage is no message: it is an interface, and nothing says into what message to decode"},
		{reflect.TypeFor[any](), "interface {} is no message: it is an interface, and nothing says into what message to decode"},
		{reflect.TypeFor[bool](), "bool is no message: use *wrapperspb.BoolValue, or a message of your own"},
		{reflect.TypeFor[int](), "int is no message: use *wrapperspb.Int64Value, or a message of your own"},
		{reflect.TypeFor[*int16](), "*int16 is no message: use *wrapperspb.Int32Value, or a message of your own"},
		{reflect.TypeFor[uint8](), "uint8 is no message: use *wrapperspb.UInt32Value, or a message of your own"},
		{reflect.TypeFor[uint](), "uint is no message: use *wrapperspb.UInt64Value, or a message of your own"},
		{reflect.TypeFor[float32](), "float32 is no message: use *wrapperspb.FloatValue, or a message of your own"},
		{reflect.TypeFor[celsius](), "protobuf_test.celsius is no message: use *wrapperspb.DoubleValue, or a message of your own"},
		{reflect.TypeFor[string](), "string is no message: use *wrapperspb.StringValue, or a message of your own"},
		{reflect.TypeFor[[]byte](), "[]uint8 is no message: use *wrapperspb.BytesValue, or a message of your own"},
	} {
		for range 2 { // the second time it is known
			if err := (protobuf.Format{}).Check(test.refused); err == nil || err.Error() != "protobuf: "+test.want {
				t.Errorf("%v:\ngot  %v\nwant protobuf: %s", test.refused, err, test.want)
			}
		}
	}
}
