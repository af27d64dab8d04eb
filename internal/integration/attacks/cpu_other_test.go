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

// pause and resume are nil: there is no way to do that here.
var pause, resume func(t *testing.T, p *process)

// fewDescriptors is nil: there is no limit here.
var fewDescriptors func(t *testing.T) (undo func())
