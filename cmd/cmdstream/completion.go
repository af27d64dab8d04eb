package main

import (
	"fmt"

	"github.com/alecthomas/kong"

	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/complete"
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"The shell: bash, zsh or fish."`
}

// Help is what --help adds.
func (completionCommand) Help() string {
	return `The script completes commands, flags and files.

Examples:
  source <(cmdstream completion bash)     in ~/.bashrc
  source <(cmdstream completion zsh)      in ~/.zshrc, after compinit
  cmdstream completion fish | source      in ~/.config/fish/config.fish`
}

// Run prints the script.
func (c completionCommand) Run() error {
	script, err := complete.Script(c.Shell, "cmdstream", "complete")
	if err == nil {
		_, err = fmt.Print(script)
	}
	return err
}

// completeCommand is what the scripts ask.
type completeCommand struct {
	Args []string `arg:"" optional:""`
}

// Run prints the candidates. It is silent about what it does not understand: nobody wants
// errors among what he types.
func (c completeCommand) Run(parsed *kong.Context) error {
	words := c.Args
	if len(words) == 0 {
		return nil
	}
	if shell := words[0]; shell == "bash" && len(words) > 1 {
		words = complete.Split(words[1])
	}
	for _, candidate := range complete.Words(parsed.Model.Node, words[1:]) {
		if _, err := fmt.Println(candidate); err != nil {
			return err
		}
	}
	return nil
}
