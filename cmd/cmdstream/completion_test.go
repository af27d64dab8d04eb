package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/complete"
)

func TestComplete(t *testing.T) {
	for line, want := range map[string]string{
		"":                            "demo info ping list call bench top completion version",
		"b":                           "bench",
		"bench host:1 Add --connect":  "--connect-timeout --connections",
		"info --ca ":                  complete.Files,
		"completion ":                 "bash zsh fish",
		"nonsense with - and --what=": "",
	} {
		stdout, stderr, code := runTool(t, nil, append([]string{"complete", "zsh"}, strings.Split(line, " ")...)...)
		var got []string
		for line := range strings.Lines(stdout) {
			text, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			if text != "gen" {
				got = append(got, text)
			}
		}
		if got := strings.Join(got, " "); got != want || code != 0 || stderr != "" {
			t.Errorf("%q: got %q, want %q, exit code %d\n%s", line, got, want, code, stderr)
		}
	}
	if stdout, stderr, code := runTool(t, nil, "complete"); stdout+stderr != "" || code != 0 {
		t.Errorf("of nothing: exit code %d\n%s%s", code, stdout, stderr)
	}
}

// Bash itself is asked what it completes.
func TestBash(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash")
	}
	dir := t.TempDir()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program, filepath.Join(dir, "cmdstream")); err != nil {
		t.Skip("no links to be had: ", err)
	}
	for _, name := range []string{"ca one.pem", "ca-two.pem", "other"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script, _, code := runTool(t, nil, "completion", "bash")
	if code != 0 {
		t.Fatalf("exit code %d", code)
	}
	for _, test := range []struct{ line, words, want string }{
		{"cmdstream ben", "cmdstream ben", "bench"},
		{"cmdstream completion ", "cmdstream completion ''", "bash zsh fish"},
		{"cmdstream completion z", "cmdstream completion z", "zsh"},
		{"cmdstream list host:9000 --serv", "cmdstream list host : 9000 --serv", "--server-name"},
		{"cmdstream info --ca ca", "cmdstream info --ca ca", "ca one.pem ca-two.pem"},
		{"cmdstream info --ca=ca", "cmdstream info --ca = ca", "ca one.pem ca-two.pem"},
		{"cmdstream info --ca=", "cmdstream info --ca =", "ca one.pem ca-two.pem cmdstream other"},
		{"cmdstream call host:9000 Add '{\"A\": 1}' --js", "cmdstream call host : 9000 Add '{\"A\": 1}' --js", "--json"},
	} {
		cmd := exec.CommandContext(t.Context(), bash, "--noprofile", "--norc", "-c", script+`
COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDS=(`+test.words+`) COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_cmdstream_complete
printf '%s\n' "${COMPREPLY[@]}" | LC_ALL=C sort`, "bash", test.line)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), asTool+"=1", "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"), "GORACE=atexit_sleep_ms=0")
		out, err := cmd.CombinedOutput()
		got := strings.Join(strings.Split(strings.TrimSpace(string(out)), "\n"), " ")
		if test.want == "bash zsh fish" { // sorted
			test.want = "bash fish zsh"
		}
		if err != nil || got != test.want {
			t.Errorf("%s: got %q, want %q (%v)", test.line, got, test.want, err)
		}
	}
}
