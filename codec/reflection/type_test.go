package reflection_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/codec/reflection"
)

type Inner struct{ X, Y float32 }

type Outer struct {
	*Inner
	Inner2  Inner `json:"inner"`
	At      time.Time
	Bytes   []byte
	Names   map[string][]bool `json:"names,omitempty"`
	Next    *Outer
	Again   Inner
	Any     any
	Secret  int `json:"-"`
	private int
}

func TestTypeOf(t *testing.T) {
	got, err := json.Marshal(reflection.TypeOf(reflect.TypeFor[Outer]()))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"name":"reflection_test.Outer","kind":"struct","fields":[` +
		`{"name":"X","type":{"kind":"float"}},{"name":"Y","type":{"kind":"float"}},` +
		`{"name":"inner","type":{"name":"reflection_test.Inner","kind":"struct","fields":[{"name":"X","type":{"kind":"float"}},{"name":"Y","type":{"kind":"float"}}]}},` +
		`{"name":"At","type":{"name":"time.Time","kind":"custom"}},` +
		`{"name":"Bytes","type":{"kind":"bytes"}},` +
		`{"name":"names","type":{"kind":"map","elem":{"kind":"list","elem":{"kind":"bool"}},"key":{"kind":"string"}},"optional":true},` +
		`{"name":"Next","type":{"kind":"optional","elem":{"name":"reflection_test.Outer","kind":"struct"}}},` +
		`{"name":"Again","type":{"name":"reflection_test.Inner","kind":"struct"}},` +
		`{"name":"Any","type":{"kind":"any"}}]}`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	_ = Outer{}.private
	for kind, of := range map[string]reflect.Type{
		"custom": reflect.TypeFor[chan int](), "int": reflect.TypeFor[uint8](), "list": reflect.TypeFor[[2]string](), "optional": reflect.TypeFor[*int](),
	} {
		if told := reflection.TypeOf(of); told.Kind != kind {
			t.Errorf("%s is told as %s", of, told.Kind)
		}
	}
}
