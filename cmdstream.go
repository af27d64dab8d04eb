package cmdstream

import (
	"context"
	"fmt"
	"io"
	"iter"

	"github.com/cmdstream/cmdstream/base"
)

// Client is what the typed calls need of a client. *client.Client is one.
type Client[T any] interface {
	Do(ctx context.Context, cmd base.Cmd[T]) (base.Result, error)
	Results(ctx context.Context, cmd base.Cmd[T]) iter.Seq2[base.Result, error]
}

// Do sends a typed command and returns its result. Both type parameters follow
// from the command's Run method, so a call names none of them.
func Do[T, R any, C base.Runner[T, R]](ctx context.Context, c Client[T], cmd C) (R, error) {
	var zero R
	result, err := c.Do(ctx, base.Unary[T, R, C]{Cmd: cmd})
	if err != nil {
		return zero, err
	}
	v, ok := result.(base.Value[R])
	if !ok {
		return zero, wrongType[C](base.Value[R]{}, result)
	}
	return v.V, nil
}

// Results sends a typed command and iterates over its results. A non-nil error
// is the last pair. Leaving the loop early cancels the command.
func Results[T, R any, C base.Streamer[T, R]](ctx context.Context, c Client[T], cmd C) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		var zero R
		for result, err := range c.Results(ctx, base.Stream[T, R, C]{Cmd: cmd}) {
			if err != nil {
				yield(zero, err)
				return
			}
			switch r := result.(type) {
			case base.Item[R]:
				if !yield(r.V, nil) {
					return
				}
			case base.End:
				return
			default:
				yield(zero, wrongType[C](base.Item[R]{}, result))
				return
			}
		}
	}
}

// Opener is what [Open] needs of a client. *client.Client is one.
type Opener[T any] interface {
	Open(ctx context.Context, cmd base.Cmd[T]) (base.Call, error)
}

// Exchange is an open typed command that is sent inputs while it runs, made by
// [Open]. Send and CloseSend are for one goroutine at a time, and Receive and Results
// for one, which may be another.
type Exchange[I, R any] struct {
	call base.Call
	cmd  string
}

// Open sends a typed command that is then sent inputs. All type parameters follow
// from the command's Exchange method. ctx bounds all of it. The Exchange must be
// closed.
func Open[T, I, R any, C base.Exchanger[T, I, R]](ctx context.Context, c Opener[T], cmd C) (*Exchange[I, R], error) {
	call, err := c.Open(ctx, base.Exchange[T, I, R, C]{Cmd: cmd})
	if err != nil {
		return nil, err
	}
	return &Exchange[I, R]{call: call, cmd: fmt.Sprintf("%T", cmd)}, nil
}

// Send sends an input. It waits while the command has not taken enough of those
// before; io.EOF says that the command has ended, and Receive tells how.
func (x *Exchange[I, R]) Send(input I) error { return x.call.Send(input) }

// CloseSend says that no input follows.
func (x *Exchange[I, R]) CloseSend() error { return x.call.CloseSend() }

// Receive returns the next result, io.EOF after the last, or the error that ended the
// command.
func (x *Exchange[I, R]) Receive() (R, error) {
	var zero R
	result, err := x.call.Receive()
	if err != nil {
		return zero, err
	}
	switch r := result.(type) {
	case base.Item[R]:
		return r.V, nil
	case base.End:
		return zero, io.EOF
	}
	return zero, unexpected(x.cmd, base.Item[R]{}, result)
}

// Results iterates over the results that have not been received yet. A non-nil error
// is the last pair. Leaving the loop early does not cancel the command: Close does.
func (x *Exchange[I, R]) Results() iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		for {
			r, err := x.Receive()
			if err == io.EOF || !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// Close gives the command up, if it has not ended, and lets go of it.
func (x *Exchange[I, R]) Close() error { return x.call.Close() }

func wrongType[C any](want, got base.Result) error {
	var cmd C
	return unexpected(fmt.Sprintf("%T", cmd), want, got)
}

func unexpected(cmd string, want, got base.Result) error {
	return &base.Error{
		Outcome: base.Failed, Code: base.ErrDecode, Cmd: cmd,
		Message: fmt.Sprintf("the result is a %T where %T was expected: do client and server agree on the command's tag?", got, want),
	}
}
