package json_test

import (
	stdjson "encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/formattest"
	"github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/internal/frugal"
)

var (
	_ codec.Format  = json.Format{}
	_ codec.Checker = json.Format{}
)

type everything struct {
	Int      int64
	Uint     uint64
	Float    float64
	Text     string
	Bytes    []byte
	Time     time.Time
	Any      any
	Pointer  *int
	Slice    []int
	Map      map[string]int
	Embedded `json:"embedded"`
}

type Embedded struct{ Name string }

func TestFormat(t *testing.T) {
	for _, f := range []json.Format{{}, {DisallowUnknownFields: true}} {
		formattest.Run(t, formattest.Suite{
			Format: f,
			Values: []any{
				new(7), new(-1.5), new("<ü>"), new(true), &[]byte{0, 255}, &[]int{}, new([]int), &map[string]int{"a": 1}, new(*int),
				&Embedded{"name"}, new(struct{}{}), new(any("text")),
				&everything{Int: math.MaxInt64, Uint: math.MaxUint64, Time: time.Date(2025, 1, 2, 3, 4, 5, 6, time.UTC), Any: 1.0, Slice: []int{1}},
			},
			Foreign: []any{new(make(chan int)), new(func() {}), new(complex(1, 2)), new(math.NaN())},
			Deep:    []byte(strings.Repeat("[", 101) + strings.Repeat("]", 101)), Into: new(any),
		})
	}
}

func through(t *testing.T, f json.Format, in, out any) {
	t.Helper()
	data, err := f.Append(nil, in)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Unmarshal(data, out); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
}

func TestValuesKeepWhatTheyHold(t *testing.T) {
	in := everything{
		Int: math.MaxInt64, Uint: math.MaxUint64, Float: math.SmallestNonzeroFloat64,
		Text: "<a href=\"ü\">\u2028\n</a>", Bytes: []byte{0, 255}, Time: time.Date(2025, 1, 2, 3, 4, 5, 6, time.UTC),
		Any: "x", Pointer: new(int), Slice: []int{}, Map: map[string]int{}, Embedded: Embedded{"name"},
	}
	for _, f := range []json.Format{{}, {DisallowUnknownFields: true}} {
		var out everything
		through(t, f, &in, &out)
		if !reflect.DeepEqual(out, in) {
			t.Errorf("got %#v, want %#v", out, in)
		}
		// Nil stays nil, and not empty.
		var zero everything
		out = everything{}
		through(t, f, &zero, &out)
		if !reflect.DeepEqual(out, zero) {
			t.Errorf("got %#v, want %#v", out, zero)
		}
	}
}

// What the package's documentation says of losses.
func TestDocumentedLosses(t *testing.T) {
	var number any
	through(t, json.Format{}, new(int64(1<<53+1)), &number)
	if number != float64(1<<53) {
		t.Errorf("a large integer in an any became %v", number)
	}
	var text string
	through(t, json.Format{}, new("a\xffb"), &text)
	if text != "a\ufffdb" {
		t.Errorf("wrong UTF-8 became %q", text)
	}
	var at time.Time
	before := time.Now().In(time.FixedZone("name", 3600))
	through(t, json.Format{}, &before, &at)
	if !at.Equal(before) || at.Location().String() == "name" {
		t.Errorf("the time %v became %v", before, at)
	}
	if _, offset := at.Zone(); offset != 3600 {
		t.Errorf("the offset became %d", offset)
	}
	var e Embedded
	if err := (json.Format{}).Unmarshal([]byte(`{"NAME":"x"}`), &e); err != nil || e.Name != "x" {
		t.Errorf("another case: %v, %v", e, err)
	}
}

func TestAppend(t *testing.T) {
	dst := []byte("before ")
	got, err := json.Format{}.Append(dst, &Embedded{"<x>\n"})
	if want := `before {"Name":"<x>\n"}`; err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	got, err = json.Format{}.Append(dst, new(math.NaN()))
	var cause *stdjson.UnsupportedValueError
	if !errors.As(err, &cause) || string(got) != "before " {
		t.Errorf("NaN: got %q, %v", got, err)
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	strict := json.Format{DisallowUnknownFields: true}
	tests := []struct {
		name   string
		format json.Format
		data   string
		want   string
	}{
		{"nothing", json.Format{}, "", "unexpected end of JSON input"},
		{"nothing, strict", strict, "", "EOF"},
		{"trailing bytes", json.Format{}, "{} x", "invalid character 'x' after top-level value"},
		{"trailing bytes, strict", strict, "{} x", "json: something follows the value"},
		{"trailing value, strict", strict, "{}{}", "json: something follows the value"},
		{"a field too many", strict, `{"Other":1}`, `json: unknown field "Other"`},
		{"another type", json.Format{}, `[]`, "json: cannot unmarshal array into Go value of type json_test.Embedded"},
		{
			"deep",
			json.Format{},
			strings.Repeat("[", 101) + strings.Repeat("]", 101),
			"json: arrays and objects are nested deeper than 100",
		},
		{
			"deep for a lower limit",
			json.Format{MaxDepth: 2},
			`{"a":[{"b":1}]}`,
			"json: arrays and objects are nested deeper than 2",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.format.Unmarshal([]byte(test.data), new(Embedded))
			if err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestUnmarshalTakes(t *testing.T) {
	wide := "[" + strings.Repeat("[[]],", 200) + "[]]"
	tests := []struct {
		name   string
		format json.Format
		data   string
	}{
		{"the deepest", json.Format{}, strings.Repeat("[", 100) + strings.Repeat("]", 100)},
		{"wide, not deep", json.Format{MaxDepth: 3}, wide},
		{"brackets within strings", json.Format{MaxDepth: 1}, `["[[\"[{{\\","{"]`},
		{"a higher limit", json.Format{MaxDepth: 5000}, strings.Repeat("[", 5000) + strings.Repeat("]", 5000)},
		{"white space", json.Format{DisallowUnknownFields: true}, " [] \n"},
		{"an unknown field", json.Format{}, `{"Other":1}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var v any
			if err := test.format.Unmarshal([]byte(test.data), &v); err != nil {
				t.Error(err)
			}
			var e Embedded
			if strings.HasPrefix(test.data, "{") {
				if err := test.format.Unmarshal([]byte(test.data), &e); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// The depth must be counted as the decoder counts it, whatever the bytes.
func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte(`[[1],{"a":["\"]"]}]`))
	f.Add([]byte(`"\\[["`))
	f.Add([]byte(`]]][[[`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var want any
		valid := stdjson.Unmarshal(data, &want) == nil
		var got any
		var err error
		frugal.Check(t, 64<<10+200*len(data), func() { err = json.Format{MaxDepth: 3}.Unmarshal(data, &got) })
		if ok := valid && depth(want) <= 3; ok != (err == nil) {
			t.Fatalf("got %v for a depth of %d, valid %v", err, depth(want), valid)
		}
		if err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

func depth(v any) int {
	deepest := 0
	switch v := v.(type) {
	case []any:
		for _, element := range v {
			deepest = max(deepest, depth(element))
		}
	case map[string]any:
		for _, element := range v {
			deepest = max(deepest, depth(element))
		}
	default:
		return 0
	}
	return deepest + 1
}
