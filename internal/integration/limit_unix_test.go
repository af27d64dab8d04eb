//go:build unix

package integration_test

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"
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

// pause stops the process until resume, and waits until all its threads have noticed.
func (p *process) pause(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGSTOP)
	for range 5000 {
		time.Sleep(time.Millisecond)
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
		if err != nil || bytes.Contains(stat, []byte(") T ")) { // other systems have no such file
			return
		}
	}
	t.Fatal("the process did not stop")
}

func (p *process) resume(t *testing.T) { p.signal(t, syscall.SIGCONT) }

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}
