package codec_test

import (
	"reflect"
	"testing"

	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/codec/reflection"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/server"
)

// typedFormat says itself what its JSON looks like.
type typedFormat struct{ json.Format }

func (typedFormat) JSONType(t reflect.Type) *reflection.Type {
	return &reflection.Type{Name: "the JSON of " + t.String(), Kind: "custom"}
}

// A format that is Typed describes bodies, results and inputs, in place of their Go types.
func TestATypedFormat(t *testing.T) {
	for format, want := range map[codec.Format][4]string{
		typedFormat{}: {"the JSON of codec_test.add", "the JSON of int", "the JSON of codec_test.talk", "the JSON of int"},
		json.Format{}: {"codec_test.add", "int", "codec_test.talk", "int"},
	} {
		set := codec.NewSet[calc](format)
		codec.Unary[add](set, 1)
		codec.Exchange[talk](set, 2)
		set.Reflect()
		listener := memnet.Listen()
		s := server.NewDef(set.Server(), calc{})
		go s.Serve(listener)
		t.Cleanup(func() { s.Close() })
		conn, err := listener.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c, err := client.NewDef(reflection.NewCodec(), conn, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		d, err := reflection.Describe(t.Context(), c)
		if err != nil || len(d.Commands) != 2 {
			t.Fatalf("%T: %v, %v", format, d, err)
		}
		name := func(told *reflection.Type) string {
			if told.Name == "" {
				return told.Kind
			}
			return told.Name
		}
		one, two := d.Commands[0], d.Commands[1]
		if got := [4]string{name(one.Body), name(one.Result), name(two.Body), name(two.Input)}; got != want {
			t.Errorf("%T: got %q", format, got)
		}
	}
}
