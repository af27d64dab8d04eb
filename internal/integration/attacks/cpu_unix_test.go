//go:build unix

package attacks

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
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

// pause stops a process, and resume has it go on.
var (
	pause  = func(t *testing.T, p *process) { p.signal(t, syscall.SIGSTOP) }
	resume = func(t *testing.T, p *process) { p.signal(t, syscall.SIGCONT) }
)

func (p *process) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Error(err)
	}
}

// fewDescriptors lets this process open thirty more files than it has, until undo.
var fewDescriptors = func(t *testing.T) (undo func()) {
	t.Helper()
	next, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	few := before
	few.Cur = uint64(next.Fd()) + 30
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	undo = func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(undo) // also where the siege breaks off
	return undo
}
