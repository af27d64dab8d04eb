package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/cmdstream/cmdstream/bench/systems"
)

// Each run is a process of its own, so that none finds the heap, the goroutines or the
// open ends of another; and so, in two processes, is its server. Both are this very
// program. They read lines of JSON on standard input, write lines to a file, and end
// when their input ends.
const (
	serveArgument = "-serve-for-benchmark"
	runArgument   = "-run-for-benchmark"
	endTime       = 5 * time.Second // for a process to end by itself
	answerFile    = 3
)

// A process is one that this one has started.
type process struct {
	cmd     *exec.Cmd
	input   io.WriteCloser
	file    *os.File
	answers *bufio.Reader
}

func startProcess(argument string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, argument)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.ExtraFiles = []*os.File{write}
	input, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	write.Close()
	if err != nil {
		read.Close()
		return nil, err
	}
	return &process{cmd: cmd, input: input, file: read, answers: bufio.NewReader(read)}, nil
}

// ask says something and hears the answer.
func (p *process) ask(question, answer any, within time.Duration) error {
	if err := json.NewEncoder(p.input).Encode(question); err != nil {
		return err
	}
	if err := p.file.SetReadDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	line, err := p.answers.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, answer)
}

// end ends the process, by force if it does not end by itself, and waits for it.
func (p *process) end() {
	p.input.Close()
	timer := time.AfterFunc(endTime, func() { p.cmd.Process.Kill() })
	p.cmd.Wait()
	timer.Stop()
	p.file.Close()
}

// asProcess is what the program does if it was started as a process of a run; false: it
// was not.
func asProcess() bool {
	if len(os.Args) < 2 {
		return false
	}
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.NewFile(answerFile, "answers"))
	switch os.Args[1] {
	case serveArgument:
		serve(in, out)
	case runArgument:
		runTask(in, out)
	default:
		return false
	}
	return true
}

// A task is the first and only line that the process of a run reads.
type task struct {
	System           string
	Work             workload
	Mode             mode
	Duration, Warm   time.Duration
	Certificate, Key []byte
}

// An outcome is what it writes.
type outcome struct {
	Found         sample `json:",omitempty"`
	Error         string `json:",omitempty"`
	NotApplicable bool   `json:",omitempty"`
}

// runLimit bounds a whole run, dialing and stopping included.
const runLimit = 5 * time.Minute

// runTask does a task. When the input ends early, nobody wants the outcome any more.
func runTask(in *json.Decoder, out *json.Encoder) {
	var t task
	if err := in.Decode(&t); err != nil {
		return
	}
	done := make(chan outcome, 1)
	go func() { done <- t.do() }()
	abandoned := make(chan struct{})
	go func() {
		defer close(abandoned)
		var more any
		for in.Decode(&more) == nil {
		}
	}()
	select {
	case o := <-done:
		out.Encode(o)
	case <-abandoned:
	}
}

func (t task) do() outcome {
	system, err := systems.ByName(t.System)
	if err != nil {
		return outcome{Error: err.Error()}
	}
	found, err := execute(system, t.Work, t.Mode, settings{duration: t.Duration, warm: t.Warm, certificate: t.Certificate, key: t.Key})
	if err != nil {
		return outcome{Error: err.Error(), NotApplicable: errors.Is(err, errNotApplicable)}
	}
	return outcome{Found: found}
}

// executeApart is execute in a process of its own.
func executeApart(system systems.System, w workload, m mode, s settings) (sample, error) {
	p, err := startProcess(runArgument)
	if err != nil {
		return nil, err
	}
	defer p.end()
	var o outcome
	t := task{system.Info().Name, w, m, s.duration, s.warm, s.certificate, s.key}
	if err := p.ask(t, &o, runLimit); err != nil {
		return nil, err
	}
	switch {
	case o.NotApplicable:
		return nil, errNotApplicable
	case o.Error != "":
		return nil, errors.New(o.Error)
	}
	return o.Found, nil
}
