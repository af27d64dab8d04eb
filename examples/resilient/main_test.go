package main

import (
	"strings"
	"testing"

	"github.com/cmdstream/cmdstream/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestRun(t *testing.T) {
	const want = `all is well: 5
  again, for: the server is busy
  again, for: the server is busy
the server was busy: 5
  again, for: cmdstream: command main.Add: there is no connection (outcome: not sent)
  again, for: cmdstream: command main.Add: there is no connection (outcome: not sent)
the server is lost: cmdstream: command main.Add: there is no connection (outcome: not sent); the circuit breaker is open
in a hurry: not sent, the circuit breaker is open
  again, for: cmdstream: command main.Add: a policy has refused it: circuit breaker open (outcome: not sent)
the server is back: 5
`
	var output strings.Builder
	if err := run(&output); err != nil {
		t.Fatal(err)
	}
	if got := output.String(); got != want {
		t.Errorf("it printed\n%s\nwant\n%s", got, want)
	}
}
