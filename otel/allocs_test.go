//go:build !race

package otel_test

import (
	"context"
	"testing"
	"time"

	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/otel"
)

// silent is tracing that costs nothing: what is counted with it is this package's own.
type silent struct{ embedded.TracerProvider }

func (silent) Tracer(string, ...trace.TracerOption) trace.Tracer { return silentTracer{} }

type silentTracer struct{ embedded.Tracer }

func (silentTracer) Start(ctx context.Context, _ string, _ ...trace.SpanStartOption) (context.Context, trace.Span) {
	return ctx, noop.Span{}
}

// What a command costs beside itself, in allocations. A duration costs the server one, to
// know whether the command was answered.
func TestAllocations(t *testing.T) {
	exported := sdktrace.WithSyncer(discard{})
	meters := metric.NewMeterProvider(metric.WithReader(metric.NewManualReader()))
	for _, test := range []struct {
		name             string
		tracers          trace.TracerProvider
		client           float64
		server, measured float64
	}{
		{"no tracing", silent{}, 0, 0, 1},
		{"the API's own no tracing", noop.NewTracerProvider(), 1, 1, 2},
		{"not sampled", sdktrace.NewTracerProvider(exported, sdktrace.WithSampler(sdktrace.NeverSample())), 9, 3, 4},
		{"sampled", sdktrace.NewTracerProvider(exported), 14, 10, 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			var cmd base.Cmd[Desk] = base.Unary[Desk, int, Add]{Cmd: Add{2, 3}}
			var result base.Result = base.Value[int]{V: 5}
			for _, measured := range []bool{false, true} {
				opts := []otel.Option{otel.WithTracerProvider(test.tracers), otel.WithMeterProvider(metricnoop.NewMeterProvider())}
				allowed := test.server
				if measured {
					allowed = test.measured
					opts = append(opts, otel.WithMeterProvider(meters))
				}
				c := cmdstream.Use[Desk](cmdstream.Calls[Desk]{DoFunc: func(context.Context, base.Cmd[Desk]) (base.Result, error) { return result, nil }}, otel.Client[Desk](opts...))
				ctx := context.Background()
				got := testing.AllocsPerRun(100, func() { c.Do(ctx, cmd) })
				if got > test.client {
					t.Errorf("the client allocates %v times a command, %v are allowed; measured: %v", got, test.client, measured)
				}
				s := otel.Server[Desk](opts...)(handler.InvokerFunc[Desk](func(_ context.Context, _ time.Time, seq base.Seq, _ base.Cmd[Desk], proxy base.Proxy) error {
					return proxy.Send(seq, result)
				}))
				var proxy base.Proxy = plainProxy{}
				got = testing.AllocsPerRun(100, func() { s.Invoke(ctx, time.Time{}, 1, cmd, proxy) })
				if got > allowed {
					t.Errorf("the server allocates %v times a command, %v are allowed; measured: %v", got, allowed, measured)
				}
			}
		})
	}
}

type discard struct{}

func (discard) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (discard) Shutdown(context.Context) error                             { return nil }
