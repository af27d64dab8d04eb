package gen

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/remote"
)

// Each method that can't be called remotely is named, with its line and what to do.
func TestBadMethods(t *testing.T) {
	var methods, wants strings.Builder
	for i, bad := range [][2]string{
		{"Get(id int) int", "its last result is no error, so it could not say that the connection was lost: let it be one"},
		{"Get(id int)", "it returns nothing, and could not say that the connection was lost: let its last result be an error"},
		{"Get(id int) (error, int)", "its last result is no error, so it could not say that the connection was lost: let it be one"},
		{"Get() (error, error)", "the result is the interface error: nothing says into what type to decode it, so send a struct"},
		{"Get(id int, ctx context.Context) error", "a context.Context is parameter 2: it has to be the first one"},
		{"Get(ctx ...context.Context) error", "the parameter ctx has elements, each the interface context.Context: nothing says into what type to decode it, so send a struct"},
		{"Get(c chan int) error", "the parameter c is a channel: send the values, or return an iter.Seq2[T, error]"},
		{"Get(<-chan int) error", "the parameter 1 is a channel: send the values, or return an iter.Seq2[T, error]"},
		{"Get(done func()) error", "the parameter done is a function: send what it needs, and call it here"},
		{"Get(in iter.Seq2[int, error]) error", "the parameter in is a function: send what it needs, and call it here"},
		{"Get(c complex128) error", "the parameter c is a complex128, which no format carries: send its parts as numbers"},
		{"Get(s interface{ String() string }) error", "the parameter s is the interface interface{String() string}: nothing says into what type to decode it, so send a struct"},
		{"Get(d Deep) error", "the parameter d holds Deep2.Ch, which is a channel: send the values, or return an iter.Seq2[T, error]"},
		{"Get(m map[string]func()) error", "the parameter m has elements, each a function: send what it needs, and call it here"},
		{"Get(m map[Key]int) error", "the parameter m has keys, each a channel: send the values, or return an iter.Seq2[T, error]"},
		{"Get() (a int, b []*private, err error)", "result 2 holds private.secret, which is not exported: it would be lost, so export it, tag it `json:\"-\"`, or let its struct marshal and unmarshal itself"},
		{"Get(p [2]struct{ a int }) error", "the parameter p holds [].a, which is not exported: it would be lost, so export it, tag it `json:\"-\"`, or let its struct marshal and unmarshal itself"},
		{"Get(e Embeds) error", "the parameter e holds private.secret, which is not exported: it would be lost, so export it, tag it `json:\"-\"`, or let its struct marshal and unmarshal itself"},
		{"Get() iter.Seq[int]", "the iterator could not say that the connection was lost: let it be an iter.Seq2[T, error], whose last pair has the error"},
		{"Get() iter.Seq2[int, string]", "the iterator could not say that the connection was lost: let it be an iter.Seq2[T, error], whose last pair has the error"},
		{"Get() func(yield func() bool)", "the iterator could not say that the connection was lost: let it be an iter.Seq2[T, error], whose last pair has the error"},
		{"Get() (iter.Seq2[int, error], error)", "it returns an iterator beside something else: let it return an iter.Seq2[T, error] alone, whose last pair has the error"},
		{"Get() iter.Seq2[chan int, error]", "the result is a channel: send the values, or return an iter.Seq2[T, error]"},
		{"Get() (func(yield func(int, error) string), error)", "the result is a function: send what it needs, and call it here"},
		{"Get() (*Half, error)", "the result holds Half.secret, which is not exported: it would be lost, so export it, tag it `json:\"-\"`, or let its struct marshal and unmarshal itself"},
		{"Get(p *struct{ *private; Named chan int }) error", "the parameter p holds private, which is not exported: it would be lost, so export it, tag it `json:\"-\"`, or let its struct marshal and unmarshal itself"},
	} {
		name := fmt.Sprintf("M%02d", i)
		methods.WriteString("\t" + strings.Replace(bad[0], "Get", name, 1) + "\n")
		fmt.Fprintf(&wants, "users.go:%d: Users.%s: %s\n", 9+i, name, bad[1])
	}
	module(t, map[string]string{"users.go": users(methods.String(), `
type Deep struct { Next []*Deep2 }
type Deep2 struct { Deep *Deep; Ch chan int }
type Key chan int
type private struct { secret int }
type Embeds struct { private; A int }
type Half struct { secret int }
func (Half) MarshalJSON() ([]byte, error) { return nil, nil }
`)})
	fails(t, Options{Type: "Users"}, strings.TrimSpace(wants.String()))
}

// All methods are looked at, in their order.
func TestBadMethodsAreAllNamed(t *testing.T) {
	module(t, map[string]string{
		"users.go":   users("\tB() int\n\tok() error\n\tA(c chan int) error\n\tlib.Hidden\n", `import "example.com/mine/lib"`),
		"lib/lib.go": "package lib\n\ntype Hidden interface {\n\thidden() error\n\tUse(own) error\n}\n\ntype own struct{}\n",
	})
	text := read(t, "users.go")
	text = strings.Replace(text, `import "example.com/mine/lib"`, "", 1)
	write(t, "users.go", strings.Replace(text, "\"iter\"\n", "\"iter\"\n\t\"example.com/mine/lib\"\n", 1))
	fails(t, Options{Type: "Users"}, `users.go:10: Users.B: its last result is no error, so it could not say that the connection was lost: let it be one
users.go:12: Users.A: the parameter c is a channel: send the values, or return an iter.Seq2[T, error]
lib/lib.go:4: Users.hidden: only its own package, lib, can implement it: leave the method out
lib/lib.go:5: Users.Use: the parameter 1 names lib.own, which its package does not export: let it export the type, or an alias of it`)
}

func TestBadTypesAndPackages(t *testing.T) {
	good := users("\tGet() error")
	for name, test := range map[string]struct {
		files   map[string]string
		options Options
		want    string
	}{
		"no such type":         {map[string]string{"a.go": good}, Options{Type: "User"}, ".: package mine declares no type User (files of tests are not read): give the name of an interface"},
		"a type of the tests":  {map[string]string{"a.go": "package mine\n", "a_test.go": good}, Options{Type: "Users"}, ".: package mine declares no type Users (files of tests are not read): give the name of an interface"},
		"a struct":             {map[string]string{"a.go": "package mine\n\ntype Users struct{}\n"}, Options{Type: "Users"}, "a.go:3: Users is a struct, not an interface: declare one with the methods that are to be called, and give its name"},
		"an int":               {map[string]string{"a.go": "package mine\n\ntype Users int\n"}, Options{Type: "Users"}, "a.go:3: Users is a int, not an interface: declare one with the methods that are to be called, and give its name"},
		"a function":           {map[string]string{"a.go": "package mine\n\nfunc Users() {}\n"}, Options{Type: "Users"}, "a.go:3: Users is not a type: give the name of an interface"},
		"empty":                {map[string]string{"a.go": "package mine\n\ntype Users interface{}\n"}, Options{Type: "Users"}, "a.go:3: Users has no methods: there is nothing to call"},
		"generic":              {map[string]string{"a.go": "package mine\n\ntype Users[T any] interface{ Get() (T, error) }\n"}, Options{Type: "Users"}, "a.go:3: Users is generic, and a command needs the types that it carries: declare one for the types at hand, such as interface { Users[int] }, and give its name"},
		"error":                {map[string]string{"a.go": "package mine\n\ntype Users interface{ error }\n"}, Options{Type: "Users"}, "a.go:3: Users.Error: its last result is no error, so it could not say that the connection was lost: let it be one"},
		"a constraint":         {map[string]string{"a.go": "package mine\n\ntype Users interface{ int | string; Get() error }\n"}, Options{Type: "Users"}, "a.go:3: Users is a constraint, not a set of methods: no value has that type"},
		"no identifier":        {map[string]string{"a.go": good}, Options{Type: "mine.Users"}, `-type "mine.Users" is not the name of a type: give the name of an interface alone, without its package`},
		"no type":              {map[string]string{"a.go": good}, Options{}, `-type "" is not the name of a type: give the name of an interface alone, without its package`},
		"no folder":            {nil, Options{Type: "Users", Dir: "nowhere"}, "nowhere is not a folder: give the folder of the package that declares Users"},
		"a file":               {map[string]string{"a.go": good}, Options{Type: "Users", Dir: "a.go"}, "a.go is not a folder: give the folder of the package that declares Users"},
		"no package":           {map[string]string{"empty/text": ""}, Options{Type: "Users", Dir: "empty"}, "empty has no Go files, tests aside: give the folder of the package that declares Users"},
		"tests only":           {map[string]string{"a_test.go": good}, Options{Type: "Users"}, ". has no Go files, tests aside: give the folder of the package that declares Users"},
		"two packages":         {map[string]string{"a.go": good, "b.go": "package other\n"}, Options{Type: "Users"}, ". has two packages, mine in a.go and other in b.go: one has to go"},
		"a syntax error":       {map[string]string{"a.go": good, "b.go": "package mine\n\nfunc {\n"}, Options{Type: "Users"}, "b.go:3: expected 'IDENT', found '{': the package has to compile first"},
		"no package clause":    {map[string]string{"a.go": good, "b.go": "func\n"}, Options{Type: "Users"}, "b.go:1: expected 'package', found 'func': the package has to compile first"},
		"a type error":         {map[string]string{"a.go": good, "b.go": "package mine\n\nvar a int = \"a\"\n"}, Options{Type: "Users"}, "b.go:3: cannot use \"a\" (untyped string constant) as int value in variable declaration: the package has to compile first"},
		"an undefined name":    {map[string]string{"a.go": good, "b.go": "package mine\n\nvar a = OtherCommands\n"}, Options{Type: "Users"}, "b.go:3: undefined: OtherCommands: the package has to compile first"},
		"a missing import":     {map[string]string{"a.go": good, "b.go": "package mine\n\nimport _ \"example.com/mine/nowhere\"\n"}, Options{Type: "Users"}, "b.go:3: no required module provides package example.com/mine/nowhere: the package has to compile first"},
		"a broken import":      {map[string]string{"a.go": good, "b.go": "package mine\n\nimport _ \"example.com/mine/broken\"\n", "broken/b.go": "package broken\n\nvar A int = \"a\"\n"}, Options{Type: "Users"}, "broken/b.go:3: cannot use \"a\" (untyped string constant) as int value in variable declaration: the package has to compile first"},
		"without cmdstream":    {map[string]string{"go.mod": "module example.com/mine\n\ngo 1.26\n", "a.go": good}, Options{Type: "Users"}, ".: no required module provides package github.com/cmdstream/cmdstream/codec/stub: the module has to require it"},
		"no module":            {map[string]string{"a.go": good, "go.mod": "module\n"}, Options{Type: "Users"}, ".: the go command could not list the package: err: exit status 1: stderr: go: errors parsing go.mod: go.mod:1: usage: module module/path"},
		"an old module":        {map[string]string{"a.go": good, "go.mod": strings.Replace(goMod(), "go 1.26.0", "go 1.20", 1)}, Options{Type: "Users"}, ".: the go command lists no package here: go: updates to go.mod needed"},
		"its names are taken":  {map[string]string{"a.go": good, "b.go": "package mine\n\nfunc UsersCommands() {}\n"}, Options{Type: "Users"}, "b.go:3: UsersCommands is what cmdstream gen calls its own: give this one another name"},
		"imported names":       {map[string]string{"a.go": good, "b.go": "package mine\n\nimport NewUsersClient \"fmt\"\n\nvar _ = NewUsersClient.Sprint\n"}, Options{Type: "Users"}, "b.go:1: this file imports something as NewUsersClient, which is what cmdstream gen calls its own: give the import another name"},
		"a predeclared name":   {map[string]string{"a.go": good, "b.go": "package mine\n\ntype any int\n"}, Options{Type: "Users"}, "b.go:3: any has another meaning in this package than in Go, which the file to write could not do without: give it another name"},
		"an error's long name": {map[string]string{"a.go": good, "b.go": "package mine\n\nimport \"errors\"\n\nvar Err" + strings.Repeat("X", 60) + " = errors.New(\"x\")\n"}, Options{Type: "Users"}, "b.go:5: the error Err" + strings.Repeat("X", 60) + " has a name of more than 56 letters, and could not be told a client: give it a shorter one"},
		"another's file":       {map[string]string{"a.go": good, "users_cmdstream.go": "package mine\n"}, Options{Type: "Users"}, "users_cmdstream.go:1: the file was not written by cmdstream gen, and stays as it is: remove it, or give another one by -out"},
		"its own source":       {map[string]string{"a.go": good}, Options{Type: "Users", Out: "a.go"}, "a.go:1: the file was not written by cmdstream gen, and stays as it is: remove it, or give another one by -out"},
		"another type's file":  {map[string]string{"a.go": good, "x.go": header("Others") + "\n\npackage mine\n"}, Options{Type: "Users", Out: "x.go"}, "x.go:1: the file was written for the type Others: give another one by -out"},
		"a folder":             {map[string]string{"a.go": good, "users_cmdstream.go/text": ""}, Options{Type: "Users"}, "users_cmdstream.go can't be read: is a directory"},
		"elsewhere":            {map[string]string{"a.go": good, "sub/b.go": "package sub\n"}, Options{Type: "Users", Out: "sub/x.go"}, "-out sub/x.go is not in .: the file belongs into the package of Users"},
		"no Go file":           {map[string]string{"a.go": good}, Options{Type: "Users", Out: "x.txt"}, "-out x.txt is not the name of a Go file that is no test: let it end in .go, and not in _test.go"},
		"no name":              {map[string]string{"a.go": "package mine\n\ntype _T interface{ Get() error }\n"}, Options{Type: "_T"}, "_t_cmdstream.go would not always be compiled by Go, because of its name: give one by -out that begins with no _ or . and ends in no name of a system or processor, such as _linux.go"},
		"ignored by Go":        {map[string]string{"a.go": good}, Options{Type: "Users", Out: "_x.go"}, "_x.go would not always be compiled by Go, because of its name: "},
		"hidden":               {map[string]string{"a.go": good}, Options{Type: "Users", Out: ".x.go"}, ".x.go would not always be compiled by Go, because of its name: "},
		"this system's":        {map[string]string{"a.go": good}, Options{Type: "Users", Out: "x_linux.go"}, "x_linux.go would not always be compiled by Go, because of its name: "},
		"another system's":     {map[string]string{"a.go": good}, Options{Type: "Users", Out: "x_windows.go"}, "x_windows.go would not always be compiled by Go, because of its name: "},
		"this processor's":     {map[string]string{"a.go": good}, Options{Type: "Users", Out: "x_amd64.go"}, "x_amd64.go would not always be compiled by Go, because of its name: "},
		"a test file":          {map[string]string{"a.go": good}, Options{Type: "Users", Out: "x_test.go"}, "-out x_test.go is not the name of a Go file that is no test: let it end in .go, and not in _test.go"},
	} {
		t.Run(name, func(t *testing.T) {
			module(t, test.files)
			fails(t, test.options, test.want)
		})
	}
}

// The options are the command line's.
func TestUsage(t *testing.T) {
	module(t, map[string]string{"a.go": users("\tGet() error"), "sub/b.go": "package sub\n"})
	for options, want := range map[Options]bool{
		{Type: "x.T"}:                       true,
		{Type: "Users", Out: "sub/x.go"}:    true,
		{Type: "Users", Out: "x_test.go"}:   true,
		{Type: "Users", Out: "x_darwin.go"}: true,
		{Type: "Users", Dir: "nowhere"}:     true,
		{Type: "Users", Dir: "a.go"}:        true,
		{Type: "Nobody"}:                    false,
		{Type: "Users", Out: "a.go"}:        false,
	} {
		_, err := Run(t.Context(), options)
		if _, usage := errors.AsType[*remote.UsageError](err); err == nil || usage != want {
			t.Errorf("%+v: got %T %v", options, err, err)
		}
	}
}

func TestWithoutGo(t *testing.T) {
	module(t, map[string]string{"a.go": users("\tGet() error")})
	t.Setenv("PATH", t.TempDir())
	fails(t, Options{Type: "Users"}, "there is no go command in PATH, by which cmdstream gen reads the package: add the folder that has it")
}

// The file is first written, and written again, in a module with a vendor folder.
func TestVendor(t *testing.T) {
	module(t, map[string]string{"a.go": users("\tGet() error"), "b.go": "package mine\n\nimport _ \"github.com/cmdstream/cmdstream/base\"\n"})
	vendor := func() {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), "go", "mod", "vendor").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	vendor()
	fails(t, Options{Type: "Users"}, ".: cannot find module providing package github.com/cmdstream/cmdstream/codec/stub: import lookup disabled by -mod=vendor: run cmdstream gen with GOFLAGS=-mod=mod, and go mod vendor after it")
	t.Setenv("GOFLAGS", "-mod=mod")
	if _, err := Run(t.Context(), Options{Type: "Users"}); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOFLAGS", "")
	vendor()
	if _, err := Run(t.Context(), Options{Type: "Users"}); err != nil {
		t.Fatal(err)
	}
	compiles(t, ".")
}

// What can't be written is an error, and nothing is left behind.
func TestNotWritable(t *testing.T) {
	module(t, map[string]string{"sub/a.go": users("\tGet() error")})
	if err := replace("nowhere/x.go", nil); err == nil || err.Error() != "nowhere/x.go can't be written: no such file or directory" {
		t.Errorf("got %v", err)
	}
	if err := replace("sub", nil); err == nil || err.Error() != "sub can't be written: is a directory" {
		t.Errorf("got %v", err)
	}
	if os.Getuid() != 0 { // who is not bound by permissions
		if err := os.Chmod("sub", 0o555); err != nil {
			t.Fatal(err)
		}
		fails(t, Options{Type: "Users", Dir: "sub"}, "sub/users_cmdstream.go can't be written: permission denied")
	}
	if left, err := os.ReadDir("sub"); err != nil || len(left) != 1 {
		t.Errorf("it left %v, %v", left, err)
	}
}

// fails runs, which must fail with an error that begins with want and changes nothing.
func fails(t *testing.T, options Options, want string) {
	t.Helper()
	before := files(t)
	_, err := Run(t.Context(), options)
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if err != nil && strings.Count(err.Error(), "\n") != strings.Count(want, "\n") {
		t.Errorf("got %d lines:\n%v", strings.Count(err.Error(), "\n")+1, err)
	}
	if after := files(t); after != before {
		t.Errorf("it changed the files\n%s\nto\n%s", before, after)
	}
}

// files returns the names and contents of the Go files here.
func files(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		all.WriteString(entry.Name() + "\n")
		if !entry.IsDir() {
			all.WriteString(read(t, entry.Name()))
		}
	}
	return all.String()
}

func TestCtx(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, Options{Dir: "testdata/users", Type: "Users"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
