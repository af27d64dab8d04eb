// Package otel tells OpenTelemetry of commands: a span at the client and one at the
// server, in one trace, and how long they took.
//
//	c := cmdstream.Use(conn, otel.Client[Calc](otel.WithServerAddress("calc.example:9000")))
//	sum, err := cmdstream.Do(ctx, c, Add{2, 3})
//
//	s, err := server.New(set.Server(), Calc{}, server.Conf[Calc]{
//		Use: []handler.Middleware[Calc]{otel.Server[Calc]()},
//	})
//
// The trace travels in the command's metadata, in the format of W3C Trace Context. A
// span, and a duration, have
//
//   - rpc.system.name: "cmdstream"
//   - rpc.method: the command's Go type, which is the span's name too
//   - cmdstream.outcome: what base.OutcomeOf says
//   - rpc.response.status_code and error.type: the error's base.Code; none after success
//
// and a span also
//
//   - cmdstream.results: how many results have passed, at the server and in a loop over
//     Results
//   - cmdstream.inputs: how many inputs the command has taken, at the server, if any
//   - server.address and server.port: of the server; at the client they are known by
//     [WithServerAddress] only, and are on the duration too
//   - network.peer.address and network.peer.port: at the server, the client's
//
// Durations are the histograms rpc.client.call.duration and rpc.server.call.duration, in
// seconds. Names are those of the semantic conventions 1.43.0.
//
// A span of the client has the status Error for every error, and one of the server unless
// it was the client that gave the command up. A loop over results that was left early is
// no error: its outcome is "unknown", its code "canceled".
//
// Spans and durations of a command are those of the program's providers, see
// [WithTracerProvider] and [WithMeterProvider]. Where there is no span, nothing is sent. A
// trace that is not sampled is told to the server all the same: it would decide anew.
//
// The package is called as the one at the root of OpenTelemetry's own module. A file that
// needs both gives one of them another name.
package otel

import (
	"net"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Option changes what [Client], [Server] or [Inject] do.
type Option func(*options)

type options struct {
	tracers    trace.TracerProvider
	meters     metric.MeterProvider
	propagator propagation.TextMapPropagator
	server     []attribute.KeyValue // its address, as a client knows it
	public     bool
}

// WithTracerProvider sets where spans come from; without it, or nil: the global provider
// of go.opentelemetry.io/otel.
func WithTracerProvider(provider trace.TracerProvider) Option {
	return func(o *options) { o.tracers = provider }
}

// WithMeterProvider sets where durations go; without it, or nil: to the global provider of
// go.opentelemetry.io/otel.
func WithMeterProvider(provider metric.MeterProvider) Option {
	return func(o *options) { o.meters = provider }
}

// WithPropagator sets what is carried in a command's metadata, and how. Client and server
// need the same. Without it, or nil: propagation.TraceContext, whatever the global
// propagator is. Baggage is carried if it is asked for, and a server then takes it from
// any client.
func WithPropagator(propagator propagation.TextMapPropagator) Option {
	return func(o *options) { o.propagator = propagator }
}

// WithServerAddress tells a client's spans and durations the address of the server, as it
// was dialed: host and port, or the path of a Unix socket.
func WithServerAddress(address string) Option {
	return func(o *options) {
		o.server = appendAddress(nil, address, semconv.ServerAddressKey, semconv.ServerPortKey)
	}
}

// WithPublicEndpoint is for a server whose clients are not trusted: each command begins a
// trace of the server's own, which has a link to the client's. Otherwise the client decides
// whether its commands are sampled.
func WithPublicEndpoint() Option {
	return func(o *options) { o.public = true }
}

func newOptions(opts []Option) options {
	var o options
	for _, set := range opts {
		set(&o)
	}
	if o.propagator == nil {
		o.propagator = propagation.TraceContext{}
	}
	return o
}

// appendAddress appends an address, and its port if it has one.
func appendAddress(to []attribute.KeyValue, address string, host, port attribute.Key) []attribute.KeyValue {
	if address == "" || address == "@" { // as Unix sockets have it that were not bound
		return to
	}
	name, number, err := net.SplitHostPort(address)
	if err != nil {
		return append(to, host.String(address))
	}
	to = append(to, host.String(name))
	if n, err := strconv.ParseUint(number, 10, 16); err == nil {
		to = append(to, port.Int(int(n)))
	}
	return to
}
