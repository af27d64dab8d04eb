package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/internal/leak"
)

// asTool makes this test program the tool itself.
const asTool = "CMDSTREAM_TEST_AS_TOOL"

func TestMain(m *testing.M) {
	if os.Getenv(asTool) != "" {
		main()
	}
	leak.Main(m)
}

// toolPatience bounds every run of the tool.
const toolPatience = 30 * time.Second

// tool returns the tool, ready to be started in an environment without what the
// tests run in says about colours.
func tool(t *testing.T, environ []string, args ...string) *exec.Cmd {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), toolPatience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return slices.Contains([]string{"TERM", "COLORTERM", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TMUX"}, name)
	})
	// The race detector would hold up every exit for a second.
	cmd.Env = append(cmd.Env, asTool+"=1", "TERM=xterm-256color", "GORACE=atexit_sleep_ms=0")
	cmd.Env = append(cmd.Env, environ...)
	return cmd
}

// runTool runs the tool with its output into pipes. It waits for the pipes too,
// so no process that has them is left when it returns.
func runTool(t *testing.T, environ []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := tool(t, environ, args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

func TestCommandLine(t *testing.T) {
	tests := []struct {
		name           string
		args           []string
		code           int
		stdout, stderr []string
	}{
		{"help", []string{"--help"}, 0, []string{"Usage: cmdstream", "demo ", "version ", "Examples:\n  cmdstream demo "}, nil},
		{"nothing", nil, 0, []string{"Usage: cmdstream"}, nil},
		{"help of a command", []string{"demo", "--help"}, 0, []string{"Usage: cmdstream demo", "Every answer is\nchecked"}, nil},
		{"version", []string{"version"}, 0, []string{"wire version 1, go1."}, nil},
		{"an unknown command", []string{"dmo"}, 2, nil, []string{`unexpected argument dmo, did you mean "demo"?`, "cmdstream --help"}},
		{"an unknown flag", []string{"demo", "--fast"}, 2, nil, []string{"unknown flag --fast", "cmdstream --help"}},
		{"too many arguments", []string{"demo", "now"}, 2, nil, []string{"unexpected argument now"}},
		{"a wrong value", []string{"demo", "--measure=x"}, 2, nil, []string{"--measure", "duration"}},
		{"the demo's server alone", []string{"demo-server"}, 1, nil, []string{"for cmdstream demo only"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			stdout, stderr, code := runTool(t, nil, test.args...)
			if code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			contains(t, "standard output", stdout, test.stdout)
			contains(t, "standard error", stderr, test.stderr)
			for line := range strings.Lines(stdout + stderr) {
				if width := len([]rune(line)) - 1; width > 80 {
					t.Errorf("%d columns: %s", width, line)
				}
			}
		})
	}
}

// contains looks for all wanted texts, in their order; none means that there is
// to be nothing at all.
func contains(t *testing.T, where, text string, wanted []string) {
	t.Helper()
	if len(wanted) == 0 && text != "" {
		t.Errorf("%s should be empty, and is:\n%s", where, text)
	}
	rest := text
	for _, want := range wanted {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Errorf("%s lacks %q, or has it at another place:\n%s", where, want, text)
			return
		}
		rest = after
	}
}

func TestHelpHidesWhatIsNotForUsers(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"demo", "--help"}} {
		stdout, _, _ := runTool(t, nil, args...)
		for _, hidden := range []string{"demo-server", "--measure"} {
			if strings.Contains(stdout, hidden) {
				t.Errorf("%v shows %s:\n%s", args, hidden, stdout)
			}
		}
	}
}
