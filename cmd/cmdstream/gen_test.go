package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The flags of gen may have one dash or two; what is wrong is one line, and the exit code 1.
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
