package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The flags of gen may have one dash or two; what is wrong is one line, and the exit code 1,
// or 2 where the command line is wrong.
func TestGen(t *testing.T) {
	dir := filepath.Join("internal", "gen", "testdata", "users")
	written := filepath.Join(dir, "users_cmdstream.go")
	before, err := os.ReadFile(written)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args   []string
		code   int
		stderr string
	}{
		{[]string{"gen", "-type", "Users", dir}, 0, ""},
		{[]string{"gen", "-type=Users", "-out=users_cmdstream.go", dir}, 0, ""},
		{[]string{"gen", "--type", "Users", "--out", written, dir}, 0, ""},
		{[]string{"gen", dir, "-type", "Users"}, 0, ""},
		{[]string{"gen", "-type", "Nobody", dir}, 1, "cmdstream: " + dir + ": package users declares no type Nobody (files of tests are not read): give the name of an interface\n"},
		{[]string{"gen", "-type", "User", dir}, 1, "cmdstream: " + filepath.Join(dir, "users.go") + ":22: User is a struct, not an interface: declare one with the methods that are to be called, and give its name\n"},
		{[]string{"gen", "-type", "Users", "-out", "users.go", dir}, 1, "cmdstream: " + filepath.Join(dir, "users.go") + ":1: the file was not written by cmdstream gen, and stays as it is: remove it, or give another one by -out\n"},
		{[]string{"gen", dir}, 2, "cmdstream: missing flags: --type=INTERFACE\ncmdstream --help lists what there is.\n"},
	} {
		stdout, stderr, code := runTool(t, nil, test.args...)
		if stdout != "" || code != test.code || stderr != test.stderr {
			t.Errorf("%q: exit code %d, %s%s\nwant %d, %s", test.args, code, stdout, stderr, test.code, test.stderr)
		}
	}
	after, err := os.ReadFile(written)
	if err != nil || string(after) != string(before) {
		t.Errorf("the file was written anew, as\n%s", after)
	}
}

// Each thing that is wrong is a line of its own, without what a terminal would take for
// something else than text.
func TestGenFaults(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example.com/mine\n\ngo 1.26.0\n\nrequire github.com/cmdstream/cmdstream v0.0.0\n\nreplace github.com/cmdstream/cmdstream => " + rootModule(t) + "\n",
		"a.go":   "package mine\n\ntype Users interface {\n\tA() int\n\tB(c chan int) error\n\tC(p struct{ X chan int `json:\"x\"` }) error\n}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := filepath.Join(dir, "a.go")
	want := "cmdstream: " + at + ":4: Users.A: its last result is no error, so it could not say that the connection was lost: let it be one\n" +
		"cmdstream: " + at + ":5: Users.B: the parameter c is a channel: send the values, or return an iter.Seq2[T, error]\n" +
		"cmdstream: " + at + ":6: Users.C: the parameter p holds X, which is a channel: send the values, or return an iter.Seq2[T, error]\n"
	stdout, stderr, code := runTool(t, []string{"GOWORK=off", "GOFLAGS=", "GOPROXY=off"}, "gen", "-type", "Users", dir)
	if stdout != "" || code != exitFailed || stderr != want {
		t.Errorf("exit code %d, %s%s\nwant %s", code, stdout, stderr, want)
	}
}

// rootModule is the folder of the module that written files import.
func rootModule(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestGenHelp(t *testing.T) {
	for _, flag := range []string{"--help", "-help", "-h"} {
		stdout, _, code := runTool(t, nil, "gen", flag)
		if code != 0 || !strings.Contains(stdout, "Usage: cmdstream gen --type=INTERFACE [<dir>]") || !strings.Contains(stdout, "NewUsersClient") {
			t.Errorf("%s: exit code %d\n%s", flag, code, stdout)
		}
		for line := range strings.Lines(stdout) {
			if len(line) > 81 {
				t.Errorf("too long: %s", line)
			}
		}
	}
}
