package main

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/complete"
)

// Each command line in the help and in the guide can be understood.
func TestExamples(t *testing.T) {
	guide, err := os.ReadFile("../../docs/guide.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(guide), "\n## The tool\n")
	_, block, _ := strings.Cut(section, "```sh\n")
	block, _, _ = strings.Cut(block, "```\n")
	texts := map[string]string{"the guide": block, "the help": examples}
	commands := reflect.ValueOf(commandLine{})
	for i := range commands.NumField() {
		if helper, ok := commands.Field(i).Interface().(interface{ Help() string }); ok {
			texts[commands.Type().Field(i).Name] = helper.Help()
		}
	}
	for where, text := range texts {
		for line := range strings.Lines(text) {
			if strings.Contains(line, "<(") {
				continue // of a shell
			}
			_, typed, found := strings.Cut("\n"+strings.TrimSpace(line), "\ncmdstream ")
			if !found {
				_, typed, found = strings.Cut(line, "| cmdstream ")
			}
			if !found {
				continue
			}
			typed, _, _ = strings.Cut(typed, " #")
			typed, _, _ = strings.Cut(typed, " |")
			typed, _, _ = strings.Cut(strings.TrimSpace(typed), "   ") // what it does
			parser := kong.Must(&commandLine{}, kong.Exit(func(int) { t.Error("it exits") }))
			if _, err := parser.Parse(goFlags(complete.Split(typed))); err != nil {
				t.Errorf("%s: cmdstream %s: %v", where, typed, err)
			}
		}
	}
}

// Every command that prints something for people prints JSON too, and has examples.
func TestEveryCommandHasExamples(t *testing.T) {
	for _, command := range []string{"info", "ping", "list", "call", "bench", "top", "completion"} {
		stdout, _, code := runTool(t, nil, command, "--help")
		if code != 0 || !strings.Contains(stdout, "Examples:") || !strings.Contains(stdout, "cmdstream "+command+" ") {
			t.Errorf("%s: exit code %d:\n%s", command, code, stdout)
		}
		if command != "completion" && (!strings.Contains(stdout, "--json") || !strings.Contains(stdout, "--tls")) {
			t.Errorf("%s has no --json, or no --tls:\n%s", command, stdout)
		}
		for line := range strings.Lines(stdout) {
			if width := len([]rune(line)) - 1; width > 84 { // an example may be a little longer
				t.Errorf("%d columns: %s", width, line)
			}
		}
	}
	stdout, _, _ := runTool(t, nil, "--help")
	contains(t, "the help", stdout, []string{"The exit codes:\n  0 ", "\n  1 ", "\n  2 ", "\n  3 ", "\n  130 "})
}
