//go:build unix

package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/cmdstream/cmdstream/debug"
	"github.com/cmdstream/cmdstream/handler"
)

// onTerminal is the tool on a terminal.
type onTerminal struct {
	t        *testing.T
	terminal *os.File
	wait     func() (code int)
}

// start starts the tool on a terminal of a size.
func start(t *testing.T, size *pty.Winsize, environ []string, args ...string) *onTerminal {
	t.Helper()
	cmd := tool(t, environ, args...)
	terminal, err := pty.StartWithSize(cmd, size)
	if err != nil {
		t.Skip("no terminal to be had: ", err)
	}
	t.Cleanup(func() { terminal.Close() })
	return &onTerminal{t, terminal, func() int {
		cmd.Wait()
		return cmd.ProcessState.ExitCode()
	}}
}

func (o *onTerminal) press(keys string) {
	o.t.Helper()
	if _, err := o.terminal.WriteString(keys); err != nil {
		o.t.Fatal(err)
	}
}

const ctrlC = "\x03"

// end reads to the end and returns what came, and the exit code. It is to come soon.
func (o *onTerminal) end() (text string, code int) {
	o.t.Helper()
	began := time.Now()
	text = readTerminal(o.t, o.terminal, "")
	code = o.wait()
	if took := time.Since(began); took > 3*time.Second {
		o.t.Errorf("it took %v to end", took)
	}
	return text, code
}

func TestCallOnATerminal(t *testing.T) {
	addr, _ := serve(t, quietly())
	text, code := start(t, terminalSize, nil, "call", addr, "Order", `{"Lines":[{"Article":"tea"}]}`).end()
	if want := "{\r\n  \"Article\": \"tea\"\r\n}\r\n"; text != want || code != 0 {
		t.Errorf("exit code %d, got %q, want %q", code, text, want)
	}
	text, _ = start(t, terminalSize, nil, "call", addr, "Order", `{"Lines":[{"Article":"tea"}]}`, "--json").end()
	if want := "{\"Article\":\"tea\"}\r\n"; text != want {
		t.Errorf("got %q, want %q", text, want)
	}
}

func TestPingOnATerminal(t *testing.T) {
	addr, _ := serve(t, quietly())
	o := start(t, terminalSize, nil, "ping", addr, "-i", "20ms")
	readTerminal(t, o.terminal, "ping 3")
	o.press(ctrlC)
	text, code := o.end()
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	contains(t, "the terminal", text, []string{" answered, 0 % lost\r\n", "min "})
	if strings.Contains(text, "is lost") {
		t.Errorf("a ping that was under way is lost:\n%s", text)
	}
}

func TestBenchOnATerminal(t *testing.T) {
	addr, _ := serve(t, quietly())
	text, code := start(t, terminalSize, nil, "bench", addr, "Wait", `{"MS":1}`, "-d", "500ms", "--warmup", "0s").end()
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	contains(t, "the terminal", text, []string{" calls, ", "/s", "%", "█", "░", "\x1b[1mWait at " + addr, "succeeded", "max"})

	for variable, coloured := range map[string]bool{"TERM=dumb": false, "NO_COLOR=1": false} {
		text, _ := start(t, terminalSize, []string{variable}, "bench", addr, "Wait", "-d", "300ms", "--warmup", "0s").end()
		if strings.Contains(text, "\x1b[1m") != coloured {
			t.Errorf("%s: colours are wrong:\n%q", variable, text)
		}
	}

	o := start(t, terminalSize, nil, "bench", addr, "Wait", `{"MS":1}`, "-d", "20s", "--warmup", "0s")
	readTerminal(t, o.terminal, " calls, ")
	o.press(ctrlC)
	text, code = o.end()
	if code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
	contains(t, "the terminal", text, []string{"succeeded", "max", "cmdstream: interrupted\r\n"})
}

// watched runs a server with a debug page, and returns the address of both.
func watched(t *testing.T) (addr, page string) {
	t.Helper()
	shows := debug.New()
	conf := quietly()
	conf.Use = []handler.Middleware[*shop]{debug.Server[*shop](shows)}
	addr, s := serve(t, conf)
	shows.WatchServer("shop", s)
	mux := http.NewServeMux()
	mux.Handle(debug.Path, shows)
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	return addr, web.Listener.Addr().String()
}

func TestTopOnATerminal(t *testing.T) {
	addr, page := watched(t)
	runTool(t, nil, "call", addr, "Order")
	for _, key := range []string{"q", ctrlC, "\x1b"} {
		o := start(t, terminalSize, nil, "top", page, "-i", "100ms")
		text := readTerminal(t, o.terminal, "q quit")
		contains(t, "the terminal", text, []string{"\x1b[?1049h", "http://" + page + "/debug/cmdstream", "shop", "0 connections", "COMMAND, by rate", "an order needs a line"})
		o.press(key)
		text, code := o.end()
		if code != 0 || !strings.Contains(text, "\x1b[?1049l") {
			t.Errorf("%q: exit code %d, or the screen is not as it was: %q", key, code, text)
		}
	}
}

func TestTopOnASmallTerminal(t *testing.T) {
	_, page := watched(t)
	text, code := start(t, &pty.Winsize{Rows: 5, Cols: 30}, nil, "top", page).end()
	if want := "cmdstream: the terminal has 30 columns and 5 lines, top needs at least 60 and 10\r\n"; code != 1 || text != want {
		t.Errorf("exit code %d, got %q", code, text)
	}

	o := start(t, terminalSize, nil, "top", page, "-i", "100ms")
	readTerminal(t, o.terminal, "q quit")
	if err := pty.Setsize(o.terminal, &pty.Winsize{Rows: 5, Cols: 50}); err != nil {
		t.Fatal(err)
	}
	readTerminal(t, o.terminal, "50 columns")
	if err := pty.Setsize(o.terminal, terminalSize); err != nil {
		t.Fatal(err)
	}
	readTerminal(t, o.terminal, "q quit")
	o.press("q")
	if _, code := o.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A program that is restarted is waited for.
func TestTopOfAProgramThatEnds(t *testing.T) {
	web := httptest.NewServer(debug.New())
	defer web.Close()
	o := start(t, terminalSize, nil, "top", web.URL, "-i", "100ms")
	readTerminal(t, o.terminal, "q quit")
	web.Close()
	readTerminal(t, o.terminal, "refused")
	o.press("q")
	if _, code := o.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestTopWithoutAPage(t *testing.T) {
	addr, page := watched(t)
	for _, test := range []struct{ addr, want string }{
		{refused(t), "refused"},
		{"http://" + page + "/elsewhere", "/elsewhere: the answer is 404 Not Found: is the page mounted there?"},
		{"http://nobody.invalid", "lookup nobody.invalid"},
		{addr, "does it speak HTTP there?"},
	} {
		text, code := start(t, terminalSize, nil, "top", test.addr).end()
		if code != 3 || !strings.HasPrefix(text, "cmdstream: no debug page at http://") || !strings.Contains(text, test.want) || countLines(text) != 1 {
			t.Errorf("%s: exit code %d, got %q, want %q", test.addr, code, text, test.want)
		}
	}
}

func TestTopAsJSON(t *testing.T) {
	addr, page := watched(t)
	runTool(t, nil, "call", addr, "Count")
	toolRun{"two", args(page, "top ADDR --json -c 2 -i 100ms"), 0, []string{`{"version":1,`, `"servers":[{"name":"shop",`, "}\n", `{"version":1,`, "}\n"}, nil}.check(t)
	html := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("<html>")) }))
	defer html.Close()
	toolRun{"HTML", args(html.URL, "top ADDR --json"), 3, nil, []string{`no debug page at http://`, `the answer is "text/html; charset=utf-8", and no JSON`}}.check(t)
}

// What could not be printed is told, and is no success.
func TestOutputThatCantBeWritten(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no device that is full: ", err)
	}
	defer full.Close()
	addr, _ := serve(t, quietly())
	for _, line := range []string{
		"info ADDR", "info ADDR --json", "list ADDR", "list ADDR --json", "ping ADDR -c 1", "ping ADDR -c 1 --json",
		`call ADDR Count {"To":1}`, "bench ADDR Wait -d 100ms --warmup 0s", "bench ADDR Wait -d 100ms --warmup 0s --json",
		"demo --measure 20ms", "version", "completion bash",
	} {
		cmd := tool(t, nil, args(addr, line)...)
		var stderr strings.Builder
		cmd.Stdout, cmd.Stderr = full, &stderr
		cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(stderr.String(), "no space left on device") {
			t.Errorf("%s: exit code %d\n%s", line, code, stderr.String())
		}
	}
}
