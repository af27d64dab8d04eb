package gen

import (
	"cmp"
	"fmt"
	"go/types"
	"path/filepath"
	"slices"
)

// A method is one of the interface's, as a command.
type method struct {
	*types.Func
	tag      int
	ctx      bool    // whether its first parameter is one
	params   []param // beside ctx
	variadic bool
	results  []types.Type // beside the error; of an iterator, what it yields
	iterator types.Type   // its type, of a method that returns one
}

type param struct {
	name string // "": none
	types.Type
}

// A plan is all that the file says.
type plan struct {
	*source
	methods []*method // by tag
	gone    map[int]string
	errors  declaredErrors
}

// plan works out what to write, or says of each method what is wrong with it.
func (s *source) plan(known tags) (*plan, error) {
	p := &plan{source: s, gone: make(map[int]string)}
	// New methods get their tags in the order of the source.
	functions := slices.SortedFunc(s.iface.Methods(), s.order)
	var wrong Faults
	for _, f := range functions {
		m, err := s.method(f)
		if err != nil {
			wrong = append(wrong, err)
		}
		p.methods = append(p.methods, m)
	}
	if len(wrong) > 0 {
		return nil, wrong
	}
	var err error
	if p.errors, err = s.errors(); err != nil {
		return nil, err
	}

	next := known.next()
	for _, m := range p.methods {
		tag, has := known.of[m.Name()]
		if !has {
			tag, next = next, next+1
		}
		m.tag = tag
		delete(known.of, m.Name())
	}
	for name, tag := range known.of {
		p.gone[tag] = name
	}
	for tag, name := range known.gone {
		p.gone[tag] = name
	}
	slices.SortFunc(p.methods, func(a, b *method) int { return cmp.Compare(a.tag, b.tag) })
	return p, nil
}

// order is that of the source: the interface's file comes first, then others of its package,
// then other packages. It is the same on every machine and in every run.
func (s *source) order(a, b *types.Func) int {
	own := s.Fset.Position(s.Types.Scope().Lookup(s.typeName).Pos()).Filename
	where := func(f *types.Func) (far int, path, file string, line, column int) {
		at := s.Fset.Position(f.Pos())
		switch {
		case at.Filename == own:
		case f.Pkg() != nil && f.Pkg().Path() == s.Types.Path():
			far = 1
		case f.Pkg() != nil:
			far, path = 2, f.Pkg().Path()
		}
		return far, path, filepath.Base(at.Filename), at.Line, at.Column
	}
	far, path, file, line, column := where(a)
	otherFar, otherPath, otherFile, otherLine, otherColumn := where(b)
	return cmp.Or(cmp.Compare(far, otherFar), cmp.Compare(path, otherPath), cmp.Compare(file, otherFile),
		cmp.Compare(line, otherLine), cmp.Compare(column, otherColumn), cmp.Compare(a.Name(), b.Name()))
}

// method looks at a signature.
func (s *source) method(f *types.Func) (*method, error) {
	fail := func(format string, args ...any) (*method, error) {
		return nil, fmt.Errorf("%s: %s.%s: %s", s.at(f.Pos()), s.typeName, f.Name(), fmt.Sprintf(format, args...))
	}
	if !f.Exported() && f.Pkg().Path() != s.Types.Path() {
		return fail("only its own package, %s, can implement it: leave the method out", f.Pkg().Name())
	}
	signature := f.Signature()
	m := &method{Func: f, variadic: signature.Variadic()}
	for i := range signature.Params().Len() {
		v := signature.Params().At(i)
		if isContext(v.Type()) && i == 0 {
			m.ctx = true
			continue
		}
		if isContext(v.Type()) {
			return fail("a context.Context is parameter %d: it has to be the first one", i+1)
		}
		m.params = append(m.params, param{v.Name(), v.Type()})
		if wrong := s.problem(v.Type()); wrong != "" {
			return fail("the parameter %s %s", called(v, i), wrong)
		}
	}
	var results []types.Type
	for v := range signature.Results().Variables() {
		results = append(results, v.Type())
	}
	last := len(results) - 1
	if last < 0 {
		return fail("it returns nothing, and could not say that the connection was lost: let its last result be an error")
	}
	if yields, isIterator := iterates(results[last]); isIterator || hasIterator(results) {
		if len(results) > 1 {
			return fail("it returns an iterator beside something else: let it return an iter.Seq2[T, error] alone, whose last pair has the error")
		}
		if len(yields) != 2 || !isError(yields[1]) {
			return fail("the iterator could not say that the connection was lost: let it be an iter.Seq2[T, error], whose last pair has the error")
		}
		m.iterator, m.results = results[0], yields[:1]
		if named := (encodable{s, nil}).spelled(m.iterator); named != "" {
			return fail("the result %s", named)
		}
	} else {
		if !isError(results[last]) {
			return fail("its last result is no error, so it could not say that the connection was lost: let it be one")
		}
		m.results = results[:last]
	}
	for i, t := range m.results {
		what := "the result"
		if len(m.results) > 1 {
			what = fmt.Sprintf("result %d", i+1)
		}
		if wrong := s.problem(t); wrong != "" {
			return fail("%s %s", what, wrong)
		}
	}
	return m, nil
}

// called is a parameter in an error.
func called(v *types.Var, i int) string {
	if v.Name() == "" || v.Name() == "_" {
		return fmt.Sprintf("%d", i+1)
	}
	return v.Name()
}

func isContext(t types.Type) bool {
	named, ok := types.Unalias(t).(*types.Named)
	return ok && named.Obj().Pkg() != nil && named.Obj().Pkg().Path() == "context" && named.Obj().Name() == "Context"
}

func isError(t types.Type) bool {
	return types.Identical(t, types.Universe.Lookup("error").Type())
}

// iterates returns what a loop over a function of type t gets.
func iterates(t types.Type) ([]types.Type, bool) {
	f, ok := t.Underlying().(*types.Signature)
	if !ok || f.Params().Len() != 1 || f.Results().Len() != 0 {
		return nil, false
	}
	yield, ok := f.Params().At(0).Type().Underlying().(*types.Signature)
	if !ok || yield.Results().Len() != 1 || yield.Params().Len() > 2 || yield.Variadic() ||
		!types.Identical(yield.Results().At(0).Type().Underlying(), types.Typ[types.Bool]) {
		return nil, false
	}
	var yields []types.Type
	for v := range yield.Params().Variables() {
		yields = append(yields, v.Type())
	}
	return yields, true
}

func hasIterator(all []types.Type) bool {
	return slices.ContainsFunc(all, func(t types.Type) bool {
		_, is := iterates(t)
		return is
	})
}
