package main

import (
	"strings"
	"testing"

	"github.com/cmdstream/cmdstream/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestRun(t *testing.T) {
	const want = `2 + 3 = 5
counted 1
counted 2
counted 3
failed: there is nothing to count
failed: cmdstream: command main.Add: it could not be encoded (tag 1): protobuf: main.Add holds a nil *calcpb.AddRequest, which can't be told from an empty message: send that (outcome: not sent)
`
	var output strings.Builder
	if err := run(&output); err != nil {
		t.Fatal(err)
	}
	if got := output.String(); got != want {
		t.Errorf("it printed\n%s\nwant\n%s", got, want)
	}
}
