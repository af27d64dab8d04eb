package cmdstream

import (
	"context"
	"fmt"
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

func wrongType[C any](want, got base.Result) error {
	var cmd C
	return &base.Error{
		Outcome: base.Failed, Code: base.ErrDecode, Cmd: fmt.Sprintf("%T", cmd),
		Message: fmt.Sprintf("the result is a %T where %T was expected: do client and server agree on the command's tag?", got, want),
	}
}
