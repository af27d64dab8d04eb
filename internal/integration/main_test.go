// Package integration_test runs the library over real sockets: every network
// with every codec and every wire, peers that do not belong together, and servers
// and clients in processes of their own, which are killed, stopped and starved.
package integration_test

import (
	"os"
	"testing"

	"github.com/cmdstream/cmdstream/internal/leak"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(processRole); role != "" {
		os.Exit(runProcess(role))
	}
	leak.Main(m)
}
