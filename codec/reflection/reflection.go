// Package reflection speaks to servers of typed sets whose commands it does not know: it
// asks for them, and runs them by name, with JSON. The tool cmdstream is made of it.
//
//	c, err := client.New(ctx, reflection.NewCodec(), conn, client.Conf{})
//	description, err := reflection.Describe(ctx, c)
//	for result, err := range reflection.Call(ctx, c, "Add", json.RawMessage(`{"A":2,"B":3}`)) { … }
//
// A server answers with the names of its commands in any case, and with their fields, and
// runs them, where its set has called Reflect.
package reflection

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/internal/catalogue"
	"github.com/cmdstream/cmdstream/transport"
)

// None is the receiver of commands that only a server knows.
type None struct{}

// Client is what is needed of a client. *client.Client[None] is one.
type Client interface {
	Do(ctx context.Context, cmd base.Cmd[None]) (base.Result, error)
	Results(ctx context.Context, cmd base.Cmd[None]) iter.Seq2[base.Result, error]
}

// Codec is the codec of a client that knows no commands. It may be used by many goroutines
// at once.
type Codec struct{}

// NewCodec returns one.
func NewCodec() Codec { return Codec{} }

// Encode writes a question. Other commands it does not know.
func (Codec) Encode(cmd base.Cmd[None], w transport.Writer) error {
	q, ok := cmd.(question)
	if !ok {
		return &base.Error{Outcome: base.NotSent, Code: base.ErrUnknownCmd, Cmd: base.NameOf(cmd), Message: "this client sends what Describe and Call send, and no other commands"}
	}
	_, err := w.Write(q)
	return err
}

// Size returns the size of a question.
func (Codec) Size(cmd base.Cmd[None]) int {
	q, _ := cmd.(question)
	return len(q)
}

// Decode reads a result. Its size is within the client's MaxResultSize.
func (Codec) Decode(r transport.Reader) (base.Result, error) {
	n, err := binary.ReadUvarint(r)
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the length of an answer: %w", err)
	case n == 0:
		return base.End{}, nil
	}
	var text bytes.Buffer // grows with what comes, not with what is announced
	if _, err := io.CopyN(&text, r, int64(min(n-1, 1<<40))); err != nil {
		return nil, fmt.Errorf("reading an answer: %w", err)
	}
	return answer(text.Bytes()), nil
}

// question is the reserved command, encoded.
type question []byte

func newQuestion(what byte, rest []byte) question {
	q := append(question{catalogue.Tag}, binary.AppendUvarint(nil, uint64(len(rest)+1))...)
	return append(append(q, what), rest...)
}

// Exec is never called: it is the server's to answer.
func (question) Exec(context.Context, time.Time, base.Seq, None, base.Proxy) error {
	return errors.New("reflection: a question is run at a server")
}

// answer is one result.
type answer json.RawMessage

// LastOne is of no use: the wire tells which result is the last.
func (answer) LastOne() bool { return true }

// Describe asks a server for its commands. base.ErrUnknownCmd says that it has no typed
// set, or one of an older version.
func Describe(ctx context.Context, c Client) (*Description, error) {
	result, err := c.Do(ctx, newQuestion(catalogue.Describe, nil))
	if err != nil {
		return nil, err
	}
	text, ok := result.(answer)
	if !ok {
		return nil, notUnderstood(errors.New("it is an end"))
	}
	d := new(Description)
	if err := json.Unmarshal(text, d); err != nil {
		return nil, notUnderstood(err)
	}
	return d, nil
}

func notUnderstood(err error) error {
	return &base.Error{Outcome: base.Failed, Code: base.ErrDecode, Message: "the server's description of its commands can't be read", Err: err}
}

// Call runs a command that is given by its name, with the package or without, and its
// fields as JSON, and iterates over its results, of which a unary command has one. A
// non-nil error is the last pair: base.ErrUnknownCmd, base.ErrDecode for a body that does
// not fit, base.ErrUnsupported where the server's set has not called Reflect, and whatever
// the command may end with. Leaving the loop early cancels the command.
func Call(ctx context.Context, c Client, name string, body json.RawMessage) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		for result, err := range c.Results(ctx, newQuestion(catalogue.Call, append(catalogue.AppendName(nil, name), body...))) {
			text, ok := result.(answer)
			switch {
			case err != nil:
				yield(nil, err)
				return
			case !ok: // a base.End
				return
			case !yield(json.RawMessage(text), nil):
				return
			}
		}
	}
}
