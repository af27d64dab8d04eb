package main

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/server"
)

func TestBench(t *testing.T) {
	addr, s := serve(t, quietly())
	svg := filepath.Join(t.TempDir(), "latency.svg")
	toolRun{"as fast as it can", args(addr, `bench ADDR Wait {"MS":1} -n 8 --connections 2 -d 400ms --warmup 50ms --svg %`, svg), 0, []string{
		"Wait at " + addr + ", 8 callers over 2 connections\n", "succeeded", "/s for 400ms\n", "min ", "p50 ", "max ", strings.Repeat("█", 40) + "\n", "mean ",
	}, nil}.check(t)
	drawn, err := os.ReadFile(svg)
	if err != nil || !strings.HasPrefix(string(drawn), "<svg ") || !strings.Contains(string(drawn), "Wait at "+addr) {
		t.Errorf("%v: the plot is %.100s", err, drawn)
	}

	stdout, stderr, code := runTool(t, nil, args(addr, `bench ADDR Wait {"MS":1} --rate 100 -d 500ms --warmup 100ms --json`)...)
	var got benchResult
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != 0 || stderr != "" {
		t.Fatalf("exit code %d, %v:\n%s%s", code, err, stdout, stderr)
	}
	if got.Calls < 25 || got.Calls > 50 || got.Calls+got.Unbegun+got.Unfinished != 50 || got.Seconds != 0.5 || got.Rate != 100 || got.Callers != 16 {
		t.Errorf("got %+v, want 50 calls", got)
	}
	if l := got.Latency; l.Min < time.Millisecond || l.Max < l.Min || l.Quantiles["50"] < l.Min || l.Quantiles["99.9"] > l.Max || len(l.Quantiles) != 7 {
		t.Errorf("the latencies are %+v", l)
	}
	for range 100 {
		if s.Stats().Connections == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d connections are left", s.Stats().Connections)
}

// What can't work is found before any load.
func TestBenchOfNothing(t *testing.T) {
	addr, _ := serve(t, quietly())
	dir := t.TempDir()
	kept := filepath.Join(dir, "kept.svg")
	if err := os.WriteFile(kept, []byte("an older plot"), 0o600); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if text, err := os.ReadFile(kept); err != nil || string(text) != "an older plot" {
			t.Errorf("the older plot is %q, %v", text, err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Errorf("there are files: %v", left)
		}
	}()
	for _, r := range []toolRun{
		{"a plot of nothing", args(addr, "bench ADDR Wiat --svg %", filepath.Join(dir, "new.svg")), 1, nil, []string{"no command"}},
		{"an older plot", args(addr, "bench ADDR Wiat --svg %", kept), 1, nil, []string{"no command"}},
		{"an unknown name", args(addr, "bench ADDR Wiat"), 1, nil, []string{`the server has no command "Wiat", did you mean "Wait"?`}},
		{"a wrong type", args(addr, `bench ADDR Wait {"MS":true}`), 1, nil, []string{"main.Wait", "bool", "code: decode"}},
		{"it fails", args(addr, "bench ADDR Order"), 1, nil, []string{"an order needs a line"}},
	} {
		r.check(t)
	}
}

func TestBenchCountsFailures(t *testing.T) {
	conf := quietly()
	conf.MaxRunning, conf.MaxQueued = 1, 1
	addr, _ := serve(t, conf)
	toolRun{
		"busy", args(addr, `bench ADDR Wait {"MS":20} -n 4 -d 300ms --warmup 0s`), 1,
		[]string{"succeeded", "failed", "busy ", "p50"},
		[]string{"cmdstream: ", " calls failed\n"},
	}.check(t)
}

func TestBenchThatIsTooSlow(t *testing.T) {
	addr, _ := serve(t, quietly())
	toolRun{"the rate", args(addr, `bench ADDR Wait {"MS":50} -n 2 --rate 200 -d 300ms --warmup 0s`), 0, []string{"200 a second wanted", "not begun", "all callers were busy"}, nil}.check(t)
	toolRun{"no end", args(addr, `bench ADDR Wait {"MS":600} -n 2 -d 50ms --warmup 0s --timeout 700ms`), 0, []string{"succeeded             2"}, nil}.check(t)
}

func TestBenchWithTooManyConnections(t *testing.T) {
	conf := quietly()
	conf.WorkersCount = 2
	addr, _ := serve(t, conf)
	toolRun{"full", args(addr, "bench ADDR Wait --connections 3"), 3, nil, []string{"cmdstream: connection 3 of 3: can't connect to " + addr + ": the server has as many clients as it takes"}}.check(t)
}

// A server that goes away ends the bench at once, and what was measured is shown.
func TestBenchOfAServerThatDies(t *testing.T) {
	for format, end := range map[string]func(s *server.Server) error{
		"":                   (*server.Server).Close,
		" --json":            (*server.Server).Close,
		" --rate 500":        (*server.Server).Close,
		" -n 10 --json":      func(s *server.Server) error { return s.Shutdown(t.Context()) },
		" -n 10 --rate 9000": func(s *server.Server) error { return s.Shutdown(t.Context()) },
	} {
		addr, s := serve(t, quietly())
		cmd := tool(t, nil, args(addr, `bench ADDR Wait {"MS":1} -d 20s --warmup 0s`+format)...)
		var stdout, stderr strings.Builder
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for s.Stats().Running == 0 {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(100 * time.Millisecond)
		began := time.Now()
		end(s)
		cmd.Wait()
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("it took %v to end", took)
		}
		if code := cmd.ProcessState.ExitCode(); code != 1 {
			t.Errorf("exit code %d", code)
		}
		contains(t, "standard error", stderr.String(), []string{"cmdstream: the load ended early: "})
		if countLines(stderr.String()) != 1 {
			t.Errorf("it says too much:\n%s", stderr.String())
		}
		if !strings.Contains(format, "--json") {
			contains(t, "standard output", stdout.String(), []string{"succeeded", "p50"})
			continue
		}
		var got benchResult
		if err := json.Unmarshal([]byte(stdout.String()), &got); err != nil || got.Calls == 0 || got.Seconds > 3 || !strings.Contains(stderr.String(), got.Lost) || got.Lost == "" {
			t.Errorf("%v: got %+v", err, got)
		}
		for name, n := range got.Failed {
			if n > 16 {
				t.Errorf("%d calls failed as %s, of 16 callers", n, name)
			}
		}
	}
}

// A server that merely falls silent is found out by keepalive, long before the deadlines.
func TestBenchOfAServerThatFallsSilent(t *testing.T) {
	addr, s := serve(t, quietly())
	l := listen(t)
	var silent atomic.Bool
	var relaying sync.WaitGroup
	relay := func(to, from net.Conn) {
		buffer := make([]byte, 64<<10)
		for {
			n, err := from.Read(buffer)
			if err != nil {
				to.Close()
				return
			}
			if !silent.Load() {
				to.Write(buffer[:n])
			}
		}
	}
	relaying.Go(func() {
		near, err := l.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", addr)
		if err != nil {
			t.Error(err)
			near.Close()
			return
		}
		relaying.Go(func() { relay(near, far) })
		relay(far, near)
	})
	defer relaying.Wait()
	cmd := tool(t, nil, args(l.Addr().String(), `bench ADDR Wait {"MS":1} -d 20s --warmup 0s --timeout 60s`)...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for s.Stats().Running == 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond)
	silent.Store(true)
	began := time.Now()
	cmd.Wait()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v to end", took)
	}
	if code := cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	contains(t, "standard error", stderr.String(), []string{"cmdstream: the load ended early: ", "answered no ping"})
	contains(t, "standard output", stdout.String(), []string{"succeeded", "connection_lost 16", "p50"})
}

func TestPing(t *testing.T) {
	addr, _ := serve(t, quietly())
	stdout, stderr, code := runTool(t, nil, args(addr, "ping ADDR -c 4 -i 10ms")...)
	if want := regexp.MustCompile(`^✓ ping 1: [0-9.]+[µm]s\n✓ ping 2: .*\n✓ ping 3: .*\n✓ ping 4: .*\n\n` + addr + `: 4 sent, 4 answered, 0 % lost\nmin .*  median .*  p99 .*  max .*  mean .* ± .*\n$`); code != 0 || stderr != "" || !want.MatchString(stdout) {
		t.Errorf("exit code %d:\n%s%s", code, stdout, stderr)
	}
	stdout, _, code = runTool(t, nil, args(addr, "ping ADDR -c 3 -i 10ms --json")...)
	var got struct {
		Sent, Received int
		Loss           float64
		RTT            map[string]int64 `json:"rtt_ns"`
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != 0 || got.Sent != 3 || got.Received != 3 || got.Loss != 0 || got.RTT["min"] <= 0 || got.RTT["max"] < got.RTT["median"] || len(got.RTT) != 6 {
		t.Errorf("exit code %d, %v: %+v of %s", code, err, got, stdout)
	}
}

func TestPingOfAServerThatDies(t *testing.T) {
	addr, s := serve(t, quietly())
	cmd := tool(t, nil, args(addr, "ping ADDR -c 3 -i 300ms")...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for s.Stats().Connections == 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond)
	s.Close()
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	contains(t, "standard output", stdout.String(), []string{"✓ ping 1: ", "✗ ping 2 is lost: ", "✗ ping 3 is lost: ", "refused", "3 sent, 1 answered, 66.7 % lost", "min "})
	contains(t, "standard error", stderr.String(), []string{"cmdstream: 2 of 3 pings were lost\n"})
}
