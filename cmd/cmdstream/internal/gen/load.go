package gen

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/scanner"
	"go/token"
	"go/types"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/tools/go/packages"
)

// The packages that a written file imports.
const (
	rootPath  = "github.com/cmdstream/cmdstream"
	codecPath = rootPath + "/codec"
	stubPath  = rootPath + "/codec/stub"
)

// source is a package and the interface in it.
type source struct {
	place
	*packages.Package
	loaded   []*packages.Package // it, and what the file will import
	typeName string
	iface    *types.Interface
	// top are the names that the package declares elsewhere than in the file to write, and
	// imported those of what its files import: the file may declare none of either.
	top, imported map[string]token.Pos
}

// load loads the package, and finds the interface. The file to write may not be there, or
// fit the interface no more: what is wrong because of that is no error.
func load(ctx context.Context, at place, typeName string) (*source, error) {
	found, err := build.ImportDir(at.dir, 0)
	var several *build.MultiplePackageError
	var none *build.NoGoError
	switch {
	case errors.As(err, &none):
		return nil, fmt.Errorf("%s has no Go files, tests aside: give the folder of the package that declares %s", shown(at.dir), typeName)
	case errors.As(err, &several):
		return nil, fmt.Errorf("%s has two packages, %s in %s and %s in %s: one has to go", shown(at.dir), several.Packages[0], several.Files[0], several.Packages[1], several.Files[1])
	case err != nil:
		return nil, fmt.Errorf("%w: the package has to compile first", firstError(err))
	}
	if found.Name == "" || len(found.GoFiles)+len(found.CgoFiles) == 0 {
		return nil, fmt.Errorf("%s has no Go files, tests aside: give the folder of the package that declares %s", shown(at.dir), typeName)
	}
	loaded, err := packages.Load(&packages.Config{
		Mode:    packages.NeedName | packages.NeedFiles | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo | packages.NeedImports,
		Context: ctx,
		Dir:     at.dir,
		Env:     append(os.Environ(), "PWD="+at.dir),
	}, ".", stubPath) // that is what the file will import, beside its parents
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		if _, err := exec.LookPath("go"); err != nil {
			return nil, errors.New("there is no go command in PATH, by which cmdstream gen reads the package: add the folder that has it")
		}
		return nil, fmt.Errorf("%s: the go command could not list the package: %s", shown(at.dir), strings.Join(strings.Fields(err.Error()), " "))
	}
	own := slices.DeleteFunc(slices.Clone(loaded), func(p *packages.Package) bool { return p.PkgPath == stubPath })
	if len(own) != 1 || own[0].Types == nil {
		return nil, fmt.Errorf("%s: the go command lists no package here: %s", shown(at.dir), listing(ctx, at.dir))
	}
	s := &source{place: at, Package: own[0], typeName: typeName, loaded: loaded}
	s.top, s.imported = s.declared()
	if err := s.check(); err != nil {
		return nil, err
	}
	return s, s.find()
}

// listing is what the go command has to say against listing the package, on one line.
func listing(ctx context.Context, dir string) string {
	var says strings.Builder
	list := exec.CommandContext(ctx, "go", "list", "-deps", ".", stubPath)
	list.Dir, list.Stderr = dir, &says
	if err := list.Run(); err != nil && says.Len() == 0 {
		return err.Error()
	}
	return strings.Join(strings.Fields(says.String()), " ")
}

// constructor is the name of the function that makes a client.
func constructor(typeName string) string {
	if token.IsExported(typeName) {
		return "New" + typeName + "Client"
	}
	return "new" + upperFirst(typeName) + "Client"
}

// find finds the interface.
func (s *source) find() error {
	object := s.Types.Scope().Lookup(s.typeName)
	name, ok := object.(*types.TypeName)
	switch {
	case object == nil:
		return fmt.Errorf("%s: package %s declares no type %s (files of tests are not read): give the name of an interface", shown(s.dir), s.Name, s.typeName)
	case !ok:
		return s.fail(object.Pos(), "%s is not a type: give the name of an interface", s.typeName)
	case !s.everywhere(object.Pos()):
		return s.fail(object.Pos(), "%s is %s", s.typeName, notEverywhere)
	}
	s.iface, ok = name.Type().Underlying().(*types.Interface)
	if !ok {
		return s.fail(name.Pos(), "%s is a %s, not an interface: declare one with the methods that are to be called, and give its name", s.typeName, kind(name.Type()))
	}
	var generic bool
	switch t := name.Type().(type) {
	case *types.Named:
		generic = t.TypeParams().Len() > t.TypeArgs().Len()
	case *types.Alias:
		generic = t.TypeParams().Len() > t.TypeArgs().Len()
	}
	switch {
	case generic:
		return s.fail(name.Pos(), "%s is generic, and a command needs the types that it carries: declare one for the types at hand, such as interface { %[1]s[int] }, and give its name", s.typeName)
	case !s.iface.IsMethodSet():
		return s.fail(name.Pos(), "%s is a constraint, not a set of methods: no value has that type", s.typeName)
	case s.iface.NumMethods() == 0:
		return s.fail(name.Pos(), "%s has no methods: there is nothing to call", s.typeName)
	}
	return nil
}

// declared returns the names that the package's other files declare at the top, and import.
func (s *source) declared() (top, imported map[string]token.Pos) {
	top, imported = make(map[string]token.Pos), make(map[string]token.Pos)
	for _, file := range s.Syntax {
		if s.isOut(s.Fset.Position(file.Package).Filename) {
			continue
		}
		for _, name := range declaredIn(file) {
			top[name.Name] = name.Pos()
		}
		for _, name := range s.TypesInfo.Scopes[file].Names() {
			imported[name] = file.Package
		}
	}
	return top, imported
}

// declaredIn returns what a file declares at the top.
func declaredIn(file *ast.File) (names []*ast.Ident) {
	for _, declared := range file.Decls {
		switch d := declared.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				names = append(names, d.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					names = append(names, spec.Name)
				case *ast.ValueSpec:
					names = append(names, spec.Names...)
				}
			}
		}
	}
	return names
}

// check returns the first error in the package that is not of our making.
func (s *source) check() error {
	for _, name := range []string{s.typeName + "Commands", constructor(s.typeName)} {
		if pos, taken := s.top[name]; taken {
			return s.fail(pos, "%s is what cmdstream gen calls its own: give this one another name", name)
		}
		if pos, taken := s.imported[name]; taken {
			return s.fail(pos, "this file imports something as %s, which is what cmdstream gen calls its own: give the import another name", name)
		}
	}
	for _, name := range types.Universe.Names() {
		_, isType := types.Universe.Lookup(name).(*types.TypeName)
		if pos, changed := s.top[name]; isType && changed {
			return s.fail(pos, "%s has another meaning in this package than in Go, which the file to write could not do without: give it another name", name)
		}
	}
	var wrong error
	packages.Visit(s.loaded, nil, func(p *packages.Package) {
		for _, e := range p.Errors {
			// What the compiler says of a package is said better by the type checker.
			ofCompiler := strings.HasPrefix(e.Msg, "# ")
			if wrong == nil && !ofCompiler && (p != s.Package || e.Kind != packages.TypeError) {
				wrong = s.listed(e)
			}
		}
	})
	if wrong != nil {
		return wrong
	}
	for _, e := range s.TypeErrors {
		if !s.ours(e) {
			return fmt.Errorf("%s: %s: the package has to compile first", s.at(e.Pos), firstLine(e.Msg))
		}
	}
	return nil
}

// listed is an error of the go command, of the parser, or in another package.
func (s *source) listed(e packages.Error) error {
	message := strings.TrimSuffix(firstLine(e.Msg), "; to add it:")
	if strings.Contains(message, rootPath) && strings.Contains(message, "-mod=vendor") {
		return fmt.Errorf("%s: %s: run cmdstream gen with GOFLAGS=-mod=mod, and go mod vendor after it", shown(s.dir), message)
	}
	if strings.Contains(message, rootPath) {
		return fmt.Errorf("%s: %s: the module has to require it", shown(s.dir), message)
	}
	file, rest, _ := strings.Cut(e.Pos, ":")
	if !filepath.IsAbs(file) {
		file = filepath.Join(s.dir, file)
	}
	line, _, _ := strings.Cut(rest, ":")
	if line == "" {
		return fmt.Errorf("%s: %s", shown(s.dir), strings.Join(strings.Fields(e.Msg), " "))
	}
	return fmt.Errorf("%s:%s: %s: the package has to compile first", shown(file), line, message)
}

var (
	undefined  = regexp.MustCompile(`^undefined: (\w+)$`)
	redeclared = regexp.MustCompile(`^(\w+) redeclared in this block`)
)

// ours tells whether an error will be mended by writing files: this one, or that of another
// interface. Such a file may be wrong itself, declare what the package does by now, or lack
// what the package uses.
func (s *source) ours(e types.Error) bool {
	if s.generated(e.Pos) || strings.HasPrefix(e.Msg, "\t") { // it continues the one before
		return true
	}
	if found := redeclared.FindStringSubmatch(e.Msg); found != nil {
		return s.top[found[1]].IsValid() && slices.ContainsFunc(s.Syntax, func(file *ast.File) bool {
			return s.generated(file.Package) && slices.ContainsFunc(declaredIn(file), func(name *ast.Ident) bool { return name.Name == found[1] })
		})
	}
	found := undefined.FindStringSubmatch(e.Msg)
	if found == nil {
		return false
	}
	for name := range s.top {
		object, ok := s.Types.Scope().Lookup(name).(*types.TypeName)
		if !ok || !types.IsInterface(object.Type()) {
			continue
		}
		rest, private := strings.CutPrefix(found[1], lowerFirst(name))
		if found[1] == name+"Commands" || found[1] == constructor(name) ||
			private && (strings.HasSuffix(rest, "Command") || strings.HasSuffix(rest, "Result") || rest == "Client" || rest == "Errors") {
			return true
		}
	}
	return false
}

// generated tells whether a place is in a file that cmdstream gen has written.
func (s *source) generated(pos token.Pos) bool {
	path := s.Fset.Position(pos).Filename
	text, err := os.ReadFile(path)
	return err == nil && (s.isOut(path) || generatedFor(text) != "")
}

// isOut tells whether a file of the package is the one to write. All are in one folder, which
// may have two names.
func (s *source) isOut(path string) bool { return filepath.Base(path) == filepath.Base(s.out) }

// at is a place in the source, as file:line.
func (s *source) at(pos token.Pos) string {
	if !pos.IsValid() { // of error itself
		pos = s.Types.Scope().Lookup(s.typeName).Pos()
	}
	p := s.Fset.Position(pos)
	return shown(p.Filename) + ":" + strconv.Itoa(p.Line)
}

func (s *source) fail(pos token.Pos, format string, args ...any) error {
	return fmt.Errorf("%s: %s", s.at(pos), fmt.Sprintf(format, args...))
}

// firstError is the first of a list of errors, on one line.
func firstError(err error) error {
	var list scanner.ErrorList
	if errors.As(err, &list) && len(list) > 0 {
		return fmt.Errorf("%s:%d: %s", shown(list[0].Pos.Filename), list[0].Pos.Line, list[0].Msg)
	}
	return errors.New(firstLine(err.Error()))
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
