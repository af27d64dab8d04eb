package fields_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/internal/fields"
)

var rules = fields.Rules{
	Format: "test", Tags: []string{"test", "json"},
	Opaque: func(t reflect.Type, _ bool) bool { return t == reflect.TypeFor[time.Time]() },
}

type base struct{ A int }

type tree struct {
	Left, Right *tree
	V           string
}

func describe[T any](r fields.Rules) string { return r.Describe(reflect.TypeFor[T]()) }

func TestDescribe(t *testing.T) {
	type named int
	tests := []struct{ got, want string }{
		{describe[int](rules), "int64"},
		{describe[named](rules), "int64"},
		{describe[uint32](rules), "uint32"},
		{describe[uintptr](rules), "uint64"},
		{describe[any](rules), "interface"},
		{describe[[3]*bool](rules), "[3]*bool"},
		{describe[map[string][]byte](rules), "map[string][]uint8"},
		{describe[time.Time](rules), "<time.Time>"},
		{describe[tree](rules), `{"Left" *^2;"Right" *^2;"V" string;}`},
		{describe[struct {
			B int `json:"b,omitempty"`
			A string
			C int `test:"c" json:"other"`
			D int `json:"-"`
			E int `json:",string"`
			_ int
		}](rules), `{"A" string;"E,string" int64;"b" int64;"c" int64;}`},
		{describe[struct {
			base
			Z int
		}](rules), `{"A" int64;"Z" int64;}`},
		{describe[struct {
			base `json:"in"`
		}](rules), `{"in" {"A" int64;};}`},
		{describe[struct {
			_ struct{} `test:",toarray"`
			B int
			A int
		}](rules), `("B" int64;"A" int64;)`},
		{describe[struct{ T time.Time }](fields.Go), `{"T" <time.Time>;}`},
	}
	for _, test := range tests {
		if test.got != test.want {
			t.Errorf("got %s, want %s", test.got, test.want)
		}
	}
}

// TestDescribeAlike: what reads alike is described alike, what does not is not.
func TestDescribeAlike(t *testing.T) {
	type point struct{ X, Y int }
	one := describe[struct {
		P point
		N int64
	}](rules)
	if other := describe[struct {
		N int
		P struct{ Y, X int64 }
	}](rules); one != other {
		t.Errorf("alike: %s and %s", one, other)
	}
	if other := describe[struct {
		N int32
		P point
	}](rules); one == other {
		t.Errorf("not alike: %s", one)
	}
}

// The types of a net all refer to each other.
type (
	n0 struct {
		A *n1
		B *n2
		C *n3
		D *n4
		E *n5
		F *n6
		G *n7
		H *n8
		I *n9
	}
	n1 struct {
		A *n0
		B *n2
		C *n3
		D *n4
		E *n5
		F *n6
		G *n7
		H *n8
		I *n9
	}
	n2 struct {
		A *n0
		B *n1
		C *n3
		D *n4
		E *n5
		F *n6
		G *n7
		H *n8
		I *n9
	}
	n3 struct {
		A *n0
		B *n1
		C *n2
		D *n4
		E *n5
		F *n6
		G *n7
		H *n8
		I *n9
	}
	n4 struct {
		A *n0
		B *n1
		C *n2
		D *n3
		E *n5
		F *n6
		G *n7
		H *n8
		I *n9
	}
	n5 struct {
		A *n0
		B *n1
		C *n2
		D *n3
		E *n4
		F *n6
		G *n7
		H *n8
		I *n9
	}
	n6 struct {
		A *n0
		B *n1
		C *n2
		D *n3
		E *n4
		F *n5
		G *n7
		H *n8
		I *n9
	}
	n7 struct {
		A *n0
		B *n1
		C *n2
		D *n3
		E *n4
		F *n5
		G *n6
		H *n8
		I *n9
	}
	n8 struct {
		A *n0
		B *n1
		C *n2
		D *n3
		E *n4
		F *n5
		G *n6
		H *n7
		I *n9
	}
	n9 struct {
		A *n0
		B *n1
		C *n2
		D *n3
		E *n4
		F *n5
		G *n6
		H *n7
		I *n8
	}
)

// TestANetOfTypes: the description of types that all refer to each other has an end.
func TestANetOfTypes(t *testing.T) {
	if text := describe[n0](rules); len(text) > 64<<10 || text != describe[n0](rules) {
		t.Errorf("the description has %d bytes", len(text))
	}
}
