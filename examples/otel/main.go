// Otel shows traces and metrics by OpenTelemetry: one trace from the client through the
// command to what the command does, and durations that Prometheus can scrape.
//
//	go run ./examples/otel
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/otel"
	"github.com/cmdstream/cmdstream/server"
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(w io.Writer) error {
	t, err := startTelemetry()
	if err != nil {
		return err
	}
	defer t.close()
	if err := visit(t); err != nil {
		return err
	}
	printSpans(w, t.spans.GetSpans())
	return printMetrics(w, t.url)
}

// visit starts the shop, asks it a few things, and stops it.
func visit(t *telemetry) error {
	shop := Shop{tracer: t.tracers.Tracer("shop"), prices: map[string]int{"rice": 3, "tea": 5}}
	set := newSet()
	s, err := server.New(set.Server(), shop, server.Conf[Shop]{
		Use: []handler.Middleware[Shop]{otel.Server[Shop](t.options()...)},
	})
	if err != nil {
		return err
	}
	listener, err := listen()
	if err != nil {
		return err
	}
	go s.Serve(listener) // until it is closed
	defer s.Close()

	ctx, span := t.tracers.Tracer("customer").Start(context.Background(), "visit")
	defer span.End()
	addr := listener.Addr().String()
	conn, err := client.NewReconnect(ctx, set.Client(), client.TCP(addr), client.Conf{})
	if err != nil {
		return err
	}
	defer conn.Close()
	c := cmdstream.Use(conn, otel.Client[Shop](append(t.options(), otel.WithServerAddress(addr))...))

	if _, err := cmdstream.Do(ctx, c, Price{"tea"}); err != nil {
		return err
	}
	for _, err := range cmdstream.Results(ctx, c, Articles{}) {
		if err != nil {
			return err
		}
	}
	if _, err := cmdstream.Do(ctx, c, Price{"gold"}); err == nil {
		return fmt.Errorf("there is a price for gold")
	}
	return s.Shutdown(ctx) // with the commands their spans have ended
}

// printMetrics scrapes the endpoint, and prints how many durations each histogram has.
func printMetrics(w io.Writer, url string) error {
	response, err := http.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "rpc_server_call_duration_seconds_count") {
			fmt.Fprintln(w, lines.Text())
		}
	}
	return lines.Err()
}
