package otel

import (
	"context"
	"reflect"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/rpcconv"
	"go.opentelemetry.io/otel/trace"

	"github.com/cmdstream/cmdstream/base"
)

const (
	scope  = "github.com/cmdstream/cmdstream/otel"
	system = "cmdstream"
	other  = "_OTHER" // by the conventions: a name that is not told

	outcomeKey = attribute.Key("cmdstream.outcome")
	resultsKey = attribute.Key("cmdstream.results")
	inputsKey  = attribute.Key("cmdstream.inputs")
)

// recorder makes the spans and durations of one side.
type recorder struct {
	options
	kind     trace.SpanKind
	tracer   trace.Tracer
	duration metric.Float64Histogram
	methods  sync.Map // *method by the reflect.Type of a command
	codes    codeNames
}

func newRecorder(kind trace.SpanKind, opts []Option) *recorder {
	r := &recorder{options: newOptions(opts), kind: kind}
	if r.tracers == nil {
		r.tracers = otel.GetTracerProvider()
	}
	if r.meters == nil {
		r.meters = otel.GetMeterProvider()
	}
	r.tracer = r.tracers.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL))
	meter := r.meters.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL))
	var err error
	if kind == trace.SpanKindClient {
		var d rpcconv.ClientCallDuration
		d, err = rpcconv.NewClientCallDuration(meter)
		r.duration = d.Inst()
	} else {
		var d rpcconv.ServerCallDuration
		d, err = rpcconv.NewServerCallDuration(meter)
		r.duration = d.Inst()
	}
	if err != nil { // then the histogram is one that does nothing
		otel.Handle(err)
	}
	return r
}

// method is what is the same for all commands of a type, made once.
type method struct {
	name       string
	attributes []attribute.KeyValue
	start      []trace.SpanStartOption
	succeeded  []metric.RecordOption
}

func (r *recorder) method(cmd any) *method {
	of := reflect.TypeOf(cmd)
	if of == nil {
		return r.newMethod(other)
	}
	if known, ok := r.methods.Load(of); ok {
		return known.(*method)
	}
	known, _ := r.methods.LoadOrStore(of, r.newMethod(base.NameOf(cmd)))
	return known.(*method)
}

func (r *recorder) newMethod(name string) *method {
	m := &method{name: name}
	m.attributes = append([]attribute.KeyValue{semconv.RPCSystemNameKey.String(system), semconv.RPCMethod(name)}, r.server...)
	m.start = []trace.SpanStartOption{trace.WithSpanKind(r.kind), trace.WithAttributes(m.attributes...)}
	m.succeeded = []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(append(slices.Clip(m.attributes), outcomeKey.String(base.Succeeded.String()))...))}
	return m
}

// call is a command under way.
type call struct {
	recorder *recorder
	method   *method
	ctx      context.Context // with the span
	span     trace.Span
	began    time.Time
}

func (r *recorder) begin(ctx context.Context, cmd any) call {
	c := call{recorder: r, method: r.method(cmd), began: time.Now()}
	start := c.method.start
	if r.kind == trace.SpanKindServer && r.public {
		start = append(slices.Clip(start), trace.WithNewRoot())
		if remote := trace.SpanContextFromContext(ctx); remote.IsValid() {
			start = append(start, trace.WithLinks(trace.Link{SpanContext: remote}))
		}
	}
	c.ctx, c.span = r.tracer.Start(ctx, c.method.name, start...)
	return c
}

// ending is how a command ended.
type ending struct {
	outcome base.Outcome
	code    base.Code // "": it succeeded
	err     error     // nil: nothing went wrong
}

var succeeded = ending{outcome: base.Succeeded}

// isTold tells whether anybody will hear of the command.
func (c *call) isTold() bool {
	return c.span.IsRecording() || c.recorder.duration.Enabled(c.ctx)
}

// end ends the span and notes the duration. further appends what only the span has.
func (c *call) end(e ending, further func([]attribute.KeyValue) []attribute.KeyValue) {
	r := c.recorder
	if r.duration.Enabled(c.ctx) {
		how := c.method.succeeded
		if e.outcome != base.Succeeded {
			all := r.appendEnding(slices.Clone(c.method.attributes), e)
			how = []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(all...))}
		}
		r.duration.Record(c.ctx, time.Since(c.began).Seconds(), how...)
	}
	if c.span.IsRecording() {
		c.span.SetAttributes(further(r.appendEnding(nil, e))...)
		if e.err != nil {
			c.span.SetStatus(codes.Error, textOf(e.err))
		}
	}
	c.span.End()
}

func (r *recorder) appendEnding(to []attribute.KeyValue, e ending) []attribute.KeyValue {
	to = append(to, outcomeKey.String(e.outcome.String()))
	if e.outcome == base.Succeeded {
		return to
	}
	code := r.codes.name(e.code)
	to = append(to, semconv.RPCResponseStatusCodeKey.String(code))
	if e.err != nil {
		to = append(to, semconv.ErrorTypeKey.String(code))
	}
	return to
}
