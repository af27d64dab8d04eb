package server_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/server"
)

type invokerFunc = handler.InvokerFunc[World]

// The first of Use is the outermost, and what is left of a command comes to Invoker.
func TestUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var trace []string
		note := func(line string) {
			mu.Lock()
			defer mu.Unlock()
			trace = append(trace, line)
		}
		tracing := func(name string) handler.Middleware[World] {
			return func(next handler.Invoker[World]) handler.Invoker[World] {
				return invokerFunc(func(ctx context.Context, at time.Time, seq base.Seq, c base.Cmd[World], proxy base.Proxy) error {
					note(name + " begins")
					defer note(name + " ends")
					return next.Invoke(ctx, at, seq, c, proxy)
				})
			}
		}
		h := start(t, server.Conf[World]{
			Use: []handler.Middleware[World]{tracing("one"), tracing("two")},
			Invoker: invokerFunc(func(ctx context.Context, at time.Time, seq base.Seq, c base.Cmd[World], proxy base.Proxy) error {
				note("the invoker")
				return c.Exec(ctx, at, seq, World{}, proxy)
			}),
		}, nil)
		h.echoes(h.client())
		settle()
		mu.Lock()
		defer mu.Unlock()
		if want := []string{"one begins", "two begins", "the invoker", "two ends", "one ends"}; !slices.Equal(trace, want) {
			t.Errorf("got %q, want %q", trace, want)
		}
	})
}

// A middleware that refuses a command says that it was not run, unless the command has sent
// something; without an Invoker the command's Exec is called.
func TestUseRejects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refusal := &base.Error{Outcome: base.Rejected, Code: base.ErrBusy, Message: "not today", RetryAfter: time.Minute}
		h := start(t, server.Conf[World]{Use: []handler.Middleware[World]{func(next handler.Invoker[World]) handler.Invoker[World] {
			return invokerFunc(func(ctx context.Context, at time.Time, seq base.Seq, c base.Cmd[World], proxy base.Proxy) error {
				switch c.(found).cmd {
				case "echo":
					return next.Invoke(ctx, at, seq, c, proxy)
				case "half":
					next.Invoke(ctx, at, seq, c, proxy)
				}
				return refusal
			})
		}}}, commands{
			"never": func(context.Context, func(string, bool) error) error { t.Error("it was run"); return nil },
			"half":  func(_ context.Context, send func(string, bool) error) error { return send("half", false) },
		})
		c := h.client()
		h.echoes(c)
		for name, outcome := range map[cmd]base.Outcome{"never": base.Rejected, "half": base.Failed} {
			var err error
			for _, err = range c.Results(t.Context(), name) {
			}
			var e *base.Error
			if !errors.As(err, &e) || e.Outcome != outcome || e.Code != base.ErrBusy || e.Error() != "not today" || e.RetryAfter != time.Minute {
				t.Errorf("%s: got %+v", name, e)
			}
		}
	})
}

func TestUseOfNothing(t *testing.T) {
	through := func(next handler.Invoker[World]) handler.Invoker[World] { return next }
	for _, use := range []handler.Middleware[World]{nil, func(handler.Invoker[World]) handler.Invoker[World] { return nil }} {
		_, err := server.New[World](serverCodec{}, World{}, server.Conf[World]{Use: []handler.Middleware[World]{through, use}})
		if !errors.Is(err, base.ErrConf) {
			t.Errorf("got %v", err)
		}
	}
}
