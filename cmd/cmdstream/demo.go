package main

import (
	"context"
	"os"
	"os/signal"
	"time"

	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/demo"
	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/terminal"
)

type demoCommand struct {
	Measure time.Duration `hidden:"" default:"1s" help:"How long each throughput is measured."`
}

// faultVariable is the environment variable by which tests have the server do
// something wrong; it is a demo.Fault.
const faultVariable = "CMDSTREAM_DEMO_FAULT"

// Help is what --help adds.
func (demoCommand) Help() string {
	return `It starts a server in a second process of its own and sends commands to it:
some that succeed, some that fail, and some whose connection is cut while they
run. Then it measures how many commands a second this machine does. Every answer
is checked: the exit code is 0 only if all of them were right.`
}

// Run shows the demo.
func (c demoCommand) Run(ctx context.Context) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	return demo.Run(ctx, terminal.New(os.Stdout, os.Environ()), demo.Options{
		Server:  []string{program, "demo-server"},
		Measure: c.Measure,
		Fault:   demo.Fault(os.Getenv(faultVariable)),
	})
}

// demoServerCommand is the demo's second process.
type demoServerCommand struct{}

// Run serves until standard input ends, which it does with the first process.
func (demoServerCommand) Run(ctx context.Context) error {
	// Ctrl-C reaches both processes; the first one ends this one in good order.
	signal.Ignore(os.Interrupt)
	return demo.Serve(ctx, os.Stdin, os.Stdout)
}
