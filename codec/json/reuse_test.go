package json_test

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/cmdstream/cmdstream/codec/json"
)

// Whatever came before, a value is read as encoding/json alone reads it, and an error has its text.
func FuzzUnmarshalAgain(f *testing.F) {
	for _, pair := range [][2]string{
		{`{"Int":1}`, `{"Text":"a"}`},
		{`{"Int":1} x`, `{"Int":2}`},
		{`{"Int":"x"}`, ` {"Map":{"a":1}} `},
		{`12`, `3`},
		{`{"Int":1}{"Int":2}`, `{}`},
		{`{"Slice":[1,2`, `{"Slice":[3]}`},
		{`nul`, `l`},
		{`1`, `2 3`},
		{`{"Text":"` + strings.Repeat("a", 600) + `"}`, `{"Bytes":"AAAA"}`},
		{``, `{}`},
		{" \n", `true`},
	} {
		f.Add([]byte(pair[0]), []byte(pair[1]))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		for _, data := range [][]byte{first, second, first} {
			var want, got everything
			wantErr := stdjson.Unmarshal(data, &want)
			err := json.Format{MaxDepth: 10000}.Unmarshal(data, &got)
			if fmt.Sprint(err) != fmt.Sprint(wantErr) {
				t.Fatalf("%q: got %v, want %v", data, err, wantErr)
			}
			if err == nil && !reflect.DeepEqual(got, want) {
				t.Fatalf("%q: got %+v, want %+v", data, got, want)
			}
		}
	})
}

// A type's own methods may use the format, fail and panic.
type itself struct{ N int }

func (i itself) MarshalJSON() ([]byte, error) {
	if i.N < 0 {
		panic("on purpose")
	}
	return json.Format{}.Append(nil, new(i.N))
}

func (i *itself) UnmarshalJSON(data []byte) error {
	if err := (json.Format{}).Unmarshal(data, &i.N); err != nil {
		return err
	}
	if i.N == 13 {
		panic("on purpose")
	}
	return nil
}

// counting counts how often it is read.
type counting struct{ calls int }

func (c *counting) UnmarshalJSON([]byte) error {
	if c.calls++; c.calls > 1 {
		return errors.New("it was read twice")
	}
	return nil
}

func TestAnErrorIsThatOfTheFirstReading(t *testing.T) {
	var v struct {
		C counting
		N int
	}
	err := json.Format{}.Unmarshal([]byte(`{"C":1,"N":"x"} `), &v)
	var wrong *stdjson.UnmarshalTypeError
	if !errors.As(err, &wrong) || v.C.calls != 1 {
		t.Errorf("got %v, after %d readings", err, v.C.calls)
	}
}

func TestMethodsMayUseTheFormat(t *testing.T) {
	caught := func(f func()) (v any) {
		defer func() { v = recover() }()
		f()
		return nil
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for n := range 200 {
				data, err := json.Format{}.Append(nil, &[]itself{{n}, {n + 1000}})
				if want := fmt.Sprintf("[%d,%d]", n, n+1000); err != nil || string(data) != want {
					t.Errorf("got %s, %v", data, err)
				}
				if v := caught(func() { json.Format{}.Append(nil, &itself{-1}) }); v != "on purpose" {
					t.Errorf("got %v", v)
				}
				if v := caught(func() { json.Format{}.Unmarshal([]byte(`[13]`), new([]itself)) }); v != "on purpose" {
					t.Errorf("got %v", v)
				}
				if err := (json.Format{}).Unmarshal([]byte(`["x"]`), new([]itself)); err == nil {
					t.Error("a text is taken for a number")
				}
				var back []itself
				if n != 13 {
					if err := (json.Format{}).Unmarshal(data, &back); err != nil || back[0].N != n || back[1].N != n+1000 {
						t.Errorf("got %v, %v", back, err)
					}
				}
			}
		})
	}
	all.Wait()
}
