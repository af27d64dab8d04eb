package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/charmbracelet/x/term"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/remote"
	"github.com/cmdstream/cmdstream/codec/reflection"
)

// body is the fields of a command as the command line has them.
type body struct {
	Body string `arg:"" optional:"" name:"json" default:"{}" help:"The command's fields as JSON; - reads them from standard input."`
}

// maxBody is how many bytes are read from standard input.
const maxBody = 64 << 20

// read returns the JSON. The error is a *remote.UsageError, or ctx's.
func (b body) read(ctx context.Context) (json.RawMessage, error) {
	text := []byte(b.Body)
	if b.Body == "-" {
		var err error
		if text, err = readInput(ctx); err != nil {
			return nil, interrupted(ctx, &remote.UsageError{Err: fmt.Errorf("reading standard input: %w", err)})
		}
	}
	var fields json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		where := ""
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			where = fmt.Sprintf(" at byte %d", syntax.Offset)
		}
		return nil, &remote.UsageError{Err: fmt.Errorf("the fields are not JSON%s: %w", where, err)}
	}
	return fields, nil
}

// readInput reads standard input to its end, unless ctx ends before. Then it leaves a
// goroutine behind, which ends with the program: a read can't be broken off.
func readInput(ctx context.Context) ([]byte, error) {
	var text []byte
	read := make(chan error, 1)
	go func() {
		var err error
		text, err = io.ReadAll(io.LimitReader(os.Stdin, maxBody+1))
		if err == nil && len(text) > maxBody {
			err = fmt.Errorf("it has more than %d bytes", maxBody)
		}
		read <- err
	}()
	select {
	case err := <-read:
		return text, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type callCommand struct {
	remote.Server
	Name string `arg:"" help:"The command's name, as cmdstream list has it."`
	body
	Timeout time.Duration `help:"How long it may take; without it, until Ctrl-C."`
	JSON    bool          `name:"json" help:"One result a line, and an error as JSON too."`
}

// Help is what --help adds.
func (callCommand) Help() string {
	return `The server's program must have called Set.Reflect. Results are printed as they
come, as JSON: indented on a terminal, else one a line.

Examples:
  cmdstream call localhost:9000 Add '{"A": 2, "B": 3}'
  cmdstream call localhost:9000 Articles '{"AtLeast": 1}' --json | head -n 3
  generate | cmdstream call localhost:9000 Import - --timeout 10s`
}

// Validate checks the numbers.
func (c callCommand) Validate() error {
	if c.Timeout < 0 {
		return fmt.Errorf("--timeout is %v: it can't be negative", c.Timeout)
	}
	return c.Server.Validate()
}

// Run calls.
func (c callCommand) Run(ctx context.Context) error {
	fields, err := c.read(ctx)
	if err != nil {
		return err
	}
	calling, err := remote.New(ctx, c.Server, reflection.NewCodec(), c.Timeout)
	if err != nil {
		return err
	}
	defer calling.Close()
	indent := !c.JSON && term.IsTerminal(os.Stdout.Fd())
	for result, err := range reflection.Call(ctx, calling, c.Name, fields) {
		if err != nil {
			return c.failed(ctx, calling, err)
		}
		if err := printResult(os.Stdout, result, indent); err != nil {
			return err
		}
	}
	return nil
}

// failed says how the command has failed.
func (c callCommand) failed(ctx context.Context, calling reflection.Client, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	err = explain(ctx, calling, c.Name, err)
	if c.JSON {
		told := map[string]any{"message": remote.Text(err), "outcome": base.OutcomeOf(err).String(), "code": codeOf(err)}
		if printed := printJSON(map[string]any{"error": told}); printed != nil {
			return printed
		}
	}
	return err
}

// explain adds to the error of a command what helps: the outcome, and the name that was
// meant.
func explain(ctx context.Context, calling reflection.Client, name string, err error) error {
	if errors.Is(err, base.ErrUnknownCmd) {
		if description, asked := reflection.Describe(ctx, calling); asked == nil && find(description.Commands, name) == nil {
			return &commandError{unknownCommand(name, description.Commands).Error(), err}
		}
	}
	text := remote.Text(err)
	if told, ok := errors.AsType[*base.Error](err); ok {
		if !told.Remote { // it names the question
			named := *told
			named.Cmd, named.Seq = name, 0
			text = remote.Text(&named)
		}
		text = strings.TrimSuffix(text, fmt.Sprintf(" (outcome: %s)", told.Outcome))
		if !strings.HasPrefix(text, "command ") { // the library names it
			text = name + ": " + text
		}
		text = fmt.Sprintf("%s (outcome: %s, code: %s)", text, told.Outcome, string(told.Code))
		if told.RetryAfter > 0 {
			text += fmt.Sprintf(", it asks to wait for %v", told.RetryAfter)
		}
	}
	return &commandError{text, err}
}

// commandError is the error of a command in other words.
type commandError struct {
	text string
	err  error
}

// Error returns the words.
func (e *commandError) Error() string { return e.text }

// Unwrap returns the command's error.
func (e *commandError) Unwrap() error { return e.err }

// codeOf returns the base.Code of an error; "other" where it has none.
func codeOf(err error) string {
	if told, ok := errors.AsType[*base.Error](err); ok && told.Code != "" {
		return string(told.Code)
	}
	return "other"
}

// printResult prints a result. What a terminal could take for a control code is escaped,
// as JSON may have it.
func printResult(w io.Writer, result json.RawMessage, indent bool) error {
	var text bytes.Buffer
	err := json.Compact(&text, result)
	if err == nil && indent {
		text.Reset()
		err = json.Indent(&text, result, "", "  ")
	}
	if err != nil {
		return fmt.Errorf("the server sent a result that is not JSON: %w", err)
	}
	var out bytes.Buffer
	for _, r := range text.String() {
		if r >= 0x7f && r < 0xa0 {
			fmt.Fprintf(&out, `\u%04x`, r)
			continue
		}
		out.WriteRune(r)
	}
	out.WriteByte('\n')
	_, err = w.Write(out.Bytes())
	return err
}
