package protobuf_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/cmdstreamtest"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/protobuf"
	"github.com/cmdstream/cmdstream/codec/protobuf/internal/testpb"
	"github.com/cmdstream/cmdstream/codec/reflection"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/server"
)

// Add adds. It returns nothing for the result 0, which is a mistake.
type Add struct{ *testpb.AddRequest }

func (c Add) Run(context.Context, testpb.Calc) (*testpb.Sum, error) {
	if c.A+c.B == 0 {
		return nil, nil
	}
	return &testpb.Sum{Value: c.A + c.B}, nil
}

// Count is a command with a pointer receiver, and many results.
type Count struct{ To *wrapperspb.Int64Value }

func (c *Count) Stream(_ context.Context, _ testpb.Calc, send func(*testpb.Sum) error) error {
	for n := range c.To.GetValue() {
		if err := send(&testpb.Sum{Value: n + 1}); err != nil {
			return err
		}
	}
	return nil
}

// Total is sent numbers.
type Total struct{ *testpb.Sum }

func (c Total) Exchange(_ context.Context, _ testpb.Calc, inputs iter.Seq2[*wrapperspb.Int64Value, error], send func(*testpb.Sum) error) error {
	total := c.GetValue()
	for n, err := range inputs {
		if err != nil {
			return err
		}
		total += n.GetValue()
	}
	return send(&testpb.Sum{Value: total})
}

// connect returns a client of all these commands, whose bodies may have so many bytes.
func connect(t *testing.T, limit int) *client.Client[testpb.Calc] {
	set := codec.NewSet[testpb.Calc](protobuf.Format{})
	set.Limit(limit)
	codec.Unary[Add](set, 1)
	codec.Unary[*testpb.DoubleRequest](set, 2)
	codec.Stream[*Count](set, 3)
	codec.Exchange[Total](set, 4)
	return cmdstreamtest.New(t, set.Client(), set.Server(), testpb.Calc{})
}

// Through a client and a server.
func TestCommands(t *testing.T) {
	c := connect(t, codec.DefaultLimit)
	if sum, err := cmdstream.Do(t.Context(), c, Add{&testpb.AddRequest{A: 2, B: 3}}); err != nil || sum.Value != 5 {
		t.Errorf("got %v, %v", sum, err)
	}
	if sum, err := cmdstream.Do(t.Context(), c, &testpb.DoubleRequest{N: 21}); err != nil || sum.Value != 42 {
		t.Errorf("got %v, %v", sum, err)
	}
	var counted int64
	for n, err := range cmdstream.Results(t.Context(), c, &Count{wrapperspb.Int64(3)}) {
		if err != nil {
			t.Fatal(err)
		}
		if counted++; n.Value != counted {
			t.Errorf("got %v as number %d", n, counted)
		}
	}
	if counted != 3 {
		t.Errorf("%d results", counted)
	}
	x, err := cmdstream.Open(t.Context(), c, Total{&testpb.Sum{Value: 10}})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if err := errors.Join(x.Send(wrapperspb.Int64(20)), x.Send(wrapperspb.Int64(30)), x.CloseSend()); err != nil {
		t.Fatal(err)
	}
	if total, err := x.Receive(); err != nil || total.Value != 60 {
		t.Errorf("got %v, %v", total, err)
	}
}

// One clear error each, and the connection goes on.
func TestCommandsThatCantBeSent(t *testing.T) {
	c := connect(t, 10)
	for name, test := range map[string]struct {
		cmd     base.Cmd[testpb.Calc]
		code    base.Code
		outcome base.Outcome
		want    string
	}{
		"no message":   {base.Unary[testpb.Calc, *testpb.Sum, Add]{Cmd: Add{}}, base.ErrEncode, base.NotSent, "holds a nil *testpb.AddRequest"},
		"nil":          {base.Unary[testpb.Calc, *testpb.Sum, *testpb.DoubleRequest]{}, base.ErrNilCmd, base.NotSent, "nil pointer"},
		"a nil result": {base.Unary[testpb.Calc, *testpb.Sum, Add]{Cmd: Add{&testpb.AddRequest{}}}, base.ErrEncode, base.Failed, "a nil *testpb.Sum can't be told"},
		"too large":    {base.Unary[testpb.Calc, *testpb.Sum, Add]{Cmd: Add{&testpb.AddRequest{A: -1, B: 1}}}, base.ErrTooLargeCmd, base.NotSent, "limit is 10"},
	} {
		_, err := c.Do(t.Context(), test.cmd)
		if !errors.Is(err, test.code) || base.OutcomeOf(err) != test.outcome || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, outcome %v", name, err, base.OutcomeOf(err))
		}
	}
	if sum, err := cmdstream.Do(t.Context(), c, Add{&testpb.AddRequest{A: 2, B: 3}}); err != nil || sum.Value != 5 {
		t.Errorf("afterwards: got %v, %v", sum, err)
	}
}

// A type that is no message is found when it is registered.
func TestACommandThatIsNoMessage(t *testing.T) {
	defer func() {
		const want = "codec: the command protobuf_test.bare (tag 1): protobuf: protobuf_test.bare is no message: use a pointer to a generated message, or a struct whose only field is one"
		if got := recover(); got != want {
			t.Errorf("got  %v\nwant %s", got, want)
		}
	}()
	codec.Unary[bare](codec.NewSet[testpb.Calc](protobuf.Format{}), 1)
}

type bare struct{ A, B int }

func (bare) Run(context.Context, testpb.Calc) (int, error) { return 0, nil }

// A tool that knows no command of the set runs one by JSON, which is that of protobuf.
func TestACommandAsJSON(t *testing.T) {
	set := codec.NewSet[testpb.Calc](protobuf.Format{})
	set.Reflect()
	codec.Unary[Add](set, 1)
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
	for body, want := range map[string]string{`{"a": 2, "b": "3"}`: `{"value":"5"}`, `{"c": 1}`: "unknown field"} {
		for result, err := range reflection.Call(t.Context(), c, "Add", json.RawMessage(body)) {
			switch {
			case err != nil && !strings.Contains(err.Error(), want):
				t.Errorf("%s: %v", body, err)
			case err == nil && strings.ReplaceAll(string(result), " ", "") != want:
				t.Errorf("%s: got %s", body, result)
			}
		}
	}
}
