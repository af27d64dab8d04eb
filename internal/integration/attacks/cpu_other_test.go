//go:build !unix

package attacks

import (
	"os/exec"
	"testing"
	"time"
)

func cpuTime() time.Duration { return 0 }

func inGroup(*exec.Cmd) {}

func yieldToAll() error { return nil }

// fewDescriptors is nil: there is no limit here.
var fewDescriptors func(t *testing.T) (undo func())
