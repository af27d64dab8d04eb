package debug

import (
	"context"
	"iter"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/handler"
)

// Server returns what a server's commands pass through, so that the Page sees them:
//
//	conf := server.Conf[Calc]{Use: []handler.Middleware[Calc]{debug.Server[Calc](page)}}
//
// Put it first, and it sees what the others do. It allocates nothing for a command that
// succeeds. Commands that the server itself refuses, such as those that found no place to
// run, do not come by: server.Stats counts them.
func Server[T any](page *Page) handler.Middleware[T] {
	return func(next handler.Invoker[T]) handler.Invoker[T] {
		return handler.InvokerFunc[T](func(ctx context.Context, at time.Time, seq base.Seq, cmd base.Cmd[T], proxy base.Proxy) (err error) {
			r := page.begin(&page.server, cmd, at, seq, remote{proxy.RemoteAddr()})
			err = errLeft
			defer func() { page.end(r, err) }()
			err = next.Invoke(ctx, at, seq, cmd, proxy)
			return err
		})
	}
}

// Client returns what a client's commands pass through, so that the Page sees them:
//
//	c := cmdstream.Use(conn, debug.Client[Calc](page))
//
// Put it first, and it sees what the callers see; last, and it sees each attempt of a
// policy that tries again. It allocates nothing for a command of Do that succeeds. A loop
// over results that is left early counts as a success. What goes by the client's Send and
// Open does not come by.
func Client[T any](page *Page) cmdstream.Middleware[T] {
	return func(next cmdstream.Client[T]) cmdstream.Client[T] { return watched[T]{next, page} }
}

type watched[T any] struct {
	next cmdstream.Client[T]
	page *Page
}

func (w watched[T]) Do(ctx context.Context, cmd base.Cmd[T]) (result base.Result, err error) {
	r := w.page.begin(&w.page.client, cmd, time.Time{}, 0, remote{})
	err = errLeft
	defer func() { w.page.end(r, err) }()
	result, err = w.next.Do(ctx, cmd)
	return result, err
}

func (w watched[T]) Results(ctx context.Context, cmd base.Cmd[T]) iter.Seq2[base.Result, error] {
	return func(yield func(base.Result, error) bool) {
		r := w.page.begin(&w.page.client, cmd, time.Time{}, 0, remote{})
		var failed error
		returned := false
		defer func() {
			if !returned && failed == nil {
				failed = errLeft
			}
			w.page.end(r, failed)
		}()
		for result, err := range w.next.Results(ctx, cmd) {
			failed = err
			if !yield(result, err) {
				break
			}
		}
		returned = true
	}
}

// errLeft is the error of a command whose code has not returned.
var errLeft = &base.Error{Outcome: base.Failed, Code: base.ErrPanic, Message: "its code panicked, or ended its goroutine by runtime.Goexit"}

// begin notes that a command begins; at is when it came, zero: now.
func (p *Page) begin(side *kinds, cmd any, at time.Time, seq base.Seq, from remote) *running {
	began := at.Sub(p.since)
	if at.IsZero() {
		began = time.Since(p.since)
	}
	k := side.of(cmd)
	k.inFlight.Add(1)
	return p.open.begin(k, began, seq, from)
}

// end notes how it has ended.
func (p *Page) end(r *running, err error) {
	k, seq, from, now := r.kind, r.seq, r.remote, time.Since(p.since)
	second := int64(now / time.Second)
	k.took.add(now - r.began)
	k.ended.add(second)
	k.inFlight.Add(-1)
	r.end()
	if err == nil {
		k.succeeded.Add(1)
		return
	}
	k.failed.Add(1)
	k.failing.add(second)
	k.fail(p.since.Add(now), err, seq, from)
}
