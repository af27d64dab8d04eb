package otel_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/cmdstreamtest"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/otel"
	"github.com/cmdstream/cmdstream/server"
)

func TestOneTrace(t *testing.T) {
	f := start(t, setup{client: []otel.Option{otel.WithServerAddress("calc.example:9000")}})
	ctx, parent := f.tracers.Tracer("test").Start(t.Context(), "parent")
	if sum, err := cmdstream.Do(ctx, f.Client, Add{2, 3}); sum != 5 || err != nil {
		t.Fatalf("got %d, %v", sum, err)
	}
	c, s := f.take(t)
	if c.Parent.SpanID() != parent.SpanContext().SpanID() || s.Parent.SpanID() != c.SpanContext.SpanID() || !s.Parent.IsRemote() {
		t.Errorf("the server's span is a child of %v, the client's %v, a child of %v", s.Parent.SpanID(), c.SpanContext.SpanID(), c.Parent.SpanID())
	}
	if id := parent.SpanContext().TraceID(); c.SpanContext.TraceID() != id || s.SpanContext.TraceID() != id {
		t.Error("the spans are not of one trace")
	}
	if c.Name != "otel_test.Add" || s.Name != c.Name {
		t.Errorf("the names are %q and %q", c.Name, s.Name)
	}
	common := map[string]string{"rpc.system.name": "cmdstream", "rpc.method": "otel_test.Add", "cmdstream.outcome": "succeeded", "error.type": "", "rpc.response.status_code": ""}
	expect(t, c, codes.Unset, common)
	expect(t, s, codes.Unset, common)
	expect(t, c, codes.Unset, map[string]string{"server.address": "calc.example", "server.port": "9000"})
	expect(t, s, codes.Unset, map[string]string{"network.peer.address": "mem", "server.address": "mem", "cmdstream.results": "1", "cmdstream.inputs": ""})
	if attributesOf(s)["network.peer.port"] == "" || attributesOf(s)["server.port"] == "" {
		t.Errorf("the server's span has no ports: %v", s.Attributes)
	}
	if c.InstrumentationScope.SchemaURL != "https://opentelemetry.io/schemas/1.43.0" {
		t.Errorf("the schema is %q", c.InstrumentationScope.SchemaURL)
	}
}

// The span of a loop ends with the loop, whatever ends that, and has counted.
func TestResults(t *testing.T) {
	f := start(t, setup{})
	for n, err := range cmdstream.Results(t.Context(), f.Client, Count{To: 3}) {
		if err != nil {
			t.Fatal(err)
		}
		if n == 1 && slices.ContainsFunc(f.spans.GetSpans(), func(s spanStub) bool { return s.SpanKind == trace.SpanKindClient }) {
			t.Fatal("the client's span has ended before the loop")
		}
	}
	c, s := f.take(t)
	expect(t, c, codes.Unset, map[string]string{"cmdstream.results": "3", "cmdstream.outcome": "succeeded"})
	expect(t, s, codes.Unset, map[string]string{"cmdstream.results": "3", "cmdstream.outcome": "succeeded"})

	for _, err := range cmdstream.Results(t.Context(), f.Client, Count{To: 2, Fail: true}) {
		if err != nil && err.Error() != "no more" {
			t.Fatal(err)
		}
	}
	c, s = f.take(t)
	for _, span := range []spanStub{c, s} {
		expect(t, span, codes.Error, map[string]string{"cmdstream.results": "2", "cmdstream.outcome": "failed", "error.type": "exec", "rpc.response.status_code": "exec"})
	}
}

func TestLoopIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, setup{})
		for range cmdstream.Results(t.Context(), f.Client, Count{To: 1_000_000}) {
			break
		}
		c, s := f.take(t)
		expect(t, c, codes.Unset, map[string]string{"cmdstream.results": "1", "cmdstream.outcome": "unknown", "rpc.response.status_code": "canceled", "error.type": ""})
		expect(t, s, codes.Unset, map[string]string{"cmdstream.outcome": "unknown", "rpc.response.status_code": "canceled", "error.type": ""})
	})
}

func TestLoopPanics(t *testing.T) {
	f := start(t, setup{})
	func() {
		defer func() {
			if v := recover(); v != "in the loop" {
				t.Errorf("recovered %v", v)
			}
		}()
		for range cmdstream.Results(t.Context(), f.Client, Count{To: 1}) {
			panic("in the loop")
		}
	}()
	c, _ := f.take(t)
	expect(t, c, codes.Error, map[string]string{"cmdstream.outcome": "unknown", "error.type": "panic", "cmdstream.results": "1"})
}

func TestOutcomes(t *testing.T) {
	for _, test := range []struct {
		how, outcome, code string
	}{
		{"", "failed", "exec"},
		{"panic", "failed", "panic"},
		{"code", "failed", "out_of_stock"},
		{"error panics", "failed", "exec"},
		{"long", "failed", "exec"},
	} {
		t.Run(test.how, func(t *testing.T) {
			f := start(t, setup{})
			_, err := cmdstream.Do(t.Context(), f.Client, Fail{test.how})
			if err == nil {
				t.Fatal("no error")
			}
			c, s := f.take(t)
			for _, span := range []spanStub{c, s} {
				expect(t, span, codes.Error, map[string]string{"cmdstream.outcome": test.outcome, "error.type": test.code, "rpc.response.status_code": test.code})
				if span.Status.Description == "" || len(span.Status.Description) > 300 {
					t.Errorf("%v: the status says %d bytes", span.SpanKind, len(span.Status.Description))
				}
			}
		})
	}
}

func TestRefusedBeforeItRuns(t *testing.T) {
	refusal := &base.Error{Outcome: base.Rejected, Code: base.ErrUnauthorized, Message: "not you"}
	refuse := func(handler.Invoker[Desk]) handler.Invoker[Desk] {
		return handler.InvokerFunc[Desk](func(context.Context, time.Time, base.Seq, base.Cmd[Desk], base.Proxy) error { return refusal })
	}
	f := start(t, setup{conf: cmdstreamtest.Conf[Desk]{Server: server.Conf[Desk]{Use: []handler.Middleware[Desk]{refuse}}}})
	if _, err := cmdstream.Do(t.Context(), f.Client, Add{}); base.OutcomeOf(err) != base.Rejected {
		t.Fatalf("got %v", err)
	}
	c, s := f.take(t)
	for _, span := range []spanStub{c, s} {
		expect(t, span, codes.Error, map[string]string{"cmdstream.outcome": "rejected", "error.type": "unauthorized"})
		if span.Status.Description != "not you" && span.SpanKind == trace.SpanKindClient {
			t.Errorf("the status says %q", span.Status.Description)
		}
	}
}

// A command that returns nothing fails at its client, and so at the server.
func TestNoLastResult(t *testing.T) {
	swallow := func(handler.Invoker[Desk]) handler.Invoker[Desk] {
		return handler.InvokerFunc[Desk](func(context.Context, time.Time, base.Seq, base.Cmd[Desk], base.Proxy) error { return nil })
	}
	f := start(t, setup{conf: cmdstreamtest.Conf[Desk]{Server: server.Conf[Desk]{Use: []handler.Middleware[Desk]{swallow}}}})
	if _, err := cmdstream.Do(t.Context(), f.Client, Add{}); !errors.Is(err, base.ErrNoResult) {
		t.Fatalf("got %v", err)
	}
	c, s := f.take(t)
	expect(t, c, codes.Error, map[string]string{"error.type": "no_result", "cmdstream.outcome": "failed"})
	expect(t, s, codes.Error, map[string]string{"error.type": "no_result", "cmdstream.outcome": "failed"})
}

func TestGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, setup{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-f.desk.begun
			cancel()
		}()
		if _, err := cmdstream.Do(ctx, f.Client, Fail{"wait"}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		c, s := f.take(t)
		expect(t, c, codes.Error, map[string]string{"cmdstream.outcome": "unknown", "error.type": "canceled"})
		expect(t, s, codes.Unset, map[string]string{"cmdstream.outcome": "unknown", "rpc.response.status_code": "canceled", "error.type": ""})

		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := cmdstream.Do(ctx, f.Client, Fail{"wait"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		<-f.desk.begun
		c, _ = f.take(t) // whether the server hears of it first, or its own clock says so, is open
		expect(t, c, codes.Error, map[string]string{"cmdstream.outcome": "unknown", "error.type": "deadline_exceeded"})
		for _, p := range f.points(t, "rpc.client.call.duration") {
			if asMap(p.Attributes.ToSlice())["error.type"] == "deadline_exceeded" && p.Sum != 1 {
				t.Errorf("it took %v s, want 1", p.Sum)
			}
		}
	})
}

// The deadline of a command that is over at the server is an error there.
func TestDeadlineAtServer(t *testing.T) {
	f := start(t, setup{})
	over := &base.Error{Outcome: base.Unknown, Code: base.ErrDeadline, Message: "its time is over"}
	ctx, cancel := context.WithDeadlineCause(t.Context(), time.Now(), over)
	defer cancel()
	next := invoker(func(context.Context) {})
	if err := otel.Server[Desk](f.common...)(next).Invoke(ctx, time.Now(), 1, nil, plainProxy{}); err != nil {
		t.Fatal(err)
	}
	expect(t, f.takeAll()[0], codes.Error, map[string]string{"cmdstream.outcome": "unknown", "error.type": "deadline_exceeded"})
}

func TestNeverSent(t *testing.T) {
	f := start(t, setup{})
	if _, err := f.Do(t.Context(), nil); !errors.Is(err, base.ErrNilCmd) {
		t.Fatalf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	cmdstream.Do(ctx, f.Client, Add{})
	f.conn.Close()
	cmdstream.Do(t.Context(), f.Client, Add{})
	spans := f.takeAll()
	if len(spans) != 3 {
		t.Fatalf("%d spans, want 3", len(spans))
	}
	expect(t, spans[0], codes.Error, map[string]string{"rpc.method": "_OTHER", "error.type": "nil_cmd", "cmdstream.outcome": "not sent"})
	expect(t, spans[1], codes.Error, map[string]string{"rpc.method": "otel_test.Add", "error.type": "canceled", "cmdstream.outcome": "not sent"})
	expect(t, spans[2], codes.Error, map[string]string{"error.type": "closed", "cmdstream.outcome": "not sent"})
}

// The panic is the command's own still: its value, and its stack.
func TestPanicGoesOn(t *testing.T) {
	var got atomic.Pointer[handler.Panic]
	f := start(t, setup{conf: cmdstreamtest.Conf[Desk]{Server: server.Conf[Desk]{OnPanic: func(p handler.Panic) { got.Store(&p) }}}})
	if _, err := cmdstream.Do(t.Context(), f.Client, Fail{"panic"}); !errors.Is(err, base.ErrPanic) {
		t.Fatalf("got %v", err)
	}
	p := got.Load()
	if p == nil || p.Value != "boom" || !strings.Contains(string(p.Stack), "panicsHere") {
		t.Errorf("the server heard of %v", p)
	}
}

// Inputs reach a command through the middleware.
func TestInputs(t *testing.T) {
	f := start(t, setup{})
	ctx, span := f.tracers.Tracer("test").Start(t.Context(), "parent")
	x, err := cmdstream.Open(otel.Inject(ctx), f.conn, Sum{})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	for _, n := range []int{1, 2, 3} {
		if err := x.Send(n); err != nil {
			t.Fatal(err)
		}
	}
	x.CloseSend()
	for sum, err := range x.Results() {
		if sum != 6 || err != nil {
			t.Errorf("got %d, %v", sum, err)
		}
	}
	spans := f.takeAll()
	if len(spans) != 1 || spans[0].Parent.SpanID() != span.SpanContext().SpanID() {
		t.Fatalf("got %v", spans)
	}
	expect(t, spans[0], codes.Unset, map[string]string{"cmdstream.inputs": "3", "cmdstream.results": "1", "cmdstream.outcome": "succeeded"})
}

// A proxy below that takes no inputs is none that does.
func TestProxyWithoutInputs(t *testing.T) {
	f := start(t, setup{})
	invoker := otel.Server[Desk](otel.WithTracerProvider(f.tracers))(handler.InvokerFunc[Desk](
		func(_ context.Context, _ time.Time, seq base.Seq, _ base.Cmd[Desk], proxy base.Proxy) error {
			if _, ok := proxy.(base.Inputs); ok {
				t.Error("the proxy has inputs")
			}
			return proxy.Send(seq, base.Value[int]{V: 1})
		}))
	err := invoker.Invoke(t.Context(), time.Now(), 1, nil, plainProxy{})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, f.takeAll()[0], codes.Unset, map[string]string{"cmdstream.results": "1", "network.peer.address": "", "rpc.method": "_OTHER"})
}

type plainProxy struct{ base.Proxy }

func (plainProxy) Send(base.Seq, base.Result) error { return nil }
func (plainProxy) LocalAddr() (none netAddr)        { return nil }
func (plainProxy) RemoteAddr() (none netAddr)       { return nil }

func TestPublicEndpoint(t *testing.T) {
	f := start(t, setup{server: []otel.Option{otel.WithPublicEndpoint()}})
	if _, err := cmdstream.Do(t.Context(), f.Client, Add{}); err != nil {
		t.Fatal(err)
	}
	c, s := f.take(t)
	if s.Parent.IsValid() || s.SpanContext.TraceID() == c.SpanContext.TraceID() {
		t.Error("the server's span is in the client's trace")
	}
	if len(s.Links) != 1 || s.Links[0].SpanContext.SpanID() != c.SpanContext.SpanID() {
		t.Errorf("the links are %v", s.Links)
	}
}

func TestDurations(t *testing.T) {
	f := start(t, setup{client: []otel.Option{otel.WithServerAddress("/run/calc.sock")}})
	for range 3 {
		cmdstream.Do(t.Context(), f.Client, Add{})
	}
	cmdstream.Do(t.Context(), f.Client, Fail{})
	for name, address := range map[string]string{"rpc.client.call.duration": "/run/calc.sock", "rpc.server.call.duration": ""} {
		got := map[string]uint64{}
		for _, p := range f.points(t, name) {
			m := asMap(p.Attributes.ToSlice())
			if m["rpc.system.name"] != "cmdstream" || m["server.address"] != address {
				t.Errorf("%s has %v", name, m)
			}
			got[m["rpc.method"]+" "+m["cmdstream.outcome"]+" "+m["error.type"]] = p.Count
			if p.Bounds[0] != 0.005 || p.Sum < 0 || p.Sum > 60 {
				t.Errorf("%s has the bounds %v, and the sum %v", name, p.Bounds, p.Sum)
			}
		}
		want := map[string]uint64{"otel_test.Add succeeded ": 3, "otel_test.Fail failed exec": 1}
		if !maps.Equal(got, want) {
			t.Errorf("%s has %v, want %v", name, got, want)
		}
	}
}

func TestServerAddress(t *testing.T) {
	f := start(t, setup{})
	answering := cmdstream.Calls[Desk]{DoFunc: func(context.Context, base.Cmd[Desk]) (base.Result, error) { return base.Value[int]{}, nil }}
	for address, want := range map[string]map[string]string{
		"":               {"server.address": "", "server.port": ""},
		"@":              {"server.address": "", "server.port": ""},
		"/run/calc.sock": {"server.address": "/run/calc.sock", "server.port": ""},
		"[::1]:80":       {"server.address": "::1", "server.port": "80"},
		"calc:http":      {"server.address": "calc", "server.port": ""},
		"calc:70000":     {"server.address": "calc", "server.port": ""},
	} {
		cmdstream.Use[Desk](answering, f.middleware(otel.WithServerAddress(address))).Do(t.Context(), nil)
		span := f.takeAll()[0]
		expect(t, span, codes.Unset, want)
		for key, value := range want {
			if got, ok := attributesOf(span)[key]; ok != (value != "") {
				t.Errorf("%q: %s is there: %q", address, key, got)
			}
		}
	}
}

// A server may answer with any code: their number, and what they look like, is bounded.
func TestCodesOfAPeer(t *testing.T) {
	f := start(t, setup{})
	i := 0
	lying := cmdstream.Calls[Desk]{DoFunc: func(context.Context, base.Cmd[Desk]) (base.Result, error) {
		i++
		code := base.Code(fmt.Sprintf("code_%d", i))
		switch {
		case i%5 == 0:
			code = base.ErrBusy
		case i%7 == 0:
			code = base.Code(strings.Repeat("x", 1000))
		case i%11 == 0:
			code = "\xff\n"
		}
		return nil, &base.Error{Outcome: base.Failed, Code: code, Remote: true, Message: strings.Repeat("\xff", 1000)}
	}}
	c := cmdstream.Use[Desk](lying, f.middleware())
	for range 1000 {
		c.Do(t.Context(), base.Unary[Desk, int, Add]{})
	}
	counts := map[string]uint64{}
	for _, p := range f.points(t, "rpc.client.call.duration") {
		counts[asMap(p.Attributes.ToSlice())["error.type"]] = p.Count
	}
	if len(counts) != 102 || counts["busy"] != 200 || counts["code_1"] != 1 || counts["_OTHER"] != 700 {
		t.Errorf("%d codes, busy %d, code_1 %d, _OTHER %d", len(counts), counts["busy"], counts["code_1"], counts["_OTHER"])
	}
	for _, span := range f.takeAll() {
		if text := span.Status.Description; len(text) > 300 || strings.Contains(text, "\xff") {
			t.Fatalf("a status is %q", text)
		}
	}
}

// The library's codes are all known here, so that a peer can't crowd them out.
func TestCodesOfTheLibrary(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../base/error.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []base.Code
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if ok && len(spec.Names) == 1 && strings.HasPrefix(spec.Names[0].Name, "Err") {
			text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Error(err)
			}
			all = append(all, base.Code(text))
		}
		return true
	})
	if len(all) < 30 {
		t.Fatalf("found %d codes", len(all))
	}
	f := start(t, setup{})
	var code base.Code
	lying := cmdstream.Calls[Desk]{DoFunc: func(context.Context, base.Cmd[Desk]) (base.Result, error) {
		return nil, &base.Error{Code: code}
	}}
	c := cmdstream.Use[Desk](lying, f.middleware())
	for i := range 200 {
		code = base.Code(fmt.Sprintf("code_%d", i))
		c.Do(t.Context(), nil)
	}
	f.takeAll()
	for _, code = range all {
		c.Do(t.Context(), nil)
		expect(t, f.takeAll()[0], codes.Error, map[string]string{"error.type": string(code)})
	}
}

// Errors that are no base.Error are told apart as far as can be.
func TestErrorsOfOthers(t *testing.T) {
	f := start(t, setup{})
	var err error
	failing := cmdstream.Calls[Desk]{DoFunc: func(context.Context, base.Cmd[Desk]) (base.Result, error) { return nil, err }}
	c := cmdstream.Use[Desk](failing, f.middleware())
	for want, e := range map[string]error{"canceled": context.Canceled, "deadline_exceeded": context.DeadlineExceeded, "_OTHER": errors.New("mine")} {
		err = e
		c.Do(t.Context(), nil)
		expect(t, f.takeAll()[0], codes.Error, map[string]string{"error.type": want, "cmdstream.outcome": "unknown"})
	}
}
