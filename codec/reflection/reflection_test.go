package reflection_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/codec/reflection"
)

// answers is a client whose server answers with what stands there.
type answers []string

func (a answers) Do(ctx context.Context, cmd base.Cmd[reflection.None]) (base.Result, error) {
	for result, err := range a.Results(ctx, cmd) {
		return result, err
	}
	return nil, io.ErrUnexpectedEOF
}

func (a answers) Results(_ context.Context, cmd base.Cmd[reflection.None]) iter.Seq2[base.Result, error] {
	return func(yield func(base.Result, error) bool) {
		var question bytes.Buffer
		codec := reflection.NewCodec()
		if err := codec.Encode(cmd, &question); err != nil || question.Len() != codec.Size(cmd) {
			yield(nil, errors.Join(err, errors.New("the question has another size than was said")))
			return
		}
		for _, wire := range a {
			result, err := codec.Decode(bytes.NewBufferString(wire))
			if !yield(result, err) || err != nil {
				return
			}
		}
	}
}

// TestAnswersThatCannotBeRead: a server that answers something else is an error, and no more.
func TestAnswersThatCannotBeRead(t *testing.T) {
	for wire, want := range map[string]string{
		"":                                   "length",
		"\x00":                               "end",
		"\x03{}":                             "",
		"\x02{":                              "can't be read",
		"\x09{}":                             "reading an answer",
		"\xff\xff\xff\xff\xff\xff\xff\x7f{}": "reading an answer",
		strings.Repeat("\xff", 11):           "length",
	} {
		d, err := reflection.Describe(t.Context(), answers{wire})
		if (err == nil) != (want == "") || err != nil && (d != nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, %v", wire, d, err)
		}
	}
}

func TestCallEndsWhereItsResultsDo(t *testing.T) {
	collect := func(a answers, atMost int) (got []string, last error) {
		for text, err := range reflection.Call(t.Context(), a, "X", json.RawMessage(`{}`)) {
			if last = err; err == nil {
				got = append(got, string(text))
			}
			if len(got) == atMost {
				break
			}
		}
		return got, last
	}
	if got, err := collect(answers{"\x021", "\x022", "\x00", "\x023"}, 9); len(got) != 2 || err != nil {
		t.Errorf("a stream: %v, %v", got, err)
	}
	if got, err := collect(answers{"\x021", "\x05"}, 9); len(got) != 1 || err == nil {
		t.Errorf("a result that is cut: %v, %v", got, err)
	}
	if got, err := collect(answers{"\x021", "\x022"}, 1); len(got) != 1 || err != nil {
		t.Errorf("left early: %v, %v", got, err)
	}
}

// foreign is a command that a client of this package can't send.
type foreign struct{}

func (foreign) Exec(context.Context, time.Time, base.Seq, reflection.None, base.Proxy) error {
	return nil
}

func TestOtherCommandsAreRefused(t *testing.T) {
	codec := reflection.NewCodec()
	var e *base.Error
	if err := codec.Encode(foreign{}, new(bytes.Buffer)); !errors.As(err, &e) || e.Outcome != base.NotSent || e.Code != base.ErrUnknownCmd {
		t.Errorf("Encode: %v", err)
	}
	if n := codec.Size(foreign{}); n != 0 {
		t.Errorf("Size: %d", n)
	}
}
