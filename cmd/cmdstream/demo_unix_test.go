//go:build unix

package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// terminalSize is that of the terminals of old.
var terminalSize = &pty.Winsize{Rows: 24, Cols: 80}

// readTerminal reads until all processes have left the terminal, or until text
// has come.
func readTerminal(t *testing.T, terminal *os.File, text string) string {
	t.Helper()
	var all strings.Builder
	buffer := make([]byte, 4096)
	for text == "" || !strings.Contains(all.String(), text) {
		n, err := terminal.Read(buffer)
		all.Write(buffer[:n])
		if errors.Is(err, syscall.EIO) || err == io.EOF { // Linux says EIO
			return all.String()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

func TestDemoOnATerminal(t *testing.T) {
	for _, test := range []struct {
		name     string
		environ  []string
		coloured bool
	}{
		{"in colour", nil, true},
		{"NO_COLOR", []string{"NO_COLOR=whatever"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd := tool(t, test.environ, "demo", short)
			terminal, err := pty.StartWithSize(cmd, terminalSize)
			if err != nil {
				t.Skip("no terminal to be had: ", err)
			}
			defer terminal.Close()
			text := readTerminal(t, terminal, "")
			if err := cmd.Wait(); err != nil {
				t.Errorf("%v:\n%s", err, text)
			}
			for code, what := range map[string]string{
				"\x1b[32m✓\x1b[m":                    "a green tick",
				"\r\x1b[K\x1b[2m    measuring: 64 c": "progress",
			} {
				if strings.Contains(text, code) != test.coloured {
					t.Errorf("%s: %v is wrong:\n%q", what, !test.coloured, text)
				}
			}
			if strings.Contains(text, "\x1b") != test.coloured {
				t.Errorf("escape codes: %v is wrong:\n%q", !test.coloured, text)
			}
			contains(t, "the terminal", text, []string{"✓", "answers were right."})
		})
	}
}

func TestInterrupt(t *testing.T) {
	for name, after := range map[string]string{
		"at the start":          "A command is",
		"while commands run":    "Books{}",
		"while it measures":     "measuring: 1 caller",
		"while it measures all": "measuring: 1024 callers",
	} {
		t.Run(name, func(t *testing.T) {
			measure := "--measure=20s"
			if strings.Contains(after, "1024") {
				measure = "--measure=1s"
			}
			cmd := tool(t, nil, "demo", measure)
			terminal, err := pty.StartWithSize(cmd, terminalSize)
			if err != nil {
				t.Skip("no terminal to be had: ", err)
			}
			defer terminal.Close()
			readTerminal(t, terminal, after)
			began := time.Now()
			if _, err := terminal.Write([]byte{3}); err != nil { // Ctrl-C
				t.Fatal(err)
			}
			text := readTerminal(t, terminal, "")
			cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != 130 {
				t.Errorf("exit code %d", code)
			}
			if elapsed := time.Since(began); elapsed > 3*time.Second {
				t.Errorf("it took %v to end", elapsed)
			}
			contains(t, "the terminal", text, []string{"cmdstream: interrupted\r\n"})
			if strings.Contains(text, "wrong") || strings.Contains(text, "✗") {
				t.Errorf("it blames something else:\n%s", text)
			}
		})
	}
}

func TestDemoSaysThatItsServerHasEnded(t *testing.T) {
	cmd := tool(t, nil, "demo", "--measure=20s")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	server := regexp.MustCompile(`process ([0-9]+) takes over`)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if found := server.FindStringSubmatch(lines.Text()); found != nil {
			pid, err := strconv.Atoi(found[1])
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	contains(t, "standard error", errOut.String(), []string{"the server process has ended: signal: killed"})
}
