package main

import (
	"strings"
	"testing"

	"github.com/cmdstream/cmdstream/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestRun(t *testing.T) {
	const want = `all there: map[one:2 three:2 two:2]
two is lost: map[one:3 three:3]
two is back: map[one:2 three:2 two:2]
each of 100 carts is at one server, for both programs
`
	var output strings.Builder
	if err := run(&output); err != nil {
		t.Fatal(err)
	}
	if got := output.String(); got != want {
		t.Errorf("it printed\n%s\nwant\n%s", got, want)
	}
}
