package main

import (
	"strings"
	"testing"

	"github.com/cmdstream/cmdstream/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestRun(t *testing.T) {
	const want = `local: user 1 is ann
local: user 3 is anton
local: user 7: no such user (ErrNotFound: true)
remote: user 1 is ann
remote: user 3 is anton
remote: user 7: no such user (ErrNotFound: true)
`
	var output strings.Builder
	if err := run(&output); err != nil {
		t.Fatal(err)
	}
	if got := output.String(); got != want {
		t.Errorf("it printed\n%s\nwant\n%s", got, want)
	}
}
