package attacks

import (
	"fmt"
	"os"
	"testing"

	"github.com/cmdstream/cmdstream/internal/leak"
)

func TestMain(m *testing.M) {
	role := os.Getenv(roleName)
	if role == "" {
		leak.Main(m)
	}
	if err := runRole(role); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
