package main

import (
	"context"
	"strings"

	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/gen"
)

// genCommand writes the remote side of an interface.
type genCommand struct {
	Type string `required:"" placeholder:"INTERFACE" help:"The interface, such as Users."`
	Out  string `placeholder:"FILE" help:"The file to write, users_cmdstream.go if not said."`
	Dir  string `arg:"" optional:"" default:"." help:"The folder of the interface's package, the current one if not said."`
}

// Help is what --help says besides.
func (genCommand) Help() string {
	return `For an interface Users it writes UsersCommands, the set of commands for client
and server, and NewUsersClient, a Users whose methods run at the server. The
file also says which number each method has on the wire: keep it, and write it
again when the interface has changed.

  //go:generate cmdstream gen -type Users`
}

// Run writes the file.
func (g genCommand) Run(ctx context.Context) error {
	_, err := gen.Run(ctx, gen.Options{Type: g.Type, Out: g.Out, Dir: g.Dir})
	return err
}

// goFlags lets the flags of gen begin with one dash, as those of other generators do.
func goFlags(args []string) []string {
	if len(args) == 0 || args[0] != "gen" {
		return args
	}
	changed := make([]string, len(args))
	for i, arg := range args {
		name, _, _ := strings.Cut(arg, "=")
		if name == "-type" || name == "-out" || name == "-help" {
			arg = "-" + arg
		}
		changed[i] = arg
	}
	return changed
}
