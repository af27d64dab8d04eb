package gen

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// generated writes the file for these methods, and returns the lines of its tags.
func generated(t *testing.T, methods ...string) []string {
	t.Helper()
	write(t, "users.go", users("\t"+strings.Join(methods, "\n\t")))
	if _, err := Run(t.Context(), Options{Type: "Users"}); err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`(?m)\d+(\) *//|:) \w+$`).FindAllString(read(t, "users_cmdstream.go"), -1)
}

const file = "users_cmdstream.go"

// A method keeps its tag whatever becomes of the others, and that of one that is gone is
// given to no other, not even to itself.
func TestTagsAreKept(t *testing.T) {
	module(t, nil)
	for i, step := range []struct{ methods, want []string }{
		{[]string{"B() error", "A() error"}, []string{"1) // B", "2) // A"}},
		{[]string{"A() error", "B() error"}, []string{"1) // B", "2) // A"}},
		{[]string{"C() error", "A() error", "B(x int) (int, error)"}, []string{"1) // B", "2) // A", "3) // C"}},
		{[]string{"C() iter.Seq2[int, error]", "B() error"}, []string{"1) // B", "2: A", "3) // C"}},
		{[]string{"D() error", "C() error", "B() error", "A() error"}, []string{"1) // B", "2: A", "3) // C", "4) // D", "5) // A"}},
		{[]string{"E() error"}, []string{"1: B", "2: A", "3: C", "4: D", "5: A", "6) // E"}},
	} {
		got := generated(t, step.methods...)
		for i := range got {
			got[i] = regexp.MustCompile(` +`).ReplaceAllString(got[i], " ")
		}
		if !slices.Equal(got, step.want) {
			t.Errorf("step %d: got %q, want %q", i+1, got, step.want)
		}
	}
	compiles(t, ".")
	before := read(t, file)
	if generated(t, "E() error"); read(t, file) != before {
		t.Errorf("written again it is\n%s\nbefore:\n%s", read(t, file), before)
	}
}

// The first tags follow the source: the interface, its package, other packages.
func TestTheOrderOfTags(t *testing.T) {
	module(t, map[string]string{
		"a.go":       "package mine\n\ntype (\n\tFirst interface{ F() error; E() error }\n\tSecond interface{ D() error }\n)\n",
		"lib/lib.go": "package lib\n\ntype Third interface {\n\tC() error\n\tB() error\n}\n",
		"users.go":   "package mine\n\nimport \"io\"\nimport \"example.com/mine/lib\"\n\ntype Users interface {\n\tSecond\n\tio.Closer\n\tlib.Third\n\tFirst\n\tZ() error\n\tA() error\n}\n",
	})
	if _, err := Run(t.Context(), Options{Type: "Users"}); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, found := range regexp.MustCompile(`\(set, \d+\) *// (\w+)\n`).FindAllStringSubmatch(read(t, file), -1) {
		got.WriteString(found[1] + " ")
	}
	if want := "Z A F E D C B Close "; got.String() != want {
		t.Errorf("got %s, want %s", got.String(), want)
	}
}

// Where a tag could have been lost nothing is written.
func TestABrokenFileIsRefused(t *testing.T) {
	module(t, nil)
	generated(t, "A() error", "B() error", "C() error")
	generated(t, "A() error", "C() error")
	whole := read(t, file)
	line := func(text string) int {
		before, _, found := strings.Cut(whole, text)
		if !found {
			t.Fatalf("%q is not in\n%s", text, whole)
		}
		return strings.Count(before, "\n") + 1
	}
	body, cLine := line("func UsersCommands"), line("(set, 3)")
	for name, test := range map[string]struct{ old, new, want string }{
		"a tag twice":            {"(set, 3)", "(set, 1)", fmt.Sprintf("%d: C: the tag 1 is that of line %d too: give the method of the two that no program in use knows the tag 3", cLine, cLine-2)},
		"a reserved tag":         {"(set, 3)", "(set, 2)", fmt.Sprintf("%d: C: the tag 2 is that of line %d too: give the method of the two that no program in use knows the tag 3", cLine, cLine-1)},
		"a method twice":         {"// C\n", "// A\n", fmt.Sprintf("%d: A has two tags: restore the file as it was", cLine)},
		"no tag":                 {"(set, 3)", "(set, 0)", fmt.Sprintf("%d: C: the tag 0 is not a number from 1 on: restore the file as it was", cLine)},
		"a huge tag":             {"(set, 3)", "(set, 99999999999999999999)", fmt.Sprintf("%d: C: the tag 99999999999999999999 is not a number from 1 on: restore the file as it was", cLine)},
		"a gap":                  {"(set, 3)", "(set, 4)", fmt.Sprintf("%d: the tag 3 is missing, as if a line had been removed: restore the file as it was", body)},
		"no reserved line":       {"\t// reserved 2: B\n", "", fmt.Sprintf("%d: the tag 2 is missing, as if a line had been removed: restore the file as it was", body)},
		"no last line":           {"\tcodec.Unary[usersCCommand](set, 3) // C\n", "", fmt.Sprintf("%d: the command usersCCommand has no tag, as if a line had been removed: restore the file as it was", line("type usersCCommand")-1)},
		"another line":           {"\t// reserved 2: B\n", "\t// reserved: 2 (B)\n", fmt.Sprintf("%d: \"// reserved: 2 (B)\" is nothing that cmdstream gen writes: restore the file as it was", cLine-1)},
		"no comment":             {" // C\n", "\n", fmt.Sprintf("%d: \"codec.Unary[usersCCommand](set, 3)\" is nothing that cmdstream gen writes: restore the file as it was", cLine)},
		"no function":            {"func UsersCommands", "func usersCommands", "1: the file has no function UsersCommands, and so no tags of the methods: restore it as it was"},
		"a conflict":             {"\t// reserved 2: B\n", "<<<<<<< HEAD\n\t// reserved 2: B\n=======\n", fmt.Sprintf("%d: expected statement, found '<<': the file is broken, and with it the tags of the methods: restore it as it was", cLine-1)},
		"half a file":            {whole[strings.Index(whole, "// reserved"):], "", "" + fmt.Sprint(cLine-1) + ": expected '}', found 'EOF': the file is broken, and with it the tags of the methods: restore it as it was"},
		"no header":              {"// Code generated", "// Code written", "1: the file was not written by cmdstream gen, and stays as it is: remove it, or give another one by -out"},
		"nothing":                {whole, "", "1: the file was not written by cmdstream gen, and stays as it is: remove it, or give another one by -out"},
		"a header in the middle": {whole, "\n" + whole, "1: the file was not written by cmdstream gen, and stays as it is: remove it, or give another one by -out"},
	} {
		t.Run(name, func(t *testing.T) {
			write(t, file, strings.Replace(whole, test.old, test.new, 1))
			fails(t, Options{Type: "Users"}, "users_cmdstream.go:"+test.want)
		})
	}
	write(t, file, strings.ReplaceAll(whole, "\n", "\r\n")) // as Git may have it on Windows
	if _, err := Run(t.Context(), Options{Type: "Users"}); err != nil || read(t, file) != whole {
		t.Errorf("the file as it was: %v\n%s", err, read(t, file))
	}
}

// A file that has its tags, and otherwise does not fit the package any more, is written anew.
func TestAStaleFileIsWrittenAnew(t *testing.T) {
	module(t, map[string]string{"more.go": "package mine\n\ntype Others interface{ Old(Thing) error }\n\ntype Thing struct{}\n"})
	generated(t, "Get(Thing) error")
	if _, err := Run(t.Context(), Options{Type: "Others", Out: "others.go"}); err != nil {
		t.Fatal(err)
	}
	// Neither file compiles after this, nor does one that uses what they will have.
	write(t, "more.go", `package mine

import "github.com/cmdstream/cmdstream/codec/json"

type Others interface{ New(Object) error }

type Object struct{}

var _ = OthersCommands(json.Format{})
var _ = othersNewCommand{}.P1

type othersClient struct{}
`)
	write(t, "users.go", users("\tGet(Object) error"))
	for _, options := range []Options{{Type: "Users"}, {Type: "Others", Out: "./others.go"}} {
		if _, err := Run(t.Context(), options); err != nil {
			t.Fatal(err)
		}
	}
	compiles(t, ".")
	if text := read(t, file); !strings.Contains(text, "P1 Object") {
		t.Errorf("it is\n%s", text)
	}
	if text := read(t, "others.go"); !strings.Contains(text, "(set, 2) // New") || !strings.Contains(text, "// reserved 1: Old") {
		t.Errorf("it is\n%s", text)
	}
}
