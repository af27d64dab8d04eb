package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestOnce(t *testing.T) {
	const want = `server calc: 1 connection
main.Add: 100 succeeded, 0 failed
main.Divide: 0 succeeded, 3 failed
	the last one: division by zero
`
	var output strings.Builder
	if err := run(t.Context(), &output, "127.0.0.1:0", once); err != nil {
		t.Fatal(err)
	}
	if got := output.String(); got != want {
		t.Errorf("it printed\n%s\nwant\n%s", got, want)
	}
}

// The page is served while commands are sent, and all ends with the ctx.
func TestAlways(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var output strings.Builder
	if err := run(ctx, &output, "127.0.0.1:0", always); err != nil {
		t.Fatal(err)
	}
	if got := output.String(); !strings.HasPrefix(got, "http://127.0.0.1:") || !strings.HasSuffix(got, "/debug/cmdstream\n") {
		t.Errorf("it printed %q", got)
	}
}
