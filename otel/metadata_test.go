package otel_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/cmdstreamtest"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/otel"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/transport"
)

// The user's own metadata goes with the trace, and is not changed.
func TestMetadataIsKept(t *testing.T) {
	f := start(t, setup{})
	own := base.Metadata{"tenant": {"ann", "bob"}}
	got, err := cmdstream.Do(base.WithMetadata(t.Context(), own), f.Client, Carried{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got["tenant"], own["tenant"]) || len(got) != 2 || len(got["traceparent"]) != 1 {
		t.Errorf("the command came with %v", got)
	}
	if len(own) != 1 {
		t.Errorf("the user's metadata has become %v", own)
	}
	f.take(t)
}

// Metadata that leaves no room for a trace goes without it.
func TestMetadataIsFull(t *testing.T) {
	for _, size := range []int{8100, 8183} {
		f := start(t, setup{})
		full := base.Metadata{"k": {strings.Repeat("x", size)}}
		got, err := cmdstream.Do(base.WithMetadata(t.Context(), full), f.Client, Carried{})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := got["traceparent"]; ok != (size == 8100) {
			t.Errorf("beside %d bytes, with a trace: %v", size, ok)
		}
		_, s := f.take(t)
		if s.Parent.IsValid() != (size == 8100) {
			t.Errorf("beside %d bytes the server's span has the parent %v", size, s.Parent.SpanID())
		}
	}
}

// Whatever a client sends as its trace, its command runs, and has a span.
func TestHostileMetadata(t *testing.T) {
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	long := strings.Repeat("a=b,", 500) + "a=b"
	for name, test := range map[string]struct {
		sent   base.Metadata
		traced bool
		state  int
	}{
		"good":         {base.Metadata{"traceparent": {good}, "tracestate": {"a=b"}}, true, 1},
		"empty":        {base.Metadata{"traceparent": {""}}, false, 0},
		"no value":     {base.Metadata{"traceparent": {}}, false, 0},
		"two":          {base.Metadata{"traceparent": {good, good}}, false, 0},
		"zero":         {base.Metadata{"traceparent": {"00-00000000000000000000000000000000-0000000000000000-01"}}, false, 0},
		"no hex":       {base.Metadata{"traceparent": {strings.Replace(good, "0a", "\xff\x00", 1)}}, false, 0},
		"giant":        {base.Metadata{"traceparent": {good + strings.Repeat("0", 8000)}}, false, 0},
		"a long state": {base.Metadata{"traceparent": {good}, "tracestate": {strings.Repeat("a", 8000)}}, true, 0},
		"large states": {base.Metadata{"traceparent": {good}, "tracestate": {largeStates()}}, true, 0},
		"many states":  {base.Metadata{"traceparent": {good}, "tracestate": {long}}, true, 0},
		"bad state":    {base.Metadata{"traceparent": {good}, "tracestate": {"=\xff,,;"}}, true, 0},
		"many keys":    {manyKeys(), false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, setup{})
			sum, err := cmdstream.Do(base.WithMetadata(t.Context(), test.sent), f.conn, Add{2, 3})
			if sum != 5 || err != nil {
				t.Fatalf("got %d, %v", sum, err)
			}
			spans := f.takeAll()
			if len(spans) != 1 {
				t.Fatalf("%d spans", len(spans))
			}
			expect(t, spans[0], codes.Unset, map[string]string{"cmdstream.outcome": "succeeded"})
			if spans[0].Parent.IsValid() != test.traced || spans[0].SpanContext.TraceState().Len() != test.state {
				t.Errorf("the parent is %v, with %d states", spans[0].Parent.SpanID(), spans[0].SpanContext.TraceState().Len())
			}
		})
	}
}

// largeStates is as W3C Trace Context allows, and longer than is taken.
func largeStates() string {
	var states []string
	for i := range 20 {
		states = append(states, string(rune('a'+i))+"="+strings.Repeat("x", 200))
	}
	return strings.Join(states, ",")
}

func manyKeys() base.Metadata {
	m := base.Metadata{}
	for i := range 500 {
		m[strings.Repeat("k", 1+i%8)+string(rune('a'+i%26))+string(rune('a'+i/26))] = []string{"v"}
	}
	return m
}

func FuzzMetadata(f *testing.F) {
	f.Add("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=b", "k=v;p=1,")
	f.Add("traceparent", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "\xff=,", "%zz=%")
	f.Fuzz(func(t *testing.T, key, parent, state, bag string) {
		both := propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
		m := base.Metadata{key: {parent}, "tracestate": {state}, "baggage": {bag}}
		ctx := context.WithValue(t.Context(), base.MetadataKey(), m)
		next := invoker(func(ctx context.Context) {
			out := base.OutgoingMetadata(otel.Inject(ctx, otel.WithPropagator(both)))
			if b, err := transport.AppendMetadata(nil, out); err != nil {
				t.Errorf("%d bytes can't go on: %v", len(b), err)
			}
		})
		otel.Server[Desk](otel.WithTracerProvider(noop.NewTracerProvider()), otel.WithPropagator(both))(next).Invoke(ctx, time.Time{}, 1, nil, plainProxy{})
	})
}

// ticks is a command of the command form: it sends so many results.
type ticks byte

func (c ticks) Exec(_ context.Context, _ time.Time, seq base.Seq, _ Desk, proxy base.Proxy) error {
	for left := c; left > 0; left-- {
		if err := proxy.Send(seq, tick(left)); err != nil {
			return err
		}
	}
	return nil
}

// tick is a result: how many are left, itself included.
type tick byte

func (r tick) LastOne() bool { return r == 1 }

type ticksAtClient struct{}

func (ticksAtClient) Size(base.Cmd[Desk]) int { return 1 }

func (ticksAtClient) Encode(cmd base.Cmd[Desk], w transport.Writer) error {
	if cmd == ticks(0) {
		return base.ErrUnsupported
	}
	return w.WriteByte(byte(cmd.(ticks)))
}

func (ticksAtClient) Decode(r transport.Reader) (base.Result, error) {
	b, err := r.ReadByte()
	return tick(b), err
}

type ticksAtServer struct{}

func (ticksAtServer) Encode(result base.Result, w transport.Writer) error {
	return w.WriteByte(byte(result.(tick)))
}

func (ticksAtServer) Decode(r transport.Reader) (base.Cmd[Desk], error) {
	b, err := r.ReadByte()
	return ticks(b), err
}

// newPlain returns a client on the plain wire that counts what it is asked to send.
func newPlain(t *testing.T) (c cmdstream.Client[Desk], tries *int) {
	conn := cmdstreamtest.New(t, ticksAtClient{}, ticksAtServer{}, Desk{}, cmdstreamtest.Conf[Desk]{
		Client: client.Conf{Transport: transport.Plain}, Server: server.Conf[Desk]{Transport: transport.Plain},
	})
	tries = new(int)
	return cmdstream.Calls[Desk]{
		DoFunc: func(ctx context.Context, cmd base.Cmd[Desk]) (base.Result, error) {
			*tries++
			return conn.Do(ctx, cmd)
		},
		ResultsFunc: func(ctx context.Context, cmd base.Cmd[Desk]) iter.Seq2[base.Result, error] {
			*tries++
			return conn.Results(ctx, cmd)
		},
	}, tries
}

// The plain wire carries no metadata, and commands go over it all the same.
func TestPlainWire(t *testing.T) {
	t.Run("Do", func(t *testing.T) {
		f := start(t, setup{})
		conn, tries := newPlain(t)
		c := cmdstream.Use(conn, f.middleware())
		// A command that nobody can send says nothing about the wire.
		if _, err := c.Do(t.Context(), ticks(0)); !errors.Is(err, base.ErrUnsupported) || *tries != 2 {
			t.Fatalf("after %d tries: %v", *tries, err)
		}
		for range 3 {
			if result, err := c.Do(t.Context(), ticks(1)); result != tick(1) || err != nil {
				t.Fatalf("got %v, %v", result, err)
			}
		}
		if *tries != 2+2+1+1 {
			t.Errorf("three commands were tried %d times, want 4", *tries-2)
		}
		spans := f.takeAll()
		if len(spans) != 4 {
			t.Errorf("%d spans, want one a command", len(spans))
		}
		expect(t, spans[1], codes.Unset, map[string]string{"cmdstream.outcome": "succeeded"})
	})
	t.Run("Results", func(t *testing.T) {
		f := start(t, setup{})
		conn, tries := newPlain(t)
		c := cmdstream.Use(conn, f.middleware())
		for range 2 {
			n := 0
			for _, err := range c.Results(t.Context(), ticks(3)) {
				if err != nil {
					t.Fatal(err)
				}
				n++
			}
			if n != 3 {
				t.Errorf("%d results", n)
			}
		}
		if *tries != 3 {
			t.Errorf("two commands were tried %d times, want 3", *tries)
		}
		expect(t, f.takeAll()[0], codes.Unset, map[string]string{"cmdstream.results": "3", "cmdstream.outcome": "succeeded"})
	})
	t.Run("metadata of the user", func(t *testing.T) {
		f := start(t, setup{})
		conn, tries := newPlain(t)
		c := cmdstream.Use(conn, f.middleware())
		ctx := base.WithMetadata(t.Context(), base.Metadata{"tenant": {"ann"}})
		if _, err := c.Do(ctx, ticks(1)); !errors.Is(err, base.ErrUnsupported) || *tries != 1 {
			t.Errorf("after %d tries: %v", *tries, err)
		}
		for _, err := range c.Results(ctx, ticks(1)) {
			if !errors.Is(err, base.ErrUnsupported) || *tries != 2 {
				t.Errorf("after %d tries: %v", *tries, err)
			}
		}
		expect(t, f.takeAll()[0], codes.Error, map[string]string{"error.type": "unsupported", "cmdstream.outcome": "not sent"})
	})
}

// A trace that is not sampled at the client is not at the server.
func TestNotSampled(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	decides := trace.NewTracerProvider(trace.WithSyncer(spans), trace.WithSampler(trace.ParentBased(trace.AlwaysSample())))
	f := start(t, setup{sampler: trace.ParentBased(trace.NeverSample()), server: []otel.Option{otel.WithTracerProvider(decides)}})
	got, err := cmdstream.Do(t.Context(), f.Client, Carried{})
	if err != nil {
		t.Fatal(err)
	}
	if parent := got.Get("traceparent"); !strings.HasSuffix(parent, "-00") {
		t.Errorf("the server was told %q", parent)
	}
	if n := len(f.takeAll()) + len(spans.GetSpans()); n != 0 {
		t.Errorf("%d spans were exported", n)
	}
	if n := len(f.points(t, "rpc.server.call.duration")); n != 1 {
		t.Errorf("%d durations, want 1", n)
	}
}

// Where there is no tracing, nothing is sent.
func TestWithoutSpans(t *testing.T) {
	f := start(t, setup{})
	c := cmdstream.Use[Desk](f.conn, otel.Client[Desk](otel.WithTracerProvider(noop.NewTracerProvider())))
	got, err := cmdstream.Do(t.Context(), c, Carried{})
	if len(got) != 0 || err != nil {
		t.Errorf("the command came with %v, %v", got, err)
	}
	if ctx := t.Context(); otel.Inject(ctx) != ctx {
		t.Error("Inject has made a ctx for nothing")
	}
}

// A propagator of the user's is used on both sides.
func TestPropagator(t *testing.T) {
	both := []otel.Option{otel.WithPropagator(propagation.Baggage{})}
	var got baggage.Baggage
	f := start(t, setup{client: both})
	member, err := baggage.NewMember("tenant", "ann")
	if err != nil {
		t.Fatal(err)
	}
	bag, err := baggage.New(member)
	if err != nil {
		t.Fatal(err)
	}
	metadata, err := cmdstream.Do(baggage.ContextWithBaggage(t.Context(), bag), f.Client, Carried{})
	if err != nil || metadata.Get("baggage") != "tenant=ann" {
		t.Fatalf("the command came with %v, %v", metadata, err)
	}
	next := invoker(func(ctx context.Context) { got = baggage.FromContext(ctx) })
	ctx := context.WithValue(t.Context(), base.MetadataKey(), metadata)
	if err := otel.Server[Desk](both...)(next).Invoke(ctx, time.Now(), 1, nil, plainProxy{}); err != nil {
		t.Fatal(err)
	}
	if got.Member("tenant").Value() != "ann" {
		t.Errorf("the command has the baggage %q", got)
	}
	if ctx := t.Context(); otel.Inject(ctx, otel.WithPropagator(odd{})) != ctx {
		t.Error("keys that the wire would not carry make a ctx")
	}
}

// odd is a propagator that knows no limit.
type odd struct{ propagation.TraceContext }

func (odd) Inject(_ context.Context, carrier propagation.TextMapCarrier) {
	carrier.Set("", "x")
	carrier.Set(strings.Repeat("k", 256), "x")
}

// invoker runs f as a command.
func invoker(f func(ctx context.Context)) handler.Invoker[Desk] {
	return handler.InvokerFunc[Desk](func(ctx context.Context, _ time.Time, _ base.Seq, _ base.Cmd[Desk], _ base.Proxy) error {
		f(ctx)
		return nil
	})
}
