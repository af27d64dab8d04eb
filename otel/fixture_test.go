package otel_test

import (
	"context"
	"errors"
	"iter"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/cmdstreamtest"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/otel"
)

// Desk is the receiver.
type Desk struct{ begun chan struct{} }

// Add is a command with one result.
type Add struct{ A, B int }

func (c Add) Run(context.Context, Desk) (int, error) { return c.A + c.B, nil }

// Count sends 1, 2, … To, and then fails if it is told to.
type Count struct {
	To   int
	Fail bool
}

func (c Count) Stream(_ context.Context, _ Desk, send func(int) error) error {
	for i := range c.To {
		if err := send(i + 1); err != nil {
			return err
		}
	}
	if c.Fail {
		return errors.New("no more")
	}
	return nil
}

// Sum takes numbers and tells their sum.
type Sum struct{}

func (Sum) Exchange(_ context.Context, _ Desk, numbers iter.Seq2[int, error], send func(int) error) error {
	sum := 0
	for n, err := range numbers {
		if err != nil {
			return err
		}
		sum += n
	}
	return send(sum)
}

// Fail ends as it is told.
type Fail struct{ How string }

func (c Fail) Run(ctx context.Context, desk Desk) (int, error) {
	switch c.How {
	case "panic":
		panicsHere()
	case "code":
		return 0, &base.Error{Code: "out_of_stock", Message: "none left"}
	case "wait":
		desk.begun <- struct{}{}
		<-ctx.Done()
		return 0, context.Cause(ctx)
	case "error panics":
		return 0, badError{}
	case "long":
		return 0, errors.New(string(make([]byte, 10_000)) + "\xff")
	}
	return 0, errors.New("no such article")
}

func panicsHere() { panic("boom") }

type badError struct{}

func (badError) Error() string { panic("an error that panics") }

// Carried returns the metadata that it came with.
type Carried struct{}

func (Carried) Run(ctx context.Context, _ Desk) (base.Metadata, error) {
	return base.MetadataOf(ctx), nil
}

func newSet() *codec.Set[Desk] {
	set := codec.NewSet[Desk](json.Format{})
	codec.Unary[Add](set, 1)
	codec.Stream[Count](set, 2)
	codec.Exchange[Sum](set, 3)
	codec.Unary[Fail](set, 4)
	codec.Unary[Carried](set, 5)
	return set
}

// fixture is a client and a server in memory, both traced and measured.
type fixture struct {
	cmdstream.Client[Desk]
	conn    *client.Client[Desk]
	desk    Desk
	spans   *tracetest.InMemoryExporter
	metrics *metric.ManualReader
	tracers *sdktrace.TracerProvider
	common  []otel.Option
	running sync.WaitGroup // what runs at the server: a span may end after its command's result has come
}

type (
	spanStub = tracetest.SpanStub
	netAddr  = net.Addr
)

// middleware returns one more for a client.
func (f *fixture) middleware(opts ...otel.Option) cmdstream.Middleware[Desk] {
	return otel.Client[Desk](append(slices.Clone(f.common), opts...)...)
}

type setup struct {
	client, server []otel.Option
	sampler        sdktrace.Sampler
	conf           cmdstreamtest.Conf[Desk]
}

func start(t *testing.T, with setup) *fixture {
	t.Helper()
	f := &fixture{desk: Desk{begun: make(chan struct{}, 1)}, spans: tracetest.NewInMemoryExporter(), metrics: metric.NewManualReader()}
	if with.sampler == nil {
		with.sampler = sdktrace.ParentBased(sdktrace.AlwaysSample())
	}
	f.tracers = sdktrace.NewTracerProvider(sdktrace.WithSyncer(f.spans), sdktrace.WithSampler(with.sampler))
	meters := metric.NewMeterProvider(metric.WithReader(f.metrics))
	f.common = []otel.Option{otel.WithTracerProvider(f.tracers), otel.WithMeterProvider(meters)}
	with.conf.Server.Use = append([]handler.Middleware[Desk]{f.countRunning, otel.Server[Desk](append(slices.Clone(f.common), with.server...)...)}, with.conf.Server.Use...)
	if with.conf.Server.OnPanic == nil {
		with.conf.Server.OnPanic = func(handler.Panic) {}
	}
	set := newSet()
	f.conn = cmdstreamtest.New(t, set.Client(), set.Server(), f.desk, with.conf)
	f.Client = cmdstream.Use(f.conn, f.middleware(with.client...))
	return f
}

func (f *fixture) countRunning(next handler.Invoker[Desk]) handler.Invoker[Desk] {
	return handler.InvokerFunc[Desk](func(ctx context.Context, at time.Time, seq base.Seq, cmd base.Cmd[Desk], proxy base.Proxy) error {
		f.running.Add(1)
		defer f.running.Done()
		return next.Invoke(ctx, at, seq, cmd, proxy)
	})
}

// take returns the two spans that have ended since it was called last.
func (f *fixture) take(t *testing.T) (client, server spanStub) {
	t.Helper()
	spans := f.takeAll()
	if len(spans) != 2 {
		t.Fatalf("%d spans, want one of the client and one of the server: %v", len(spans), spans)
	}
	for _, span := range spans {
		if span.SpanKind == trace.SpanKindClient {
			client = span
		} else {
			server = span
		}
	}
	if client.SpanKind != trace.SpanKindClient || server.SpanKind != trace.SpanKindServer {
		t.Fatalf("the kinds are %v and %v", spans[0].SpanKind, spans[1].SpanKind)
	}
	return client, server
}

func (f *fixture) takeAll() tracetest.SpanStubs {
	f.running.Wait()
	defer f.spans.Reset()
	return f.spans.GetSpans()
}

// attributesOf returns a span's attributes as a map.
func attributesOf(span spanStub) map[string]string {
	return asMap(span.Attributes)
}

func asMap(attributes []attribute.KeyValue) map[string]string {
	m := map[string]string{}
	for _, a := range attributes {
		m[string(a.Key)] = a.Value.String()
	}
	return m
}

// expect holds a span against its status and some of its attributes; "" is none.
func expect(t *testing.T, span spanStub, status codes.Code, want map[string]string) {
	t.Helper()
	if span.Status.Code != status {
		t.Errorf("%v: the status is %v %q, want %v", span.SpanKind, span.Status.Code, span.Status.Description, status)
	}
	got := attributesOf(span)
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%v: %s is %q, want %q; all: %v", span.SpanKind, key, got[key], value, got)
		}
	}
}

// points returns the points of the histogram name.
func (f *fixture) points(t *testing.T, name string) []metricdata.HistogramDataPoint[float64] {
	t.Helper()
	var all metricdata.ResourceMetrics
	f.running.Wait()
	if err := f.metrics.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	for _, s := range all.ScopeMetrics {
		for _, m := range s.Metrics {
			if m.Name != name {
				continue
			}
			if m.Unit != "s" {
				t.Errorf("%s is in %q, want s", name, m.Unit)
			}
			return m.Data.(metricdata.Histogram[float64]).DataPoints
		}
	}
	return nil
}
