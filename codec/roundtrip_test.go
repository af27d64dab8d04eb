package codec_test

import (
	"bytes"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
)

func TestCommandsAndResultsTravel(t *testing.T) {
	long := strings.Repeat("long ", 100_000)
	tests := []struct {
		name string
		cmd  base.Cmd[calc]
		want []base.Result
	}{
		{"int", unary(add{2, 3}), []base.Result{base.Value[int]{V: 5}}},
		{"the same result type", unary(sub{2, 3}), []base.Result{base.Value[int]{V: -1}}},
		{
			"struct",
			unary(move{point{1, 2, map[string][]string{"a": {"b"}}}}),
			[]base.Result{base.Value[point]{V: point{2, 2, map[string][]string{"a": {"b"}}}}},
		},
		{"pointer", unary(find{"four"}), []base.Result{base.Value[*point]{V: &point{X: 4}}}},
		{"nil pointer", unary(find{}), []base.Result{base.Value[*point]{}}},
		{"slice", unary(split{"a b"}), []base.Result{base.Value[[]string]{V: []string{"a", "b"}}}},
		{"empty slice", unary(split{}), []base.Result{base.Value[[]string]{V: []string{}}}},
		{"map", unary(tally{"a", "b", "a"}), []base.Result{base.Value[map[string]int]{V: map[string]int{"a": 2, "b": 1}}}},
		{"command by pointer", unary(&byPointer{"text"}), []base.Result{base.Value[string]{V: "text"}}},
		{"large", unary(&byPointer{long}), []base.Result{base.Value[string]{V: long}}},
		{"stream", stream(count{2}), []base.Result{base.Item[int]{V: 1}, base.Item[int]{V: 2}, base.End{}}},
		{"empty stream", stream(count{}), []base.Result{base.End{}}},
		{"one type as unary", unary(both{7}), []base.Result{base.Value[float64]{V: 7}}},
		{"and as stream", stream(both{7}), []base.Result{base.Item[float64]{V: 7}, base.End{}}},
	}
	client, server := jsonSet(), jsonSet()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := roundTrip(t, client, server, test.cmd); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %#v, want %#v", got, test.want)
			}
		})
	}
}

func TestSetsMayDiffer(t *testing.T) {
	// An older client: fewer commands, registered in another order.
	older := codec.NewSet[calc](json.Format{})
	codec.Stream[count](older, 300)
	codec.Unary[sub](older, 2)
	got := roundTrip(t, older, jsonSet(), unary(sub{5, 1}))
	if want := []base.Result{base.Value[int]{V: 4}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, want %#v", got, want)
	}
}

func TestBytesOnTheWire(t *testing.T) {
	set := jsonSet()
	client, server := set.Client(), set.Server()
	tests := []struct {
		name   string
		encode func(w *bytes.Buffer) error
		want   string
	}{
		{"command", func(w *bytes.Buffer) error { return client.Encode(unary(add{1, 2}), w) }, "\x01\x0d" + `{"A":1,"B":2}`},
		{"large tag", func(w *bytes.Buffer) error { return client.Encode(stream(count{3}), w) }, "\xac\x02\x08" + `{"To":3}`},
		{"value", func(w *bytes.Buffer) error { return server.Encode(base.Value[int]{V: 42}, w) }, "\x0342"},
		{"item", func(w *bytes.Buffer) error { return server.Encode(base.Item[int]{V: 5}, w) }, "\x025"},
		{"end", func(w *bytes.Buffer) error { return server.Encode(base.End{}, w) }, "\x00"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var w bytes.Buffer
			if err := test.encode(&w); err != nil {
				t.Fatal(err)
			}
			if got := w.String(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	if got := client.Size(unary(add{})); got != 0 {
		t.Errorf("Size is %d, want 0", got)
	}
}

// A command must not be seen through the memory of the one before it.
func TestValuesAreNotMixed(t *testing.T) {
	set := jsonSet()
	client, server := set.Client(), set.Server()
	full := unary(move{point{1, 2, map[string][]string{"a": {"b"}}}})
	for _, cmd := range []base.Cmd[calc]{full, unary(move{point{X: 3}}), full} {
		var wire bytes.Buffer
		if err := client.Encode(cmd, &wire); err != nil {
			t.Fatal(err)
		}
		got, err := server.Decode(&wire)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, cmd) {
			t.Fatalf("got %#v, want %#v", got, cmd)
		}
	}
	// A refused body leaves nothing behind either.
	if _, err := server.Decode(strings.NewReader("\x01\x0a" + `{"A":9,"B"`)); err == nil {
		t.Fatal("half a body was taken")
	}
	got, err := server.Decode(strings.NewReader("\x01\x02{}"))
	if err != nil || got != unary(add{}) {
		t.Fatalf("got %#v, %v, want a zero add", got, err)
	}
}

func TestManyGoroutines(t *testing.T) {
	set := jsonSet()
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			// Each asks for its own codec: that is allowed at any time.
			client, server := set.Client(), set.Server()
			for j := range 200 {
				cmd := unary(add{i, j})
				var wire bytes.Buffer
				if err := client.Encode(cmd, &wire); err != nil {
					t.Error(err)
				}
				if got, err := server.Decode(&wire); err != nil || got != cmd {
					t.Errorf("got %#v, %v, want %#v", got, err, cmd)
				}
				if err := server.Encode(base.Value[int]{V: j}, &wire); err != nil {
					t.Error(err)
				}
				if got, err := client.DecodeFor(cmd, &wire); err != nil || got != (base.Value[int]{V: j}) {
					t.Errorf("got %#v, %v, want %d", got, err, j)
				}
			}
		})
	}
	group.Wait()
}
