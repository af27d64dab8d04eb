//go:build unix

package integration_test

import (
	"syscall"
	"testing"
)

// limitDescriptors sets how many file descriptors this process may have; 0: as many as
// the system allows.
func limitDescriptors(count uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	if count > 0 {
		limit.Cur = count
	}
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

// pause stops the process until resume.
func (p *process) pause(t *testing.T) { p.signal(t, syscall.SIGSTOP) }

func (p *process) resume(t *testing.T) { p.signal(t, syscall.SIGCONT) }

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}
