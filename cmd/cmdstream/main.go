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
)

// commandLine is what kong parses. A further command is a field here and a file
// of its own, with its flags and its Run.
type commandLine struct {
	Demo       demoCommand       `cmd:"" help:"Show a server and a client at work, and how fast they are."`
	Version    versionCommand    `cmd:"" help:"Print the version."`
	DemoServer demoServerCommand `cmd:"" hidden:""`
}

const description = `cmdstream carries the Command pattern over a network: a client sends
commands, a server runs each and sends back one result or many.`

const examples = `
Examples:
  cmdstream demo                 the whole of it in ten seconds
  cmdstream demo | cat           the same as plain text; so does NO_COLOR=1
  cmdstream version

The exit code is 0 if all went well, 1 if not, 2 for a command line that can't
be understood, and 130 after Ctrl-C.
`

// The exit codes.
const (
	exitFailed      = 1
	exitUsage       = 2
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
	chosen, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "cmdstream: %v\ncmdstream --help lists what there is.\n", err)
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
	fmt.Fprintf(os.Stderr, "cmdstream: %v\n", err)
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
