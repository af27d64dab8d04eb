package main

import (
	"fmt"
	"os"
	"testing"
)

// TestMain lets the tests' program be a server in a process of its own, as the
// program itself is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == serveArgument {
		if err := serve(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}
