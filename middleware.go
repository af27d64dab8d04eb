package cmdstream

import (
	"context"
	"iter"

	"github.com/cmdstream/cmdstream/base"
)

// Middleware adds something to what a client does: it returns a Client that calls
// next, in the manner of net/http. Its methods are called by many goroutines at once.
type Middleware[T any] func(next Client[T]) Client[T]

// Use returns a Client whose commands pass through with on their way to c, the first
// one first. What c is besides, such as an [Opener], the result is not.
//
//	c := cmdstream.Use(conn, policy.Retry[Calc](…), otel.Client[Calc](…))
func Use[T any](c Client[T], with ...Middleware[T]) Client[T] {
	for i := len(with) - 1; i >= 0; i-- {
		c = with[i](c)
	}
	return c
}

// Calls is a Client made of two functions, for a [Middleware].
type Calls[T any] struct {
	DoFunc      func(ctx context.Context, cmd base.Cmd[T]) (base.Result, error)
	ResultsFunc func(ctx context.Context, cmd base.Cmd[T]) iter.Seq2[base.Result, error]
}

// Do calls DoFunc.
func (c Calls[T]) Do(ctx context.Context, cmd base.Cmd[T]) (base.Result, error) {
	return c.DoFunc(ctx, cmd)
}

// Results calls ResultsFunc.
func (c Calls[T]) Results(ctx context.Context, cmd base.Cmd[T]) iter.Seq2[base.Result, error] {
	return c.ResultsFunc(ctx, cmd)
}
