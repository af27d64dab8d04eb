package gen

import (
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// What is in a file that is not always compiled the file to write may not name: it is always
// compiled itself.
func TestFilesThatAreNotAlwaysCompiled(t *testing.T) {
	const declared = "type Users interface { Get(T) error }\n"
	system := runtime.GOOS
	for name, test := range map[string]struct {
		files map[string]string
		flags string
		want  string
	}{
		"the interface, by its name":  {map[string]string{"a.go": "package mine\n\ntype T int\n", "t_" + system + ".go": "package mine\n\n" + declared}, "", "t_" + system + ".go:3: Users is in a file that is not always compiled: move it to one that is"},
		"the interface, by a tag":     {map[string]string{"a.go": "package mine\n\ntype T int\n", "t.go": "//go:build foo\n\npackage mine\n\n" + declared}, "-tags=foo", "t.go:5: Users is in a file that is not always compiled: move it to one that is"},
		"the interface, by a system":  {map[string]string{"a.go": "package mine\n\ntype T int\n", "t.go": "//go:build " + system + "\n\npackage mine\n\n" + declared}, "", "t.go:5: Users is in a file that is not always compiled: move it to one that is"},
		"the interface, with C":       {map[string]string{"a.go": "package mine\n\ntype T int\n", "t.go": "package mine\n\nimport \"C\"\n\n" + declared}, "", "t.go:5: Users is in a file that is not always compiled: move it to one that is"},
		"a parameter":                 {notAlways("Get(t T) error"), "-tags=foo", "a.go:3: Users.Get: the parameter t names T of t.go:5, in a file that is not always compiled: move it to one that is"},
		"a result":                    {notAlways("Get() (T, error)"), "-tags=foo", "a.go:3: Users.Get: the result names T of t.go:5, in a file that is not always compiled: move it to one that is"},
		"an alias":                    {notAlways("Get(t Alias) error"), "-tags=foo", "a.go:3: Users.Get: the parameter t names Alias of t.go:6, in a file"},
		"within":                      {notAlways("Get(t map[string][]*T) error"), "-tags=foo", "a.go:3: Users.Get: the parameter t names T of t.go:5, in a file"},
		"a key":                       {notAlways("Get(t map[T]int) error"), "-tags=foo", "a.go:3: Users.Get: the parameter t names T of t.go:5, in a file"},
		"variadic":                    {notAlways("Get(t ...T) error"), "-tags=foo", "a.go:3: Users.Get: the parameter t names T of t.go:5, in a file"},
		"an argument of a type":       {notAlways("Get(t G[T]) error"), "-tags=foo", "a.go:3: Users.Get: the parameter t names T of t.go:5, in a file"},
		"a field of a nameless one":   {notAlways("Get(t struct{ T T }) error"), "-tags=foo", "a.go:3: Users.Get: the parameter t names T of t.go:5, in a file"},
		"an iterator":                 {notAlways("Get() func(yield func(T, error) bool)"), "-tags=foo", "a.go:3: Users.Get: the result names T of t.go:5, in a file"},
		"an iterator of another name": {notAlways("Get() Seq"), "-tags=foo", "a.go:3: Users.Get: the result names Seq of t.go:7, in a file"},
		"an iterator's yield":         {notAlways("Get() func(yield Yield)"), "-tags=foo", "a.go:3: Users.Get: the result names Yield of t.go:8, in a file"},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(test.files["t.go"], `import "C"`) && !hasC(t) {
				t.Skip("there is no C compiler")
			}
			module(t, test.files)
			t.Setenv("GOFLAGS", test.flags)
			fails(t, Options{Type: "Users"}, test.want)
		})
	}
}

// notAlways is a package with an interface of one method, and types that need the tag foo.
func notAlways(method string) map[string]string {
	return map[string]string{
		"a.go": fmt.Sprintf("package mine\n\ntype Users interface { %s }\n\ntype G[T any] struct{ V T }\n", method),
		"t.go": "//go:build foo\n\npackage mine\n\ntype T int\ntype Alias = int\ntype Seq func(yield func(int, error) bool)\ntype Yield func(int, error) bool\n",
	}
}

// hasC tells whether files that import C are compiled here.
func hasC(t *testing.T) bool {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "CGO_ENABLED", "CC").Output()
	if err != nil {
		t.Fatal(err)
	}
	enabled, compiler, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	_, missing := exec.LookPath(compiler)
	return enabled == "1" && missing == nil
}

// What is behind them by another name, or asks for no more than the module does, is used.
func TestFilesThatAreAlwaysCompiled(t *testing.T) {
	module(t, map[string]string{
		"a.go": "//go:build go1.21\n\npackage mine\n\ntype Users interface { Get(S) (Y, error) }\n",
		"s.go": "package mine\n\ntype S struct{ T T }\n",
		"t.go": "//go:build foo\n\npackage mine\n\ntype T int\n",
		"u.go": "//go:build !foo\n\npackage mine\n\ntype T string\n",
		"y.go": "package mine\n\n//line grammar.y:7\ntype Y int\n",
	})
	for _, flags := range []string{"-tags=foo", ""} {
		t.Setenv("GOFLAGS", flags)
		if _, err := Run(t.Context(), Options{Type: "Users"}); err != nil {
			t.Fatal(err)
		}
		compiles(t, ".")
	}
}
