package main

import (
	"fmt"
	"go/version"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
)

// checkModules holds the go.mod files of the tree and go.work against each
// other: the same modules, the same Go, a root without requirements, and nested
// modules that find their siblings in this tree.
func checkModules(root string) ([]finding, error) {
	work, err := parseWork(root)
	if err != nil {
		return nil, err
	}
	modules, err := parseModules(root)
	if err != nil {
		return nil, err
	}
	main, ok := modules["."]
	if !ok || main.Module == nil || main.Go == nil || work.Go == nil {
		return nil, fmt.Errorf("go.mod must name its module, and go.mod and go.work their go version")
	}
	return (&moduleChecker{work: work, modules: modules, main: main}).check(), nil
}

type moduleChecker struct {
	work     *modfile.WorkFile
	modules  map[string]*modfile.File // by folder, from the root
	main     *modfile.File            // the root module
	findings []finding
}

func (c *moduleChecker) check() []finding {
	c.rootRequiresNothing()
	c.workspace()
	for dir, mod := range c.modules {
		file := path.Join(dir, "go.mod")
		if mod.Module == nil || mod.Go == nil {
			c.report(file, 1, "a module must say its path and its go version")
			continue
		}
		c.goVersion(file, mod.Go)
		want := path.Join(c.main.Module.Mod.Path, dir)
		if got := mod.Module.Mod.Path; got != want {
			c.report(file, mod.Module.Syntax.Start.Line, "module %s should be called %s, after its folder", got, want)
		}
		c.siblings(dir, file, mod)
	}
	return c.findings
}

func (c *moduleChecker) rootRequiresNothing() {
	for _, require := range c.main.Require {
		c.report("go.mod", require.Syntax.Start.Line, "the root module requires nothing: %s belongs into a nested module", require.Mod.Path)
	}
	for _, tool := range c.main.Tool {
		c.report("go.mod", tool.Syntax.Start.Line, "tools are pinned in tools/go.mod, not here: %s", tool.Path)
	}
	for _, replace := range c.main.Replace {
		c.report("go.mod", replace.Syntax.Start.Line, "the root module replaces nothing: %s", replace.Old.Path)
	}
}

// workspace compares go.work with the modules in the tree.
func (c *moduleChecker) workspace() {
	c.goVersion("go.work", c.work.Go)
	used := map[string]bool{}
	for _, use := range c.work.Use {
		dir := path.Clean(use.Path)
		used[dir] = true
		if c.modules[dir] == nil {
			c.report("go.work", use.Syntax.Start.Line, "%s has no go.mod", use.Path)
		}
	}
	for dir := range c.modules {
		if !used[dir] {
			c.report(path.Join(dir, "go.mod"), 1, "this module is not in go.work: go work use ./%s", dir)
		}
	}
}

// goVersion compares language versions only: some dependencies make the go
// command write 1.N.0 where the other modules say 1.N.
func (c *moduleChecker) goVersion(file string, got *modfile.Go) {
	want := version.Lang("go" + c.main.Go.Version)
	if version.Lang("go"+got.Version) != want {
		c.report(file, got.Syntax.Start.Line, "go %s: the root module is on %s", got.Version, want)
	}
}

// siblings demands a replace for each module of this repository that mod
// requires: without one it would be looked for outside of the tree.
func (c *moduleChecker) siblings(dir, file string, mod *modfile.File) {
	replaced := map[string]string{}
	for _, replace := range mod.Replace {
		replaced[replace.Old.Path] = replace.New.Path
	}
	for _, require := range mod.Require {
		folder, ours := strings.CutPrefix(require.Mod.Path+"/", c.main.Module.Mod.Path+"/")
		if !ours {
			continue
		}
		want := path.Join(".", folder)
		if got, ok := replaced[require.Mod.Path]; !ok || path.Join(dir, got) != want {
			c.report(file, require.Syntax.Start.Line, "%s needs a replace with its folder here, ./%s", require.Mod.Path, want)
		}
	}
}

func (c *moduleChecker) report(file string, line int, format string, args ...any) {
	c.findings = append(c.findings, finding{file, line, fmt.Sprintf(format, args...)})
}

func parseWork(root string) (*modfile.WorkFile, error) {
	data, err := os.ReadFile(filepath.Join(root, "go.work"))
	if err != nil {
		return nil, err
	}
	return modfile.ParseWork("go.work", data, nil)
}

func parseModules(root string) (map[string]*modfile.File, error) {
	modules := map[string]*modfile.File{}
	err := files(root, func(name string) error {
		if path.Base(name) != "go.mod" {
			return nil
		}
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return err
		}
		mod, err := modfile.Parse(name, data, nil)
		modules[path.Dir(name)] = mod
		return err
	})
	return modules, err
}

// modulePath returns the path of the module in root.
func modulePath(root string) (string, error) {
	data, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return "", err
	}
	module := modfile.ModulePath(data)
	if module == "" {
		return "", fmt.Errorf("go.mod names no module")
	}
	return module, nil
}
