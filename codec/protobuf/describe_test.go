package protobuf_test

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/protobuf"
	"github.com/cmdstream/cmdstream/codec/protobuf/internal/testpb"
	"github.com/cmdstream/cmdstream/codec/reflection"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/server"
)

func TestJSONType(t *testing.T) {
	const (
		of  = `"cmdstream.codec.protobuf.test.`
		sum = `{"name":` + of + `Sum","kind":"struct","fields":[{"name":"value","type":{"kind":"int"},"optional":true}]}`
	)
	for _, test := range []struct {
		t    reflect.Type
		want string
	}{
		{reflect.TypeFor[*testpb.Sum](), sum},
		{reflect.TypeFor[named](), sum},
		{reflect.TypeFor[*named](), sum},
		{reflect.TypeFor[*wrapperspb.StringValue](), `{"name":"google.protobuf.StringValue","kind":"custom"}`},
		{reflect.TypeFor[Count](), `{"name":"google.protobuf.Int64Value","kind":"custom"}`},
		{reflect.TypeFor[*testpb.Tree](), `{"name":` + of + `Tree","kind":"struct","fields":[` +
			`{"name":"children","type":{"kind":"list","elem":{"name":` + of + `Tree","kind":"struct"}},"optional":true}]}`},
		{reflect.TypeFor[*testpb.Required](), `{"name":` + of + `Required","kind":"struct","fields":[{"name":"name","type":{"kind":"string"}}]}`},
		{reflect.TypeFor[*structpb.Value](), `{"name":"google.protobuf.Value","kind":"custom"}`},
		{reflect.TypeFor[int](), `{"kind":"int"}`}, // is refused by Check
	} {
		if got := text(t, protobuf.Format{}.JSONType(test.t)); got != test.want {
			t.Errorf("%v:\ngot  %s\nwant %s", test.t, got, test.want)
		}
	}
}

// Each kind of field is told by its name in JSON.
func TestJSONTypeOfFields(t *testing.T) {
	told := protobuf.Format{}.JSONType(reflect.TypeFor[wrapper]())
	want := map[string]string{
		"yes": `{"kind":"bool"}`, "int32": `{"kind":"int"}`, "sint64": `{"kind":"int"}`, "uint64": `{"kind":"int"}`, "fixed32": `{"kind":"int"}`,
		"sfixed64": `{"kind":"int"}`, "float": `{"kind":"float"}`, "double": `{"kind":"float"}`, "text": `{"kind":"string"}`, "bytes": `{"kind":"bytes"}`,
		"color":   `{"name":"cmdstream.codec.protobuf.test.Everything.Color","kind":"string"}`,
		"time":    `{"name":"google.protobuf.Timestamp","kind":"custom"}`,
		"numbers": `{"kind":"list","elem":{"kind":"int"}}`,
		"sums": `{"kind":"list","elem":{"name":"cmdstream.codec.protobuf.test.Sum","kind":"struct",` +
			`"fields":[{"name":"value","type":{"kind":"int"},"optional":true}]}}`,
		"byName": `{"kind":"map","elem":{"name":"cmdstream.codec.protobuf.test.Sum","kind":"struct"},"key":{"kind":"string"}}`,
		"name":   `{"kind":"string"}`,
		"sum":    `{"name":"cmdstream.codec.protobuf.test.Sum","kind":"struct"}`,
	}
	for _, field := range told.Fields {
		if got := text(t, field.Type); got != want[field.Name] || !field.Optional {
			t.Errorf("%s: got %s", field.Name, got)
		}
		delete(want, field.Name)
	}
	if len(want) > 0 {
		t.Errorf("not told: %v", want)
	}
}

func text(t *testing.T, told *reflection.Type) string {
	t.Helper()
	got, err := json.Marshal(told)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

// Length takes a text that is a message in Go, and an int64 that is one.
type Length struct{ *wrapperspb.StringValue }

func (l Length) Run(context.Context, testpb.Calc) (*wrapperspb.Int64Value, error) {
	return wrapperspb.Int64(int64(len(l.GetValue()))), nil
}

// Later has a struct of JSON in a field with a name.
type Later struct{ Details *structpb.Struct }

func (l Later) Run(context.Context, testpb.Calc) (*timestamppb.Timestamp, error) {
	return &timestamppb.Timestamp{Seconds: int64(l.Details.GetFields()["seconds"].GetNumberValue())}, nil
}

// What a tool is told of a command is what it can call it with.
func TestADescriptionIsWhatCallTakes(t *testing.T) {
	set := codec.NewSet[testpb.Calc](protobuf.Format{})
	set.Reflect()
	codec.Unary[Length](set, 1)
	codec.Unary[Later](set, 2)
	codec.Unary[Add](set, 3)
	listener := memnet.Listen()
	s := server.NewDef(set.Server(), testpb.Calc{})
	go s.Serve(listener)
	defer s.Close()
	conn, err := listener.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.NewDef(reflection.NewCodec(), conn, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	d, err := reflection.Describe(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct{ name, body, result, calledWith, answers string }{
		{"Length", `custom google.protobuf.StringValue`, `custom google.protobuf.Int64Value`, `"abc"`, `"3"`},
		{"Later", `custom google.protobuf.Struct`, `custom google.protobuf.Timestamp`, `{"seconds":1}`, `"1970-01-01T00:00:01Z"`},
		{"Add", `struct cmdstream.codec.protobuf.test.AddRequest a b`, `struct cmdstream.codec.protobuf.test.Sum value`, `{"a":1,"b":2}`, `{"value":"3"}`},
	} {
		told := d.Commands[i]
		if body, result := summary(told.Body), summary(told.Result); body != want.body || result != want.result {
			t.Errorf("%s is told as %s, its result as %s", told.Name, body, result)
		}
		for answer, err := range reflection.Call(t.Context(), c, want.name, json.RawMessage(want.calledWith)) {
			if err != nil || strings.ReplaceAll(string(answer), " ", "") != want.answers {
				t.Errorf("%s: got %s, %v", want.name, answer, err)
			}
		}
	}
}

func summary(told *reflection.Type) string {
	words := []string{told.Kind, told.Name}
	for _, field := range told.Fields {
		words = append(words, field.Name)
	}
	return strings.Join(words, " ")
}
