//go:build unix

package attacks

import (
	"os/exec"
	"syscall"
	"time"
)

// cpuTime is what the process has had of the cores.
func cpuTime() time.Duration {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// inGroup has a process be a group of its own.
func inGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// yieldToAll lets this process have what others leave of the cores, with all its threads,
// for which it must be a group of its own.
func yieldToAll() error { return syscall.Setpriority(syscall.PRIO_PGRP, 0, 19) }
