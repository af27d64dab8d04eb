package main

import (
	"os"
	"testing"
)

// TestMain lets the tests' program be the process of a run or of its server, as the
// program itself is.
func TestMain(m *testing.M) {
	if asProcess() {
		return
	}
	os.Exit(m.Run())
}
