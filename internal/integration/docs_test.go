package integration_test

import (
	"bytes"
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// The Go code in the documents is compiled as a user would, in a module of its
// own that finds this repository by replace. In a document,
//
//   - each block of Go is a package: it begins with a package clause;
//   - except that a block with the comment <!-- continues --> in the line above
//     it belongs to the package of the block before: as a file of its own if it
//     begins with a package clause or imports, else appended to the last file;
//   - a comment `// Output:` that ends func main says what the program prints;
//   - a comment `//go:generate cmdstream gen …` is followed.
const (
	rootModule = "github.com/cmdstream/cmdstream"
	repository = "../.." // from here
	continues  = "<!-- continues -->"
)

func TestDocs(t *testing.T) {
	for _, name := range []string{"README.md", "docs/coming-from.md", "docs/guide.md"} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(repository, name))
			if err != nil {
				t.Fatal(err)
			}
			snippets, err := parseDoc(name, string(text))
			if err != nil {
				t.Fatal(err)
			}
			if len(snippets) == 0 {
				t.Fatalf("%s shows no Go code", name)
			}
			compile(t, snippets)
		})
	}
}

// A snippet is one package of a document.
type snippet struct {
	where string   // file:line of its first block
	name  string   // of the package
	files []string // their contents, with line directives back to the document
}

// parseDoc returns the packages of a document's blocks of Go.
func parseDoc(name, text string) ([]*snippet, error) {
	var snippets []*snippet
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		fence, isGo := openingFence(lines[i])
		if fence == "" {
			continue
		}
		first := i + 1
		for i++; i < len(lines) && strings.TrimSpace(lines[i]) != fence; i++ {
		}
		where := fmt.Sprintf("%s:%d", name, first)
		if i == len(lines) {
			return nil, fmt.Errorf("%s: this block is not closed", where)
		}
		if !isGo {
			continue
		}
		code := fmt.Sprintf("//line %s:%d\n%s\n", name, first+1, strings.Join(lines[first:i], "\n"))
		clause := firstLine(lines[first:i])
		packageName, hasPackage := strings.CutPrefix(clause, "package ")
		joins := first >= 2 && strings.TrimSpace(lines[first-2]) == continues

		switch {
		case !joins && !hasPackage:
			return nil, fmt.Errorf("%s: this block has no package clause: give it one, or put %s above it", where, continues)
		case !joins:
			snippets = append(snippets, &snippet{where: where, name: firstWord(packageName), files: []string{code}})
		case len(snippets) == 0:
			return nil, fmt.Errorf("%s: there is no block before this one to continue", where)
		case hasPackage:
			last := snippets[len(snippets)-1]
			last.files = append(last.files, code)
		case firstWord(clause) == "import":
			last := snippets[len(snippets)-1]
			last.files = append(last.files, "package "+last.name+"\n"+code)
		default:
			last := snippets[len(snippets)-1]
			last.files[len(last.files)-1] += code
		}
	}
	return snippets, nil
}

// openingFence returns the backquotes that open a fenced block, if line does.
func openingFence(line string) (fence string, isGo bool) {
	line = strings.TrimSpace(line)
	info := strings.TrimLeft(line, "`")
	fence = line[:len(line)-len(info)]
	if len(fence) < 3 {
		return "", false
	}
	return fence, firstWord(info) == "go"
}

// firstLine returns the first line that is neither blank nor a comment.
func firstLine(lines []string) string {
	for _, line := range lines {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			return line
		}
	}
	return ""
}

func firstWord(text string) string {
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' || r == '(' || r == ',' })
	if len(words) == 0 {
		return ""
	}
	return words[0]
}

// compile vets the snippets, which compiles them, and runs those that say what
// they print.
func compile(t *testing.T, snippets []*snippet) {
	t.Helper()
	dir := t.TempDir()
	outputs := make([]*string, len(snippets))
	for i, one := range snippets {
		folder := filepath.Join(dir, fmt.Sprintf("block%d", i+1))
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		for j, content := range one.files {
			file := filepath.Join(folder, fmt.Sprintf("file%d.go", j+1))
			if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
			if err != nil {
				t.Fatalf("%s: %v", one.where, err)
			}
			if output := wantedOutput(parsed); output != nil {
				outputs[i] = output
			}
		}
	}
	writeModule(t, dir)
	generate(t, dir, snippets)

	for i, one := range snippets {
		t.Run(strings.ReplaceAll(one.where, "/", "_"), func(t *testing.T) {
			block := fmt.Sprintf("./block%d", i+1)
			if _, errors, err := goCommand(t, dir, "vet", block); err != nil {
				t.Fatalf("%s: this block does not compile:\n%s", one.where, errors)
			}
			if outputs[i] == nil {
				return
			}
			got, errors, err := goCommand(t, dir, "run", block)
			if err != nil {
				t.Fatalf("%s: this program failed: %v\n%s%s", one.where, err, got, errors)
			}
			if got, want := strings.TrimSpace(got), strings.TrimSpace(*outputs[i]); got != want {
				t.Fatalf("%s: this program printed:\n%s\nit says it prints:\n%s", one.where, got, want)
			}
		})
	}
}

var generates = regexp.MustCompile(`(?m)^//go:generate cmdstream (gen .*)$`)

// generate writes what the snippets say is to be generated, by the tool of this repository.
func generate(t *testing.T, dir string, snippets []*snippet) {
	t.Helper()
	tool := filepath.Join(dir, "cmdstream.exe")
	for i, one := range snippets {
		for _, found := range generates.FindAllStringSubmatch(strings.Join(one.files, "\n"), -1) {
			if _, err := os.Stat(tool); err != nil {
				build := exec.CommandContext(t.Context(), "go", "build", "-o", tool, ".")
				build.Dir = filepath.Join(repository, "cmd", "cmdstream")
				if out, err := build.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			}
			folder := filepath.Join(dir, fmt.Sprintf("block%d", i+1))
			if out, errors, err := command(t, folder, tool, strings.Fields(found[1])...); err != nil {
				t.Fatalf("%s: cmdstream %s: %v\n%s%s", one.where, found[1], err, out, errors)
			}
		}
	}
}

// wantedOutput returns what the last comment of func main says it prints, nil if
// it does not say.
func wantedOutput(file *ast.File) *string {
	for _, declared := range file.Decls {
		main, ok := declared.(*ast.FuncDecl)
		if !ok || main.Recv != nil || main.Name.Name != "main" || main.Body == nil {
			continue
		}
		for _, comment := range slices.Backward(file.Comments) {
			if comment.Pos() < main.Body.Lbrace || comment.End() > main.Body.Rbrace {
				continue
			}
			if output, ok := strings.CutPrefix(comment.Text(), "Output:"); ok {
				return &output
			}
			break
		}
	}
	return nil
}

// writeModule writes a go.mod, and a go.work that joins it to all modules of this
// repository, so that a block sees what they see.
func writeModule(t *testing.T, dir string) {
	t.Helper()
	root, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	work := "go 1.26.0\n\nuse .\n"
	var sums []byte
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata"):
			return fs.SkipDir
		case entry.Name() == "go.mod":
			work += fmt.Sprintf("use %q\n", filepath.Dir(path))
		case entry.Name() == "go.sum" || entry.Name() == "go.work.sum":
			sum, err := os.ReadFile(path)
			sums = append(sums, sum...)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"go.mod": "module docs.example\n\ngo 1.26.0\n", "go.work": work, "go.work.sum": string(sums)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// goCommand runs the go command on the module in dir.
func goCommand(t *testing.T, dir string, args ...string) (out, errors string, err error) {
	t.Helper()
	return command(t, dir, "go", args...)
}

// command runs a program that may run the go command.
func command(t *testing.T, dir, program string, args ...string) (out, errors string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=", "GOFLAGS=", "GOTOOLCHAIN=local")
	cmd.WaitDelay = time.Second // for what the program itself has started
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return stdout.String(), stderr.String(), err
}

func TestParseDoc(t *testing.T) {
	const text = "# Title\n" +
		"```sh\nmake\n```\n" + // 2
		"```go\n// calc.go\npackage calc // here\n```\n" + // 5
		"<!-- continues -->\n```go\nvar A int\n```\n" + // 10
		"<!-- continues -->\n```go\nimport (\n\t\"fmt\"\n)\n```\n" + // 14
		"````go\npackage main\n````\n" // 19
	got, err := parseDoc("x.md", text)
	if err != nil {
		t.Fatal(err)
	}
	want := []snippet{
		{"x.md:5", "calc", []string{
			"//line x.md:6\n// calc.go\npackage calc // here\n//line x.md:11\nvar A int\n",
			"package calc\n//line x.md:15\nimport (\n\t\"fmt\"\n)\n",
		}},
		{"x.md:19", "main", []string{"//line x.md:20\npackage main\n"}},
	}
	if len(got) != len(want) {
		t.Fatalf("%d snippets, want %d", len(got), len(want))
	}
	for i, one := range got {
		if one.where != want[i].where || one.name != want[i].name || !slices.Equal(one.files, want[i].files) {
			t.Errorf("snippet %d:\n%q\nwant:\n%q", i+1, *one, want[i])
		}
	}

	for _, bad := range []string{
		"```go\nvar A int\n```\n",
		"<!-- continues -->\n```go\nvar A int\n```\n",
		"```go\npackage main\n",
	} {
		if _, err := parseDoc("x.md", bad); err == nil || !strings.HasPrefix(err.Error(), "x.md:") {
			t.Errorf("%q: error %v, want one with the place", bad, err)
		}
	}
}

// Each test that docs/reliability.md names is there.
func TestReliabilityNamesTests(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(repository, "docs/reliability.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	err = filepath.WalkDir(repository, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, test := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(source), -1) {
			tests[test[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(string(text), -1)
	if len(named) < 35 {
		t.Errorf("it names %d tests", len(named))
	}
	for _, name := range named {
		if !tests[name] {
			t.Errorf("it names %s, which is not there", name)
		}
	}
}
