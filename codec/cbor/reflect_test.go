package cbor_test

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/cbor"
	"github.com/cmdstream/cmdstream/codec/reflection"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/server"
)

// A struct without names is not one with the same fields by name: neither is read as the
// other.
func TestDescribeAnArray(t *testing.T) {
	type named struct{ A, B int }
	var format cbor.Format
	data, err := format.Append(nil, &row{A: 1, B: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := format.Unmarshal(data, new(named)); err == nil {
		t.Error("an array was read as a map")
	}
	if array, names := format.Describe(reflect.TypeFor[row]()), format.Describe(reflect.TypeFor[named]()); array == names {
		t.Errorf("both are described as %s", array)
	}
}

// login has a field that CBOR does not carry, and another name for one.
type login struct {
	Name  string `cbor:"n"`
	Admin bool   `cbor:"-"`
}

func (l login) Run(context.Context, calc) (login, error) {
	return login{Name: l.Name + "!", Admin: l.Admin}, nil
}

// chain is as deep as it is long.
type chain struct{ Next *chain }

func (c chain) Run(context.Context, calc) (int, error) {
	n := 1
	for link := c.Next; link != nil; link = link.Next {
		n++
	}
	return n, nil
}

type wide struct{ All []int }

func (w wide) Run(context.Context, calc) (int, error) { return len(w.All), nil }

// What comes as JSON, from a tool, is held to what the format carries and allows.
func TestCommandsAsJSON(t *testing.T) {
	set := codec.NewSet[calc](cbor.Format{MaxDepth: 10, MaxElements: 100})
	codec.Unary[login](set, 1)
	codec.Unary[chain](set, 2)
	codec.Unary[wide](set, 3)
	set.Reflect()
	c := tool(t, set)
	links := func(n int) string { return strings.Repeat(`{"Next":`, n) + "null" + strings.Repeat("}", n) }
	numbers := func(n int) string { return `{"All":[1` + strings.Repeat(",1", n-1) + `]}` }
	for _, test := range []struct{ name, body, result, err string }{
		{"login", `{"Name":"x"}`, `{"Name":"x!","Admin":false}`, ""},
		{"login", `{"Name":"x","Admin":true}`, `{"Name":"x!","Admin":false}`, ""},
		{"chain", links(8), "8", ""},
		{"chain", links(90), "", "its JSON can't be read: cbor: exceeded max nested level 10"},
		{"wide", numbers(100), "100", ""},
		{"wide", numbers(101), "", "its JSON can't be read: cbor: exceeded max number of elements 100"},
	} {
		for result, err := range reflection.Call(t.Context(), c, test.name, json.RawMessage(test.body)) {
			if string(result) != test.result {
				t.Errorf("%s %.50s: got %s", test.name, test.body, result)
			}
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s %.50s: %v", test.name, test.body, err)
			}
		}
	}
}

// tool returns a client that knows no command of the set.
func tool(t *testing.T, set *codec.Set[calc]) reflection.Client {
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
	return c
}
