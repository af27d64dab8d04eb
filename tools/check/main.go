// Check holds the rules of this repository that no ready-made tool knows. It is
// run from the root of the repository, by make:
//
//	check imports           who may import whom, and no needless import aliases
//	check modules           go.work, the go versions and the nested modules in step
//	check size              names long files; never fails
//	check coverage PROFILE  coverage by package of the root module, and its floor
//
// Each finding is one line, file:line: rule. With findings it exits with 1, and
// with 2 when it could not look.
package main

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	findings, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		os.Exit(2)
	}
	slices.SortStableFunc(findings, func(a, b finding) int {
		return cmp.Or(strings.Compare(a.file, b.file), cmp.Compare(a.line, b.line))
	})
	for _, one := range findings {
		fmt.Fprintln(os.Stderr, one)
	}
	if len(findings) > 0 {
		os.Exit(1)
	}
}

func run(args []string) ([]finding, error) {
	switch {
	case slices.Equal(args, []string{"imports"}):
		return checkImports(".")
	case slices.Equal(args, []string{"modules"}):
		return checkModules(".")
	case slices.Equal(args, []string{"size"}):
		warnings, err := checkSize(".")
		for _, warning := range warnings {
			fmt.Println("warning:", warning)
		}
		return nil, err
	case len(args) == 2 && args[0] == "coverage":
		return checkCoverage(os.Stdout, ".", args[1])
	}
	return nil, fmt.Errorf("usage: check imports | modules | size | coverage PROFILE")
}

// A finding is one broken rule and its place; a rule about no file in particular
// has no file, and one about a file as a whole no line.
type finding struct {
	file string
	line int
	rule string
}

func (f finding) String() string {
	switch {
	case f.file == "":
		return f.rule
	case f.line == 0:
		return fmt.Sprintf("%s: %s", f.file, f.rule)
	}
	return fmt.Sprintf("%s:%d: %s", f.file, f.line, f.rule)
}

// files calls visit with every file below root that the go command would look
// at, by its path from root; so not those in testdata or in hidden folders.
func files(root string, visit func(path string) error) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !entry.IsDir() {
			path, err = filepath.Rel(root, path)
			if err != nil {
				return err
			}
			return visit(filepath.ToSlash(path))
		}
		name := entry.Name()
		if path != root && (name == "testdata" || name == "vendor" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")) {
			return fs.SkipDir
		}
		return nil
	})
}
