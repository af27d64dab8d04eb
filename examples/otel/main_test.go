package main

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/cmdstream/cmdstream/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestRun(t *testing.T) {
	const want = `visit (internal)
  main.Price (client) cmdstream.outcome=succeeded
    main.Price (server) cmdstream.outcome=succeeded cmdstream.results=1
      look up (internal)
  main.Articles (client) cmdstream.outcome=succeeded cmdstream.results=2
    main.Articles (server) cmdstream.outcome=succeeded cmdstream.results=2
  main.Price (client) cmdstream.outcome=failed error.type=no_such_article: there is no gold
    main.Price (server) cmdstream.outcome=failed error.type=no_such_article cmdstream.results=0: cmdstream: there is no gold
      look up (internal)
rpc_server_call_duration_seconds_count{cmdstream_outcome="succeeded",rpc_method="main.Articles",rpc_system_name="cmdstream"} 1
rpc_server_call_duration_seconds_count{cmdstream_outcome="succeeded",rpc_method="main.Price",rpc_system_name="cmdstream"} 1
rpc_server_call_duration_seconds_count{cmdstream_outcome="failed",error_type="no_such_article",rpc_method="main.Price",rpc_response_status_code="no_such_article",rpc_system_name="cmdstream"} 1
`
	var output strings.Builder
	if err := run(&output); err != nil {
		t.Fatal(err)
	}
	if got := output.String(); got != want {
		t.Errorf("it printed\n%s\nwant\n%s", got, want)
	}
}

// Prometheus finds both sides' histograms, whole.
func TestScrape(t *testing.T) {
	telemetry, err := startTelemetry()
	if err != nil {
		t.Fatal(err)
	}
	defer telemetry.close()
	if err := visit(telemetry); err != nil {
		t.Fatal(err)
	}
	response, err := http.Get(telemetry.url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("got %s, %v", response.Status, err)
	}
	for _, want := range []string{
		"# TYPE rpc_client_call_duration_seconds histogram",
		"# TYPE rpc_server_call_duration_seconds histogram",
		`rpc_client_call_duration_seconds_count{cmdstream_outcome="succeeded",rpc_method="main.Price",rpc_system_name="cmdstream",server_address="127.0.0.1",server_port="`,
		`rpc_server_call_duration_seconds_bucket{cmdstream_outcome="succeeded",rpc_method="main.Articles",rpc_system_name="cmdstream",le="+Inf"} 1`,
		`error_type="no_such_article"`,
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page has no %s:\n%s", want, page)
		}
	}
}
