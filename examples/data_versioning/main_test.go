package main

import (
	"strings"
	"testing"

	"github.com/cmdstream/cmdstream/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestRun(t *testing.T) {
	const want = `the old client got: Hello, Ada!
the new client got: Hello, Grace Hopper! (12 letters)
from the old server it got: Hello, Grace Hopper!
`
	var output strings.Builder
	if err := run(&output); err != nil {
		t.Fatal(err)
	}
	if got := output.String(); got != want {
		t.Errorf("it printed\n%s\nwant\n%s", got, want)
	}
}
