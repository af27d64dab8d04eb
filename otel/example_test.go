package otel_test

import (
	"context"
	"fmt"
	"net"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/otel"
	"github.com/cmdstream/cmdstream/server"
)

// Client and server of one program: their spans are of one trace.
func Example() {
	spans := tracetest.NewInMemoryExporter() // a program has one that sends them away
	tracers := otel.WithTracerProvider(trace.NewTracerProvider(trace.WithSyncer(spans)))

	set := newSet()
	s, err := server.New(set.Server(), Desk{}, server.Conf[Desk]{
		Use: []handler.Middleware[Desk]{otel.Server[Desk](tracers)},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	go s.Serve(listener)

	ctx := context.Background()
	conn, err := client.NewReconnect(ctx, set.Client(), client.TCP(listener.Addr().String()), client.Conf{})
	if err != nil {
		fmt.Println(err)
		return
	}
	c := cmdstream.Use(conn, otel.Client[Desk](tracers))
	sum, err := cmdstream.Do(ctx, c, Add{2, 3})
	fmt.Println(sum, err)
	conn.Close()
	s.Shutdown(ctx) // its commands, and their spans, have ended then

	ended := spans.GetSpans()
	for _, span := range ended {
		fmt.Println(span.Name, "in one trace:", span.SpanContext.TraceID() == ended[0].SpanContext.TraceID())
	}
	// Output:
	// 5 <nil>
	// otel_test.Add in one trace: true
	// otel_test.Add in one trace: true
}
