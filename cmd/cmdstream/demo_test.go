package main

import (
	"bufio"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/terminal"
)

// short keeps the measurements of a demo short.
const short = "--measure=100ms"

// shown is what a demo that ends well shows, in this order.
var shown = []string{
	"The client is process ", ", the server ",
	"cmdstream.Do(ctx, client, Deposit{",
	"✓ Deposit{ID:1, Amount:150} ", "150",
	"✓ Pay{First:2, Count:3, Amount:10} ", "140, 130, 120",
	"✓ Deposit{ID:5, Amount:-500} ", "outcome failed, code exec", "the balance is only 120",
	"✓ Print{} ", "outcome failed, code panic", "out of paper",
	"✓ Balance{} ", "120",
	"✓ Pay{First:6, ", "outcome unknown, code connection_lost",
	"the client is connecting: ", "the client is connected again",
	"✓ Balance{} ", "the next command is answered",
	"✓ Books{} ", "none twice",
	"✓ 32 callers deposit, 8 cuts ", " succeeded, ", " unknown, ",
	"✓ Books{} ", "none ran twice",
	"✓ kill -9 ", "takes over",
	"✓ Caller{} ", `"demo client"`,
	"✓ 1 caller ", "/s  p50 ", "  p99 ",
	"✓ 64 callers ", "✓ 1024 callers ",
	" answers were right.",
}

func TestDemoIntoAPipe(t *testing.T) {
	stdout, stderr, code := runTool(t, nil, "demo", short)
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	contains(t, "standard output", stdout, shown)
	contains(t, "standard error", stderr, nil)
	if !strings.Contains(stdout, strings.Repeat("█", 20)) {
		t.Errorf("there is no long bar in\n%s", stdout)
	}
	if strings.ContainsAny(stdout, "\x1b\r") {
		t.Errorf("there are control codes in\n%q", stdout)
	}
	lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
	if len(lines) < 30 || len(lines) > 40 {
		t.Errorf("%d lines, want 30 to 40", len(lines))
	}
	for _, line := range lines {
		if width := len([]rune(line)); width > terminal.Width {
			t.Errorf("%d columns: %s", width, line)
		}
		if strings.TrimRight(line, " ") != line {
			t.Errorf("spaces at the end of %q", line)
		}
	}
}

func TestDemoFindsWrongAnswers(t *testing.T) {
	for fault, want := range map[string]string{
		"balance": "wrong answer: Balance{} gave 121 instead of 120",
		"book":    "2 times instead of once",
		"echo":    "wrong answer: an echo gave ",
	} {
		t.Run(fault, func(t *testing.T) {
			stdout, stderr, code := runTool(t, []string{faultVariable + "=" + fault}, "demo", short)
			if code != 1 {
				t.Errorf("exit code %d", code)
			}
			contains(t, "standard error", stderr, []string{"cmdstream: demo: ", want})
			contains(t, "standard output", stdout, []string{"✗ failed"})
			if strings.Contains(stdout, "were right") {
				t.Errorf("it claims success:\n%s", stdout)
			}
		})
	}
}

// The server process has the standard error of the first one, so the end of that
// pipe is the end of both.
func TestServerEndsWhenTheDemoIsKilled(t *testing.T) {
	cmd := tool(t, nil, "demo", "--measure=20s")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errOut, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.Contains(lines.Text(), "takes over") {
	}
	cmd.Process.Kill()
	ended := make(chan string)
	go func() {
		text, _ := io.ReadAll(errOut)
		ended <- string(text)
	}()
	select {
	case text := <-ended:
		contains(t, "standard error", text, nil)
	case <-time.After(5 * time.Second):
		t.Fatal("the server process is still there")
	}
	cmd.Wait()
}
