package gen

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The files in these packages are what is written for them, and they compile.
func TestGolden(t *testing.T) {
	goldens := []Options{
		{Dir: "testdata/users", Type: "Users"},
		{Dir: "testdata/clash", Type: "Store"},
		{Dir: "testdata/clash", Type: "format"},
		{Dir: "testdata/first", Type: "One"},
		{Dir: "testdata/first", Type: "two"},
		{Dir: "store", Type: "Store"},
		{Dir: "../../../../examples/generated", Type: "Users"},
	}
	for _, golden := range goldens {
		t.Run(filepath.Base(golden.Dir)+" "+golden.Type, func(t *testing.T) {
			if *update {
				if _, err := Run(t.Context(), golden); err != nil {
					t.Fatal(err)
				}
			}
			at, err := golden.place()
			if err != nil {
				t.Fatal(err)
			}
			old, text, err := generate(t.Context(), at, golden.Type)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(old, text) {
				t.Errorf("%s would be written as:\n%s\nif that is right, run this test with -update", golden.Dir, text)
			}
		})
	}
	compiles(t, "./testdata/users", "./testdata/clash", "./testdata/first")
}

// compiles type-checks packages, as the compiler does.
func compiles(t *testing.T, patterns ...string) {
	t.Helper()
	loaded, err := packages.Load(&packages.Config{Mode: packages.LoadSyntax}, patterns...)
	if err != nil {
		t.Fatal(err)
	}
	if len(loaded) != len(patterns) {
		t.Errorf("%q are %d packages", patterns, len(loaded))
	}
	for _, p := range loaded {
		for _, e := range p.Errors {
			t.Errorf("%s: %v", p.PkgPath, e)
		}
	}
}

// module makes a module of the files, in which the test then is.
func module(t *testing.T, files map[string]string) {
	t.Helper()
	t.Setenv("GOWORK", "off")
	t.Setenv("GOFLAGS", "")
	t.Setenv("GOPROXY", "off")
	mod := goMod()
	t.Chdir(t.TempDir())
	write(t, "go.mod", mod)
	for name, text := range files {
		write(t, name, text)
	}
}

// root is the root module, where the tests begin.
var root, _ = filepath.Abs("../../../..")

func goMod() string {
	return "module example.com/mine\n\ngo 1.26.0\n\nrequire github.com/cmdstream/cmdstream v0.0.0\n\nreplace github.com/cmdstream/cmdstream => " + root + "\n"
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// users is a file of package mine with an interface Users of these methods, which begin in
// line 9.
func users(methods string, more ...string) string {
	return "package mine\n\nimport (\n\t\"context\"\n\t\"iter\"\n)\n\ntype Users interface {\n" + methods + "\n}\n\n" +
		"var _ context.Context\nvar _ iter.Seq[int]\n" + strings.Join(more, "\n")
}
