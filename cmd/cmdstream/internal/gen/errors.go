package gen

import (
	"cmp"
	"go/ast"
	"go/build"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cmdstream/cmdstream/codec/stub"
)

// declaredErrors are the errors that the interface's package declares.
type declaredErrors struct {
	types  []string // as they are known to errors.As: QuotaError, *QuotaError
	values []string
	lost   []lostError
}

// A lostError is a type, or a variable, that does not travel.
type lostError struct{ name, why string }

// errors finds them, in files that are always compiled. Values are variables that are set once,
// where they are declared: one that changes is no value to compare with, and could not be read
// without its lock.
func (s *source) errors() (found declaredErrors, err error) {
	errorType := types.Universe.Lookup("error").Type().Underlying().(*types.Interface)
	set, changed := s.assigned()
	for _, name := range s.Types.Scope().Names() {
		object := s.Types.Scope().Lookup(name)
		if s.generated(object.Pos()) || !s.everywhere(object.Pos()) {
			continue
		}
		switch object := object.(type) {
		case *types.Var:
			switch {
			case !types.Implements(object.Type(), errorType):
			case !set[object]:
				found.lost = append(found.lost, lostError{name, "it has no value where it is declared"})
			case changed[object]:
				found.lost = append(found.lost, lostError{name, "it is changed elsewhere"})
			default:
				found.values = append(found.values, name)
			}
		case *types.TypeName:
			t, ok := object.Type().(*types.Named)
			if !ok || object.IsAlias() || types.IsInterface(t) || t.TypeParams().Len() > 0 {
				continue
			}
			pointer := types.NewPointer(t)
			if !types.Implements(pointer, errorType) {
				continue
			}
			if why := s.problem(t); why != "" {
				why, _, _ = strings.Cut(why, ": ") // without advice
				found.lost = append(found.lost, lostError{name, "it " + why})
				continue
			}
			if types.Implements(t, errorType) {
				found.types = append(found.types, name)
			}
			found.types = append(found.types, "*"+name)
		}
	}
	for _, name := range slices.Concat(found.values, found.types) {
		if longest := stub.MaxCode - len(s.Name) - len(".*{}"); len(name) > longest {
			return found, s.fail(s.top[strings.TrimPrefix(name, "*")], "the error %s has a name of more than %d letters, and could not be told a client: give it a shorter one", name, longest)
		}
	}
	slices.SortFunc(found.types, func(a, b string) int {
		return cmp.Or(cmp.Compare(strings.TrimPrefix(a, "*"), strings.TrimPrefix(b, "*")), cmp.Compare(b, a))
	})
	return found, nil
}

// everywhere tells whether a place is in a file that is compiled on all systems, whatever
// the tags: the file to write is, and refers to nothing else.
func (s *source) everywhere(pos token.Pos) bool {
	// A //line comment may name what a file was made of. What cgo has made of one is elsewhere,
	// and has such comments, which name that file.
	path := s.Fset.PositionFor(pos, false).Filename
	if filepath.Dir(path) != s.dir {
		path = s.Fset.Position(pos).Filename
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly|parser.ParseComments)
	if err != nil || !onAllSystems(path, nil) {
		return false
	}
	return !slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"C"` }) &&
		!slices.ContainsFunc(file.Comments, func(c *ast.CommentGroup) bool {
			return c.Pos() < file.Package && slices.ContainsFunc(c.List, func(line *ast.Comment) bool { return constrains(line.Text) })
		})
}

// notEverywhere is what is said of what is elsewhere.
const notEverywhere = "in a file that is not always compiled: move it to one that is"

// onAllSystems tells whether Go compiles a file whatever the system. open, if not nil, gives
// the text instead of what is there.
func onAllSystems(path string, open func(string) (io.ReadCloser, error)) bool {
	dir, name := filepath.Split(path)
	for _, system := range [][2]string{{"linux", "amd64"}, {"windows", "arm64"}} {
		context := build.Context{GOOS: system[0], GOARCH: system[1], Compiler: "gc", ReleaseTags: build.Default.ReleaseTags, OpenFile: open}
		if matches, err := context.MatchFile(dir, name); err != nil || !matches {
			return false
		}
	}
	return true
}

// constrains tells whether a comment says when the file is compiled. One that asks for a
// version of Go as old as this does not: the module has to be as new anyway.
func constrains(line string) bool {
	if !constraint.IsGoBuild(line) {
		return false
	}
	expression, err := constraint.Parse(line)
	tag, alone := expression.(*constraint.TagExpr)
	return err != nil || !alone || !slices.Contains(build.Default.ReleaseTags, tag.Tag)
}

// assigned returns the variables that are set where they are declared, and those that are
// set, or handed out to be, in a function.
func (s *source) assigned() (set, changed map[types.Object]bool) {
	set, changed = make(map[types.Object]bool), make(map[types.Object]bool)
	change := func(e ast.Expr) {
		if name, ok := ast.Unparen(e).(*ast.Ident); ok {
			changed[s.TypesInfo.Uses[name]] = true
		}
	}
	for _, file := range s.Syntax {
		for _, declared := range file.Decls {
			if d, ok := declared.(*ast.GenDecl); ok {
				for _, spec := range d.Specs {
					if spec, ok := spec.(*ast.ValueSpec); ok && len(spec.Values) > 0 {
						for _, name := range spec.Names {
							set[s.TypesInfo.Defs[name]] = true
						}
					}
				}
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, e := range n.Lhs {
					change(e)
				}
			case *ast.RangeStmt:
				if n.Key != nil {
					change(n.Key)
				}
				if n.Value != nil {
					change(n.Value)
				}
			case *ast.UnaryExpr:
				if n.Op.String() == "&" {
					change(n.X)
				}
			}
			return true
		})
	}
	return set, changed
}
