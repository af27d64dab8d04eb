package otel

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/handler"
)

// Server makes a span and a duration of each command that runs, the span a child of the
// client's. The command's ctx has the span. What is refused before it runs, such as a
// command that comes while the server is busy, has neither here, but at the client.
//
// A client's metadata may hold anything: what is no trace, comes twice, or is longer than
// 2 KiB is ignored. Of the codes that are not this library's the first 100 are told, the
// others are "_OTHER".
//
// The middleware may be used for many servers, and by many goroutines at once. A command's
// panic goes on.
func Server[T any](opts ...Option) handler.Middleware[T] {
	r := newRecorder(trace.SpanKindServer, opts)
	return func(next handler.Invoker[T]) handler.Invoker[T] {
		return handler.InvokerFunc[T](func(ctx context.Context, at time.Time, seq base.Seq, cmd base.Cmd[T], to base.Proxy) error {
			call := r.begin(r.extract(ctx), cmd)
			if !call.isTold() {
				defer call.span.End()
				return next.Invoke(call.ctx, at, seq, cmd, to)
			}
			counting := &proxy{Proxy: to}
			ended := broken(base.Failed)
			defer func() { call.end(ended, counting.attributes) }()
			err := next.Invoke(call.ctx, at, seq, cmd, counting.whole())
			ended = endingAt(ctx, err, counting.answered.Load())
			return err
		})
	}
}

// proxy is a command's proxy that counts.
type proxy struct {
	base.Proxy
	results  atomic.Int64
	inputs   atomic.Int64
	answered atomic.Bool // the last was sent
}

// whole returns the proxy with all that the one below can do.
func (p *proxy) whole() base.Proxy {
	if _, ok := p.Proxy.(base.Inputs); ok {
		return inputProxy{p}
	}
	return p
}

// Send implements base.Proxy.
func (p *proxy) Send(seq base.Seq, result base.Result) error {
	if err := p.Proxy.Send(seq, result); err != nil {
		return err
	}
	if isCounted(result) {
		p.results.Add(1)
	}
	if result.LastOne() {
		p.answered.Store(true)
	}
	return nil
}

func (p *proxy) attributes(to []attribute.KeyValue) []attribute.KeyValue {
	to = appendAddr(to, p.LocalAddr(), semconv.ServerAddressKey, semconv.ServerPortKey)
	to = appendAddr(to, p.RemoteAddr(), semconv.NetworkPeerAddressKey, semconv.NetworkPeerPortKey)
	to = append(to, resultsKey.Int64(p.results.Load()))
	if n := p.inputs.Load(); n > 0 {
		to = append(to, inputsKey.Int64(n))
	}
	return to
}

func appendAddr(to []attribute.KeyValue, addr net.Addr, host, port attribute.Key) []attribute.KeyValue {
	if addr == nil {
		return to
	}
	return appendAddress(to, addr.String(), host, port)
}

// inputProxy is a proxy where the wire carries inputs.
type inputProxy struct{ *proxy }

// Receive implements base.Inputs.
func (p inputProxy) Receive(seq base.Seq) (any, error) {
	input, err := p.Proxy.(base.Inputs).Receive(seq)
	if err == nil {
		p.inputs.Add(1)
	}
	return input, err
}
