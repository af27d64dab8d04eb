package cmdstream_test

import (
	"context"
	"iter"
	"slices"
	"testing"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
)

// tracing notes when a command passes it by, on its way and back.
func tracing(name string, trace *[]string) cmdstream.Middleware[Calc] {
	return func(next cmdstream.Client[Calc]) cmdstream.Client[Calc] {
		return cmdstream.Calls[Calc]{
			DoFunc: func(ctx context.Context, cmd base.Cmd[Calc]) (base.Result, error) {
				*trace = append(*trace, name+" does")
				defer func() { *trace = append(*trace, name+" did") }()
				return next.Do(ctx, cmd)
			},
			ResultsFunc: func(ctx context.Context, cmd base.Cmd[Calc]) iter.Seq2[base.Result, error] {
				return func(yield func(base.Result, error) bool) {
					*trace = append(*trace, name+" begins")
					for result, err := range next.Results(ctx, cmd) {
						if !yield(result, err) {
							break
						}
					}
					*trace = append(*trace, name+" ends")
				}
			},
		}
	}
}

// The first one is the outermost.
func TestUse(t *testing.T) {
	var trace []string
	c := cmdstream.Use[Calc](&fakeClient[Calc]{}, tracing("one", &trace), tracing("two", &trace))
	if n, err := cmdstream.Do(t.Context(), c, Divide{6, 2}); n != 3 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	values, errs := collect(cmdstream.Results(t.Context(), c, Count{3}))
	if !slices.Equal(values, []int{1, 2, 3}) || len(errs) > 0 {
		t.Errorf("got %v, %v", values, errs)
	}
	want := []string{"one does", "two does", "two did", "one did", "one begins", "two begins", "two ends", "one ends"}
	if !slices.Equal(trace, want) {
		t.Errorf("got %q, want %q", trace, want)
	}
}

// Without middleware a client is what it was.
func TestUseNothing(t *testing.T) {
	c := &fakeClient[Calc]{}
	if got := cmdstream.Use[Calc](c); got != cmdstream.Client[Calc](c) {
		t.Errorf("got %v", got)
	}
}

// A middleware may answer by itself.
func TestMiddlewareThatAnswers(t *testing.T) {
	refusal := &base.Error{Outcome: base.NotSent, Code: base.ErrBusy}
	c := cmdstream.Use[Calc](nil, func(cmdstream.Client[Calc]) cmdstream.Client[Calc] {
		return cmdstream.Calls[Calc]{
			DoFunc: func(context.Context, base.Cmd[Calc]) (base.Result, error) { return nil, refusal },
			ResultsFunc: func(context.Context, base.Cmd[Calc]) iter.Seq2[base.Result, error] {
				return func(yield func(base.Result, error) bool) { yield(nil, refusal) }
			},
		}
	})
	if _, err := cmdstream.Do(t.Context(), c, Divide{6, 2}); err != refusal {
		t.Errorf("got %v", err)
	}
	if values, errs := collect(cmdstream.Results(t.Context(), c, Count{3})); len(values) > 0 || len(errs) != 1 || errs[0] != refusal {
		t.Errorf("got %v, %v", values, errs)
	}
}
