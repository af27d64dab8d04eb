package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// process is the server process, seen from the first one.
type process struct {
	notice notice
	cmd    *exec.Cmd
	stdin  io.Closer
	done   chan struct{} // closed when the process has ended
}

const (
	// startTime bounds the start of the server process.
	startTime = 10 * time.Second
	// stopTime bounds its end, before it is killed.
	stopTime = 2 * time.Second
	// endTime is how long after its effects its cause may be heard of: the end of
	// the process, or Ctrl-C.
	endTime = 300 * time.Millisecond
)

// startProcess starts the server process and waits for its notice.
func startProcess(ctx context.Context, command []string, o order) (*process, error) {
	p := &process{cmd: exec.Command(command[0], command[1:]...), done: make(chan struct{})}
	p.cmd.Stderr = os.Stderr
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.stdin = stdin
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the server process: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	defer context.AfterFunc(ctx, func() { p.cmd.Process.Kill() })()
	if err = json.NewEncoder(stdin).Encode(o); err == nil {
		err = json.NewDecoder(stdout).Decode(&p.notice)
	}
	if err == nil {
		err = ctx.Err() // it was killed just now, or will be
	}
	go func() {
		defer close(p.done)
		p.cmd.Wait()
	}()
	if err != nil {
		p.stop()
		// If Ctrl-C has ended the new process, ctx is about to end as well.
		select {
		case <-ctx.Done():
		case <-time.After(endTime):
		}
		return nil, fmt.Errorf("the server process did not start: %w (%v)", err, p.cmd.ProcessState)
	}
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop ends the process in good order, if it can be done so.
func (p *process) stop() {
	p.stdin.Close()
	select {
	case <-p.done:
	case <-time.After(stopTime):
		p.kill()
	}
}

// kill ends the process at once.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
	p.stdin.Close()
}
