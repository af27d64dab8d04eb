package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	prometheusexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/cmdstream/cmdstream/otel"
)

// telemetry is where spans and metrics go: spans into memory, metrics to a page that
// Prometheus scrapes. A program of yours has an exporter to its collector in place of the
// memory.
type telemetry struct {
	spans   *tracetest.InMemoryExporter
	tracers *trace.TracerProvider
	meters  *metric.MeterProvider
	page    *http.Server
	url     string // of the page
}

func startTelemetry() (*telemetry, error) {
	registry := prometheus.NewRegistry()
	exporter, err := prometheusexporter.New(
		prometheusexporter.WithRegisterer(registry),
		prometheusexporter.WithoutScopeInfo(), // for short lines
		prometheusexporter.WithoutTargetInfo(),
	)
	if err != nil {
		return nil, err
	}
	listener, err := listen()
	if err != nil {
		return nil, err
	}
	pages := http.NewServeMux()
	pages.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	spans := tracetest.NewInMemoryExporter()
	t := &telemetry{
		spans:   spans,
		tracers: trace.NewTracerProvider(trace.WithSyncer(spans)),
		meters:  metric.NewMeterProvider(metric.WithReader(exporter)),
		page:    &http.Server{Handler: pages},
		url:     "http://" + listener.Addr().String() + "/metrics",
	}
	go t.page.Serve(listener) // until close
	return t, nil
}

// listen listens on a free port of this machine.
func listen() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

// options are those of the client and of the server.
func (t *telemetry) options() []otel.Option {
	return []otel.Option{otel.WithTracerProvider(t.tracers), otel.WithMeterProvider(t.meters)}
}

func (t *telemetry) close() {
	t.page.Close()
	t.tracers.Shutdown(context.Background())
	t.meters.Shutdown(context.Background())
}

// printSpans prints spans as a tree, in the order in which they began.
func printSpans(w io.Writer, spans tracetest.SpanStubs) {
	slices.SortStableFunc(spans, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
	var below func(parent, indent string)
	below = func(parent, indent string) {
		for _, span := range spans {
			if span.Parent.SpanID().String() == parent {
				fmt.Fprintf(w, "%s%s (%v)%s\n", indent, span.Name, span.SpanKind, describe(span))
				below(span.SpanContext.SpanID().String(), indent+"  ")
			}
		}
	}
	below("0000000000000000", "")
}

// describe tells of a span what is the same in every run.
func describe(span tracetest.SpanStub) string {
	var text strings.Builder
	for _, attribute := range span.Attributes {
		switch key := string(attribute.Key); key {
		case "cmdstream.outcome", "cmdstream.results", "error.type":
			fmt.Fprintf(&text, " %s=%s", key, attribute.Value.String())
		}
	}
	if span.Status.Description != "" {
		fmt.Fprintf(&text, ": %s", span.Status.Description)
	}
	return text.String()
}
