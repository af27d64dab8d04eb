// Package integration_test runs the library over real sockets: every network
// with every codec and every wire, peers that do not belong together, and server
// and client in two processes.
package integration_test

import (
	"os"
	"testing"

	"github.com/cmdstream/cmdstream/internal/leak"
)

func TestMain(m *testing.M) {
	if os.Getenv(serverProcess) != "" {
		os.Exit(runServerProcess())
	}
	leak.Main(m)
}
