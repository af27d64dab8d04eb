package main

import (
	"strings"
	"testing"

	"github.com/cmdstream/cmdstream/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestRun(t *testing.T) {
	const want = `Hello, Ada
Hello, Bob
a command of 11 bytes
HELLO, ADA!
HELLO, BOB!
`
	var output strings.Builder
	if err := run(&output); err != nil {
		t.Fatal(err)
	}
	if got := output.String(); got != want {
		t.Errorf("it printed\n%s\nwant\n%s", got, want)
	}
}
