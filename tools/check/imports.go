package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// mayImport says, for each package of the root module, which other packages of
// it its code may import, besides the standard library and internal/. The names
// are folders; "x/*" stands for every package below x that has no row of its
// own, and "*" for all packages. Tests may import all of the root module.
//
// docs/architecture.md has this table with its reasons: change both together.
var mayImport = map[string][]string{
	".":             {"base"},
	"base":          {},
	"wire":          {},
	"transport":     {"base", "wire"},
	"delegate":      {"base", "wire", "transport"},
	"handler":       {"base", "transport", "delegate"},
	"client":        {"base", "transport", "delegate"},
	"server":        {"base", "transport", "delegate", "handler"},
	"group":         {"base", "client"},
	"codec":         {"base", "transport", "codec/json", "codec/reflection"},
	"codec/*":       {"base", "transport", "codec"},
	"compress/*":    {"base", "transport"},
	"cmdstreamtest": {"base", "transport", "client", "server"},
	"debug":         {".", "base", "client", "server", "handler"},
	"internal/*":    {},
	"examples/*":    {"*"},
}

// A listed is what is used here of a package as `go list` describes it.
type listed struct {
	Dir        string
	ImportPath string
	Name       string
	ForTest    string
	Module     *struct {
		Path string
		Main bool
	}
	GoFiles, CgoFiles, IgnoredGoFiles, TestGoFiles, XTestGoFiles []string
}

func (p listed) files() []string {
	return slices.Concat(p.GoFiles, p.CgoFiles, p.IgnoredGoFiles, p.TestGoFiles, p.XTestGoFiles)
}

func checkImports(root string) ([]finding, error) {
	module, err := modulePath(root)
	if err != nil {
		return nil, err
	}
	root, err = filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	packages, err := list(root)
	if err != nil {
		return nil, err
	}

	check := importChecker{root: root, module: module, folders: map[string]string{}, names: map[string]string{}}
	for _, p := range packages {
		check.names[p.ImportPath] = p.Name
		if p.Module != nil && p.Module.Path == module {
			check.folders[p.ImportPath] = folder(module, p.ImportPath)
		}
	}
	for _, p := range packages {
		if p.Module == nil || !p.Module.Main || p.ForTest != "" || strings.HasSuffix(p.ImportPath, ".test") {
			continue
		}
		if err := check.check(p); err != nil {
			return nil, err
		}
	}
	return check.findings, nil
}

// list describes all packages of the workspace and what they and their tests
// import. Broken packages are described too, as far as they can be.
func list(root string) ([]listed, error) {
	cmd := exec.Command("go", "list", "-e", "-deps", "-test",
		"-json=Dir,ImportPath,Name,ForTest,Module,GoFiles,CgoFiles,IgnoredGoFiles,TestGoFiles,XTestGoFiles", "work")
	cmd.Dir = root
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var packages []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages, nil
		}
		if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		packages = append(packages, p)
	}
}

// folder returns the folder of a package of the root module, from the root.
func folder(module, importPath string) string {
	if importPath == module {
		return "."
	}
	return strings.TrimPrefix(importPath, module+"/")
}

type importChecker struct {
	root     string
	module   string
	folders  map[string]string // of the root module's packages, by import path
	names    map[string]string // of all packages known, by import path
	findings []finding
}

// An imported is one import of a file.
type imported struct {
	path  string
	name  string // of the package itself
	alias string // as the file calls it, empty if it does not say
	line  int
}

func (c *importChecker) check(p listed) error {
	for i, name := range p.files() {
		file := filepath.Join(p.Dir, name)
		shown, err := filepath.Rel(c.root, file)
		if err != nil {
			return err
		}
		shown = filepath.ToSlash(shown)
		imports, err := c.imports(file)
		if err != nil {
			return err
		}
		c.aliases(shown, imports)
		if p.Module.Path != c.module {
			continue
		}
		if i == 0 {
			if _, known := allowed(c.folders[p.ImportPath]); !known {
				c.report(shown, 1, "package %s has no row in the table of imports (tools/check/imports.go)", c.folders[p.ImportPath])
			}
		}
		c.table(shown, c.folders[p.ImportPath], imports)
	}
	return nil
}

func (c *importChecker) imports(file string) ([]imported, error) {
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, nil, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	var imports []imported
	for _, spec := range parsed.Imports {
		importPath, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		one := imported{path: importPath, name: c.packageName(importPath), line: set.Position(spec.Pos()).Line}
		if spec.Name != nil {
			one.alias = spec.Name.Name
		}
		imports = append(imports, one)
	}
	return imports, nil
}

var majorVersion = regexp.MustCompile(`^v[0-9]+$`)

// packageName falls back on the path for packages that could not be listed, such
// as those that only another system's files import.
func (c *importChecker) packageName(importPath string) string {
	if name := c.names[importPath]; name != "" {
		return name
	}
	if majorVersion.MatchString(path.Base(importPath)) {
		importPath = path.Dir(importPath)
	}
	return path.Base(importPath)
}

// aliases allows an import another name only where two imports of the file have
// the same one. Spelling out a name that the path does not show is no alias.
func (c *importChecker) aliases(file string, imports []imported) {
	uses := map[string]int{}
	for _, one := range imports {
		if one.alias != "_" {
			uses[one.name]++
		}
	}
	for _, one := range imports {
		switch {
		case one.alias == "" || one.alias == "_" || one.alias == one.name:
		case one.alias == ".":
			c.report(file, one.line, "dot import of %q", one.path)
		case uses[one.name] < 2:
			c.report(file, one.line, "alias %s for %q, though nothing else imported here is called %s", one.alias, one.path, one.name)
		}
	}
}

// table holds one file of the root module against mayImport.
func (c *importChecker) table(file, from string, imports []imported) {
	may, _ := allowed(from)
	isTest := strings.HasSuffix(file, "_test.go")
	for _, one := range imports {
		first, _, _ := strings.Cut(one.path, "/")
		to, ours := c.folders[one.path]
		switch {
		case !strings.Contains(first, "."): // the standard library
		case !ours:
			c.report(file, one.line, "the root module imports %q: only the standard library and its own packages are allowed, in tests too", one.path)
		case isTest || strings.HasPrefix(to, "internal/") || slices.Contains(may, to) || slices.Contains(may, "*"):
		default:
			c.report(file, one.line, "%s imports %s: allowed are %s", from, to, strings.Join(append(slices.Clone(may), "internal/* and the standard library"), ", "))
		}
	}
}

// allowed finds the row of a package in mayImport.
func allowed(from string) (may []string, known bool) {
	if may, known = mayImport[from]; known {
		return may, true
	}
	top, _, _ := strings.Cut(from, "/")
	may, known = mayImport[top+"/*"]
	return may, known
}

func (c *importChecker) report(file string, line int, format string, args ...any) {
	c.findings = append(c.findings, finding{file, line, fmt.Sprintf(format, args...)})
}
