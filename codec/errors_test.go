package codec_test

import (
	"bytes"
	"context"
	stdjson "encoding/json"
	"errors"
	"io"
	"math"
	"testing"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
)

// tick is in no set, and has a field that JSON would lose.
type tick struct{ every int }

func (c tick) Stream(_ context.Context, _ calc, send func(int) error) error { return send(c.every) }

// byValue and *byValue are both commands; a set has one of them.
type byValue struct{}

func (byValue) Run(context.Context, calc) (int, error) { return 0, nil }

// plain is a base.Cmd of its own, not a typed one.
type plain struct{ base.Unary[calc, int, add] }

// wantError checks what a failing codec must say; an empty cmd or text is not
// checked.
func wantError(t *testing.T, err error, outcome base.Outcome, code base.Code, cmd, text string) {
	t.Helper()
	var e *base.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v (%T), want a *base.Error", err, err)
	}
	if got := base.OutcomeOf(err); got != outcome {
		t.Errorf("the outcome is %v, want %v", got, outcome)
	}
	if !errors.Is(err, code) {
		t.Errorf("the code is %v, want %v", e.Code, code)
	}
	if e.Cmd != cmd {
		t.Errorf("the command is %q, want %q", e.Cmd, cmd)
	}
	if got := err.Error(); text != "" && got != text {
		t.Errorf("the error says\n%s\nwant\n%s", got, text)
	}
	if e.Remote || e.Seq != 0 {
		t.Errorf("the error has Remote %v and Seq %d, which a codec can't know", e.Remote, e.Seq)
	}
}

func TestEncodeOfACommandFails(t *testing.T) {
	set := jsonSet()
	codec.Unary[byValue](set, 20)
	set.Limit(100)
	client := set.Client()
	tests := []struct {
		name string
		cmd  base.Cmd[calc]
		code base.Code
		in   string
		text string
	}{
		{"nil", nil, base.ErrNilCmd, "", "cmdstream: the command is nil"},
		{
			"nil pointer", unary((*byPointer)(nil)), base.ErrNilCmd, "*codec_test.byPointer",
			"cmdstream: command *codec_test.byPointer: the command is a nil pointer (outcome: not sent)",
		},
		{
			"not in the set", stream(tick{}), base.ErrUnknownCmd, "codec_test.tick",
			"cmdstream: command codec_test.tick: the set has no such command (outcome: not sent)",
		},
		{
			"pointer instead of value", unary(&byValue{}), base.ErrUnknownCmd, "*codec_test.byValue",
			"cmdstream: command *codec_test.byValue: the set has no such command, but it has codec_test.byValue: send or register the other (outcome: not sent)",
		},
		{"not typed", plain{}, base.ErrUnknownCmd, "codec_test.plain", ""},
		{"by pointer to the adapter", &base.Unary[calc, int, add]{}, base.ErrUnknownCmd, "*base.Unary[github.com/cmdstream/cmdstream/codec_test.calc,int,github.com/cmdstream/cmdstream/codec_test.add]", ""},
		{
			"too large", unary(split{string(make([]byte, 100))}), base.ErrTooLargeCmd, "codec_test.split",
			"cmdstream: command codec_test.split: it has 611 bytes, and the set's limit is 100 (outcome: not sent)",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var w bytes.Buffer
			err := client.Encode(test.cmd, &w)
			wantError(t, err, base.NotSent, test.code, test.in, test.text)
			if w.Len() != 0 {
				t.Errorf("%q was written", w.Bytes())
			}
		})
	}
}

func TestUnknownCommandHints(t *testing.T) {
	set := codec.NewSet[calc](json.Format{})
	codec.Unary[both](set, 1)
	codec.Unary[*byValue](set, 2)
	wantError(t, set.Client().Encode(stream(both{}), &bytes.Buffer{}), base.NotSent, base.ErrUnknownCmd, "codec_test.both",
		"cmdstream: command codec_test.both: the set has no such command, it has it as a Unary only (outcome: not sent)")
	wantError(t, set.Client().Encode(unary(byValue{}), &bytes.Buffer{}), base.NotSent, base.ErrUnknownCmd, "codec_test.byValue",
		"cmdstream: command codec_test.byValue: the set has no such command, but it has *codec_test.byValue: send or register the other (outcome: not sent)")

	set = codec.NewSet[calc](json.Format{})
	codec.Stream[both](set, 1)
	wantError(t, set.Client().Encode(unary(both{}), &bytes.Buffer{}), base.NotSent, base.ErrUnknownCmd, "codec_test.both",
		"cmdstream: command codec_test.both: the set has no such command, it has it as a Stream only (outcome: not sent)")
}

// ratio can hold what JSON can't.
type ratio struct{ Of float64 }

func (c ratio) Run(context.Context, calc) (float64, error) { return c.Of, nil }

func TestTheFormatCannotEncode(t *testing.T) {
	set := codec.NewSet[calc](json.Format{})
	codec.Unary[ratio](set, 8)
	var w bytes.Buffer
	err := set.Client().Encode(unary(ratio{math.NaN()}), &w)
	wantError(t, err, base.NotSent, base.ErrEncode, "codec_test.ratio",
		"cmdstream: command codec_test.ratio: it could not be encoded (tag 8): json: unsupported value: NaN (outcome: not sent)")
	var cause *stdjson.UnsupportedValueError
	if !errors.As(err, &cause) {
		t.Error("the format's error is not wrapped")
	}
	err = set.Server().Encode(base.Value[float64]{V: math.Inf(1)}, &w)
	wantError(t, err, base.Failed, base.ErrEncode, "",
		"cmdstream: a result of the type base.Value[float64] could not be encoded: json: unsupported value: +Inf")
	if !errors.As(err, &cause) {
		t.Error("the format's error is not wrapped")
	}
	if w.Len() != 0 {
		t.Errorf("%q was written", w.Bytes())
	}
}

func TestEncodeOfAResultFails(t *testing.T) {
	set := jsonSet()
	set.Limit(10)
	server := set.Server()
	var w bytes.Buffer
	wantError(t, server.Encode(nil, &w), base.Failed, base.ErrEncode, "",
		"cmdstream: no command of the set has a result of the type <nil>")
	wantError(t, server.Encode(base.Item[string]{}, &w), base.Failed, base.ErrEncode, "",
		"cmdstream: no command of the set has a result of the type base.Item[string]")
	wantError(t, server.Encode(base.Value[string]{V: "much too long"}, &w), base.Failed, base.ErrTooLargeResult, "",
		"cmdstream: it has 15 bytes, and the set's limit is 10")
	if w.Len() != 0 {
		t.Errorf("%q was written", w.Bytes())
	}
}

// brokenWriter is a connection that was lost.
type brokenWriter struct{ calls int }

func (w *brokenWriter) Write([]byte) (int, error)       { w.calls++; return 0, io.ErrClosedPipe }
func (w *brokenWriter) WriteByte(byte) error            { w.calls++; return io.ErrClosedPipe }
func (w *brokenWriter) WriteString(string) (int, error) { w.calls++; return 0, io.ErrClosedPipe }

func TestTheWriterFails(t *testing.T) {
	set := jsonSet()
	var w brokenWriter
	for i, err := range []error{
		set.Client().Encode(unary(add{}), &w),
		set.Server().Encode(base.Value[int]{}, &w),
		set.Server().Encode(base.End{}, &w),
	} {
		if err != io.ErrClosedPipe {
			t.Errorf("%d: got %v, want the writer's own error", i, err)
		}
	}
	if w.calls != 3 {
		t.Errorf("%d calls of the writer for 3 values", w.calls)
	}
}
