package otel

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
)

// Client makes a span and a duration of each Do and each loop over Results, and has the
// trace carried to the server. The span ends with the loop.
//
// Beside a middleware that sends a command again, it tells of every try if it comes after
// that in cmdstream.Use, and of all tries together if before.
//
// The plain wire carries no metadata. The first commands on it are sent anew without, which
// is safe, for they have not left; then no trace is carried any more. A command with
// metadata of its own fails there, as it would anyway.
//
// The middleware may be used for many clients, and by many goroutines at once.
func Client[T any](opts ...Option) cmdstream.Middleware[T] {
	r := newRecorder(trace.SpanKindClient, opts)
	return func(next cmdstream.Client[T]) cmdstream.Client[T] {
		return &client[T]{recorder: r, next: next}
	}
}

type client[T any] struct {
	*recorder
	next cmdstream.Client[T]
	bare atomic.Bool // the wire carries no metadata
}

// Do implements cmdstream.Client.
func (c *client[T]) Do(ctx context.Context, cmd base.Cmd[T]) (base.Result, error) {
	call := c.begin(ctx, cmd)
	ended := broken(base.Unknown)
	defer func() { call.end(ended, nothing) }()
	result, err := c.do(call.ctx, cmd)
	ended = endingOf(err)
	return result, err
}

func (c *client[T]) do(ctx context.Context, cmd base.Cmd[T]) (base.Result, error) {
	carrying, mayGoWithout := c.carry(ctx)
	result, err := c.next.Do(carrying, cmd)
	if mayGoWithout && isUnsupported(err) {
		result, err = c.next.Do(ctx, cmd)
		c.learn(err)
	}
	return result, err
}

func nothing(to []attribute.KeyValue) []attribute.KeyValue { return to }

// Results implements cmdstream.Client.
func (c *client[T]) Results(ctx context.Context, cmd base.Cmd[T]) iter.Seq2[base.Result, error] {
	return func(yield func(base.Result, error) bool) {
		call := c.begin(ctx, cmd)
		l := loop{yield: yield, ended: broken(base.Unknown)}
		defer func() { call.end(l.ended, l.count) }()
		carrying, mayGoWithout := c.carry(call.ctx)
		if !l.run(c.next.Results(carrying, cmd), mayGoWithout) {
			l.run(c.next.Results(call.ctx, cmd), false)
			c.learn(l.ended.err)
		}
	}
}

// carry returns ctx with the trace in its outgoing metadata. If there is nothing else in
// that, the command may go without.
func (c *client[T]) carry(ctx context.Context) (carrying context.Context, mayGoWithout bool) {
	if c.bare.Load() {
		return ctx, false
	}
	carrying = c.inject(ctx)
	return carrying, carrying != ctx && base.OutgoingMetadata(ctx) == nil
}

// learn concludes from the end of a command that went without metadata, after it had been
// refused with it.
func (c *client[T]) learn(err error) {
	if !isUnsupported(err) {
		c.bare.Store(true)
	}
}

// isUnsupported tells whether a command was not sent since something is not supported.
func isUnsupported(err error) bool {
	return errors.Is(err, base.ErrUnsupported) && base.OutcomeOf(err) == base.NotSent
}

// loop is one over the results of a command.
type loop struct {
	yield   func(base.Result, error) bool
	results int
	ended   ending
}

// run yields all results, unless the first is an error that is to be avoided.
func (l *loop) run(results iter.Seq2[base.Result, error], avoidUnsupported bool) (done bool) {
	for result, err := range results {
		if err != nil {
			if avoidUnsupported && l.results == 0 && isUnsupported(err) {
				return false
			}
			l.ended = endingOf(err)
			l.yield(nil, err)
			return true
		}
		if isCounted(result) {
			l.results++
		}
		last := result.LastOne()
		if !l.yield(result, nil) {
			if l.ended = succeeded; !last {
				l.ended = ending{outcome: base.Unknown, code: base.ErrCanceled}
			}
			return true
		}
	}
	l.ended = succeeded
	return true
}

func (l *loop) count(to []attribute.KeyValue) []attribute.KeyValue {
	return append(to, resultsKey.Int(l.results))
}

// isCounted tells whether a result is more than the end of a typed stream.
func isCounted(result base.Result) bool {
	_, isEnd := result.(base.End)
	return !isEnd
}
