package integration_test

import (
	"os/exec"
	"syscall"
)

// dieWithParent has a process killed when this one ends, in case that it is stopped
// then, and can't notice.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
