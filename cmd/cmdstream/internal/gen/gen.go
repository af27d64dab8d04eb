// Package gen writes, from a Go interface, what takes its methods through a connection:
// commands, their results, the set of commands, and a client that implements the interface.
//
//	file, err := gen.Run(ctx, gen.Options{Type: "Users"})
//
// The file goes into the interface's own package. For an interface Users it has
// UsersCommands, which returns the set for client and server, and NewUsersClient.
package gen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/remote"
)

// Options say what to write.
type Options struct {
	// Type is the name of the interface.
	Type string
	// Dir is the folder of its package; "": the current one.
	Dir string
	// Out is the file to write, in that folder; "": users_cmdstream.go for Users.
	Out string
}

// Faults are what is wrong with the methods of an interface, an error for each of them.
type Faults []error

// Error returns a line for each.
func (f Faults) Error() string { return errors.Join(f...).Error() }

// Run writes the file, unless it is there as it should be, and returns its path. An error
// is one line, but for Faults, or is that of ctx; the file is then as it was. What is wrong
// with the options is a *remote.UsageError.
func Run(ctx context.Context, options Options) (file string, err error) {
	at, err := options.place()
	if err != nil {
		return "", &remote.UsageError{Err: err}
	}
	old, text, err := generate(ctx, at, options.Type)
	if err != nil {
		return "", err
	}
	if bytes.Equal(text, old) {
		return at.out, nil
	}
	return at.out, replace(at.out, text)
}

// generate returns the text of the file as it is, and as it should be.
func generate(ctx context.Context, at place, typeName string) (old, text []byte, err error) {
	var known tags
	// To read anything else could take forever.
	if info, err := os.Stat(at.out); err == nil && !info.IsDir() && !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is no regular file: remove it, or give another one by -out", shown(at.out))
	}
	old, err = os.ReadFile(at.out)
	switch {
	case err == nil:
		if known, err = readTags(shown(at.out), old, typeName); err != nil {
			return nil, nil, err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, nil, fmt.Errorf("%s can't be read: %w", shown(at.out), cause(err))
	}
	s, err := load(ctx, at, typeName)
	if err != nil {
		return nil, nil, err
	}
	p, err := s.plan(known)
	if err != nil {
		return nil, nil, err
	}
	text, err = p.write()
	return old, text, err
}

// place is where things are, as absolute paths.
type place struct{ dir, out string }

func (o Options) place() (place, error) {
	if !token.IsIdentifier(o.Type) {
		return place{}, fmt.Errorf("-type %q is not the name of a type: give the name of an interface alone, without its package", o.Type)
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return place{}, err
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return place{}, fmt.Errorf("%s is not a folder: give the folder of the package that declares %s", o.Dir, o.Type)
	}
	out := o.Out
	if out == "" {
		out = strings.ToLower(o.Type) + "_cmdstream.go"
	}
	if filepath.Base(out) == out {
		out = filepath.Join(dir, out)
	} else if out, err = filepath.Abs(out); err != nil {
		return place{}, err
	}
	switch {
	case filepath.Dir(out) != dir:
		return place{}, fmt.Errorf("-out %s is not in %s: the file belongs into the package of %s", o.Out, shown(dir), o.Type)
	case !strings.HasSuffix(out, ".go") || strings.HasSuffix(out, "_test.go"):
		return place{}, fmt.Errorf("-out %s is not the name of a Go file that is no test: let it end in .go, and not in _test.go", o.Out)
	case !onAllSystems(out, func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("package p\n")), nil }):
		return place{}, fmt.Errorf("%s would not always be compiled by Go, because of its name: give one by -out that begins with no _ or . and ends in no name of a system or processor, such as _linux.go", filepath.Base(out))
	}
	return place{dir, out}, nil
}

// shown is a path as people see it: from the current folder, where it is below that.
func shown(path string) string {
	if here, err := os.Getwd(); err == nil {
		if relative, err := filepath.Rel(here, path); err == nil && !strings.HasPrefix(relative, "..") {
			return relative
		}
	}
	return path
}

// cause is an error of package os without its path.
func cause(err error) error {
	var e *fs.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// replace writes a file whole or not at all: its tags must not be lost.
func replace(path string, text []byte) error {
	failed := func(err error) error { return fmt.Errorf("%s can't be written: %w", shown(path), cause(err)) }
	if file, err := os.OpenFile(path, os.O_WRONLY, 0); err == nil {
		file.Close()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return failed(err)
	}
	draft, err := os.CreateTemp(filepath.Dir(path), ".cmdstream-*")
	if err != nil {
		return failed(err)
	}
	defer os.Remove(draft.Name()) // in vain, once it has its name
	_, err = draft.Write(text)
	if err := errors.Join(err, draft.Chmod(0o644), draft.Close()); err != nil {
		return failed(err)
	}
	if err := os.Rename(draft.Name(), path); err != nil {
		return failed(err)
	}
	return nil
}

// header is the first line of what was written for a type.
func header(typeName string) string {
	return fmt.Sprintf("// Code generated by \"cmdstream gen -type %s\"; DO NOT EDIT.", typeName)
}

// headerLine finds the type in a header.
var headerLine = regexp.MustCompile(`^// Code generated by "cmdstream gen -type (\S+)"; DO NOT EDIT\.\r?\n`)

// generatedFor returns for which type a file was written; "": it was not.
func generatedFor(text []byte) string {
	if found := headerLine.FindSubmatch(text); found != nil {
		return string(found[1])
	}
	return ""
}
