// Command cmdstream is the command-line tool of cmdstream.
//
//	go run ./cmd/cmdstream demo
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/gen"
	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/remote"
)

// commandLine is what kong parses. A further command is a field here and a file
// of its own, with its flags and its Run.
type commandLine struct {
	Demo       demoCommand       `cmd:"" help:"Show a server and a client at work, and how fast they are."`
	Info       infoCommand       `cmd:"" help:"Show what a server says of itself."`
	Ping       pingCommand       `cmd:"" help:"Measure round trips to a server."`
	List       listCommand       `cmd:"" help:"List the commands of a server, with their fields."`
	Call       callCommand       `cmd:"" help:"Run a command on a server, by name and JSON."`
	Bench      benchCommand      `cmd:"" help:"Put load on a server, and measure latencies."`
	Top        topCommand        `cmd:"" help:"Watch a program by its debug page."`
	Completion completionCommand `cmd:"" help:"Print what a shell needs to complete command lines."`
	Gen        genCommand        `cmd:"" help:"Write, from a Go interface, what calls it remotely."`
	Version    versionCommand    `cmd:"" help:"Print the version."`
	DemoServer demoServerCommand `cmd:"" hidden:""`
	Complete   completeCommand   `cmd:"" hidden:"" passthrough:""`
}

const description = `cmdstream carries the Command pattern over a network: a client sends
commands, a server runs each and sends back one result or many.`

const examples = `
Examples:
  cmdstream demo                 the whole of it in ten seconds
  cmdstream demo | cat           the same as plain text; so does NO_COLOR=1
  cmdstream info localhost:9000
  cmdstream ping -c 5 localhost:9000
  cmdstream list localhost:9000
  cmdstream call localhost:9000 Add '{"A": 2, "B": 3}'
  cmdstream bench localhost:9000 Add '{"A": 2, "B": 3}' --callers 64
  cmdstream top localhost:8080
  cmdstream gen -type Users      writes users_cmdstream.go beside the interface
  source <(cmdstream completion bash)

The help of a command, such as cmdstream bench --help, has more.

The exit codes:
  0    all went well
  1    it ran, and failed: a command ended in an error, a ping was lost
  2    the command line can't be understood, or names a file that can't be used
  3    no connection: nobody answers, it is something else, or it refuses
  130  Ctrl-C, where that breaks something off
`

// The exit codes.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitConnection  = 3
	exitInterrupted = 130 // as shells have it for SIGINT
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// run runs a command line and returns the exit code.
func run(args []string) int {
	exited := -1 // by kong, once it has printed the help
	parser := kong.Must(
		&commandLine{},
		kong.Name("cmdstream"),
		kong.Description(description),
		kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 80}),
		kong.Help(help),
	)
	if len(args) == 0 {
		args = []string{"--help"}
	}
	chosen, err := parser.Parse(goFlags(args))
	if exited >= 0 {
		return exited
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "cmdstream: %s\ncmdstream --help lists what there is.\n", misunderstood(args, err))
		return exitUsage
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second Ctrl-C ends the program whatever it does.
	context.AfterFunc(ctx, stop)
	chosen.BindTo(ctx, (*context.Context)(nil))
	err = chosen.Run()
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "cmdstream: interrupted")
		return exitInterrupted
	}
	faults, several := errors.AsType[gen.Faults](err)
	if !several {
		faults = gen.Faults{err}
	}
	for _, fault := range faults {
		fmt.Fprintf(os.Stderr, "cmdstream: %s\n", remote.Text(fault))
	}
	return exitCode(err)
}

// exitCode returns that of an error with which a command has ended.
func exitCode(err error) int {
	if _, ok := errors.AsType[*remote.UsageError](err); ok {
		return exitUsage
	}
	if _, ok := errors.AsType[*remote.ConnectError](err); ok {
		return exitConnection
	}
	return exitFailed
}

// help is kong's help, with examples under that of the whole program.
func help(options kong.HelpOptions, chosen *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, chosen); err != nil {
		return err
	}
	if chosen.Command() == "" {
		fmt.Fprint(chosen.Stdout, examples)
	}
	return nil
}
