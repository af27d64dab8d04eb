package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/remote"
	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/terminal"
	"github.com/cmdstream/cmdstream/codec/reflection"
)

type listCommand struct {
	remote.Server
	Names []string `arg:"" optional:"" name:"name" help:"Only these commands."`
	JSON  bool     `name:"json" help:"Print JSON, as codec/reflection has it."`
}

// Help is what --help adds.
func (listCommand) Help() string {
	return `A server with a typed set tells the names of its commands, and their fields and
results too if its program has called Set.Reflect.

Examples:
  cmdstream list localhost:9000
  cmdstream list localhost:9000 Add
  cmdstream list --json localhost:9000`
}

// Run lists.
func (c listCommand) Run(ctx context.Context) error {
	asking, err := remote.New(ctx, c.Server, reflection.NewCodec(), describeTime)
	if err != nil {
		return err
	}
	defer asking.Close()
	description, err := reflection.Describe(ctx, asking)
	if err != nil {
		return interrupted(ctx, fmt.Errorf("%s does not tell its commands: %w", c.Addr, err))
	}
	if len(c.Names) > 0 {
		var chosen []reflection.Command
		for _, name := range c.Names {
			found := find(description.Commands, name)
			if found == nil {
				return unknownCommand(name, description.Commands)
			}
			chosen = append(chosen, *found)
		}
		description.Commands = chosen
	}
	if c.JSON {
		return printJSON(description)
	}
	screen := terminal.New(os.Stdout, os.Environ())
	for i, command := range description.Commands {
		if i > 0 && description.Reflection {
			screen.Line("")
		}
		printCommand(screen, command)
	}
	if !description.Reflection {
		screen.Line("")
		screen.Line(terminal.Faint("The server tells no fields: its program has not called Set.Reflect."))
	}
	return screen.Err()
}

// interrupted returns ctx's error instead of err, if that is why.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// find returns the command of a name, which may lack the package.
func find(commands []reflection.Command, name string) *reflection.Command {
	for i, command := range commands {
		if command.Name == name || strings.HasSuffix(command.Name, "."+name) {
			return &commands[i]
		}
	}
	return nil
}

// unknownCommand is the error of a name that a server does not know.
func unknownCommand(name string, known []reflection.Command) error {
	text := fmt.Sprintf("the server has no command %q", name)
	nearest, distance := "", 1+max(2, len(name)/3)
	for _, command := range known {
		short := shortName(command.Name)
		if d := editDistance(strings.ToLower(name), strings.ToLower(short)); d < distance {
			nearest, distance = short, d
		}
	}
	if nearest != "" {
		return fmt.Errorf("%s, did you mean %q?", text, nearest)
	}
	return fmt.Errorf("%s: cmdstream list shows those that it has", text)
}

// shortName is a command's name without the package.
func shortName(name string) string {
	head, arguments, generic := strings.Cut(name, "[")
	if head = head[strings.LastIndexByte(head, '.')+1:]; generic {
		return head + "[" + arguments
	}
	return head
}

// maxName is how many bytes of a name are compared: a server may have names of any length.
const maxName = 100

// editDistance returns how many bytes are to be put in, taken out or changed to make b
// of a.
func editDistance(a, b string) int {
	a, b = a[:min(len(a), maxName)], b[:min(len(b), maxName)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := diagonal
			if a[i] != b[j] {
				changed++
			}
			diagonal = row[j+1]
			row[j+1] = min(changed, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// printCommand prints a command with what is known of it.
func printCommand(screen *terminal.Screen, command reflection.Command) {
	line := terminal.Title(remote.Clean(command.Name)) + "  " +
		terminal.Faint(fmt.Sprintf("tag %d, %s", command.Tag, remote.Clean(command.Kind)))
	screen.Line(line)
	printType(screen, "", command.Body)
	printType(screen, "input", command.Input)
	printType(screen, "result", command.Result)
}

// printType prints a type under a heading, with its fields below; without a heading the
// fields alone.
func printType(screen *terminal.Screen, heading string, t *reflection.Type) {
	if t == nil {
		return
	}
	depth := 1
	if heading != "" {
		screen.Line("  " + terminal.Faint(heading) + " " + terminal.Code(typeText(t, 0)))
		depth = 2
	} else if t.Kind != "struct" {
		screen.Line("  " + terminal.Code(typeText(t, 0)))
	}
	printFields(screen, t, depth)
}

// maxDepth is how deep types are shown within each other.
const maxDepth = 16

// printFields prints the fields of a struct, or of the struct of which a type is made.
func printFields(screen *terminal.Screen, t *reflection.Type, depth int) {
	for t.Kind != "struct" && t.Elem != nil && depth < maxDepth {
		t = t.Elem
	}
	if depth >= maxDepth {
		return
	}
	width := 0
	for _, field := range t.Fields {
		width = max(width, len([]rune(field.Name)))
	}
	for _, field := range t.Fields {
		if field.Type == nil {
			continue
		}
		line := fmt.Sprintf("%s%-*s  %s", strings.Repeat("  ", depth), min(width, 24), remote.Clean(field.Name), terminal.Code(typeText(field.Type, 0)))
		if field.Optional {
			line += terminal.Faint("  may be left out")
		}
		screen.Line(line)
		printFields(screen, field.Type, depth+1)
	}
}

// typeText is a type in words.
func typeText(t *reflection.Type, depth int) string {
	switch {
	case t == nil || depth >= maxDepth:
		return "…"
	case t.Kind == "list":
		return "list of " + typeText(t.Elem, depth+1)
	case t.Kind == "map":
		return "map of " + typeText(t.Key, depth+1) + " to " + typeText(t.Elem, depth+1)
	case t.Kind == "optional":
		return typeText(t.Elem, depth+1) + " or null"
	case t.Name == "" || t.Name == t.Kind:
		return remote.Clean(t.Kind)
	}
	return remote.Clean(t.Name + " (" + t.Kind + ")")
}
