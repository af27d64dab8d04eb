package mus_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/mus-format/mus-stream-go/ord"

	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/mus"
	"github.com/cmdstream/cmdstream/codec/reflection"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/server"
)

func (t tree) Run(context.Context, calc) (int, error) {
	n := 1
	for len(t.Children) > 0 {
		t = t.Children[0]
		n++
	}
	return n, nil
}

// login has a field that its serializer does not write.
type login struct {
	Name  string
	Admin bool
}

func (l login) Run(context.Context, calc) (bool, error) { return l.Admin, nil }

type loginSer struct{}

func (loginSer) Marshal(v login, w mus.Writer) (int, error) { return ord.String.Marshal(v.Name, w) }
func (loginSer) Size(v login) int                           { return ord.String.Size(v.Name) }
func (loginSer) Skip(r mus.Reader) (int, error)             { return ord.String.Skip(r) }
func (loginSer) Unmarshal(r mus.Reader) (v login, n int, err error) {
	v.Name, n, err = ord.String.Unmarshal(r)
	return v, n, err
}

// What comes as JSON, from a tool, is held to what the format carries and allows.
func TestCommandsAsJSON(t *testing.T) {
	format := mus.NewFormat(mus.For[tree](treeSer{}), mus.For[login](loginSer{}))
	format.MaxDepth = 30
	set := codec.NewSet[calc](format)
	codec.Unary[tree](set, 1)
	codec.Unary[login](set, 2)
	set.Reflect()
	c := tool(t, set)
	deep := func(n int) string { return strings.Repeat(`{"Children":[`, n) + strings.Repeat("]}", n) }
	for _, test := range []struct{ name, body, result, err string }{
		{"login", `{"Name":"x"}`, "false", ""},
		{"login", `{"Name":"x","Admin":true}`, "false", ""},
		{"tree", deep(10), "10", ""},
		{"tree", deep(45), "", "its JSON can't be read: mus: mus_test.tree: it is nested deeper than MaxDepth allows"},
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
