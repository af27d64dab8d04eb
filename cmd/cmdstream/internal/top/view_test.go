package top

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/cmdstream/cmdstream/debug"
	"github.com/cmdstream/cmdstream/server"
)

// some is a snapshot with something of each.
func some() *debug.Snapshot {
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.Local)
	commands := []debug.CommandInfo{
		{Name: "shop.Count", Side: debug.ServerSide, InFlight: 1, Succeeded: 9, PerSecond: []uint32{0, 8, 1}, Latency: debug.Latency{P50: time.Millisecond, P99: 9 * time.Millisecond, Max: 10 * time.Millisecond}},
		{
			Name: "shop.Buy\x1b[31m", Side: debug.ServerSide, InFlight: 3, Failed: 7, PerSecond: []uint32{0, 0, 1234}, FailedPerSecond: []uint32{0, 0, 2},
			Latency:  debug.Latency{P50: 5, P99: 6, Max: 7},
			Failures: []debug.FailureInfo{{Time: at, Text: "sold out\nquite", Code: "exec", Outcome: "failed"}},
		},
		{Name: "shop.Audit", Side: debug.ClientSide, Failed: 1, Failures: []debug.FailureInfo{{Time: at.Add(-time.Hour), Text: "an older one"}}},
	}
	return &debug.Snapshot{
		Version: debug.Version, Time: at, Since: at.Add(-90 * time.Second),
		Servers: []debug.ServerInfo{{Name: "shop", Stats: server.Stats{Connections: 12, Sessions: 3, DetachedSessions: 1, Running: 4, Queued: 5, Bytes: 1_500_000, KeptBytes: 12, Panics: 6, SessionsOpened: 99}}},
		Clients: []debug.ClientInfo{{Name: "audit", State: "closed", Error: "the server is gone"}}, Commands: commands, InFlight: 4,
		Oldest: []debug.RunningInfo{{Name: "shop.Buy", Age: 1500 * time.Millisecond, Remote: "10.0.0.1:77"}},
	}
}

func newModel(t *testing.T, width, height int) model {
	page := &Page{url: "http://localhost:8080/debug/cmdstream?format=json"}
	m := model{ctx: t.Context(), page: page, interval: time.Second, snapshot: some()}
	return send(m, tea.WindowSizeMsg{Width: width, Height: height})
}

func send(m model, message tea.Msg) model {
	next, _ := m.Update(message)
	return next.(model)
}

func press(m model, keys string) model {
	for _, key := range keys {
		m = send(m, tea.KeyPressMsg{Code: key, Text: string(key)})
	}
	return m
}

// screen returns the lines without colours, and checks their number and widths.
func screen(t *testing.T, m model) []string {
	t.Helper()
	view := m.View()
	lines := strings.Split(ansi.Strip(view.Content), "\n")
	if len(lines) != m.height || !view.AltScreen {
		t.Errorf("%d lines on %d, alternate screen: %v", len(lines), m.height, view.AltScreen)
	}
	for _, line := range lines {
		if width := ansi.StringWidth(line); width > m.width {
			t.Errorf("%d columns on %d: %s", width, m.width, line)
		}
	}
	return lines
}

func TestScreen(t *testing.T) {
	got := screen(t, newModel(t, 100, 14))
	want := []string{
		"http://localhost:8080/debug/cmdstream  counts for 1m30s",
		"shop  12 connections, 3 sessions (1 away)  4 running, 5 queued  1.5 MB held, 12 B kept",
		"  Panics 6",
		"audit  closed, 0 connections  the server is gone",
		"",
		"COMMAND, by rate                   /s   open failed      p50      p99      max",
		"shop.Buy?[31m                   1,234      3      7      5ns      6ns      7ns    █",
		"shop.Count                          1      1      0   1.00ms   9.00ms   10.0ms   █▁",
		"shop.Audit (client)                 0      0      1       0s       0s       0s",
		"", "",
		"oldest    shop.Buy, open for 1.50s 10.0.0.1:77",
		"failed    03:04:05 shop.Buy?[31m: sold out quite failed exec",
		"q quit  s sort  p pause  ↑↓ scroll  every 1s",
	}
	for i, line := range got {
		if strings.TrimRight(line, " ") != want[i] {
			t.Errorf("line %d:\n%s\nwant:\n%s", i, line, want[i])
		}
	}
}

func TestEverySizeFits(t *testing.T) {
	for _, size := range [][2]int{{MinWidth, MinHeight}, {80, 24}, {300, 100}} {
		m := newModel(t, size[0], size[1])
		for range 200 {
			c := m.snapshot.Commands[0]
			c.Name = strings.Repeat("long", 100)
			m.snapshot.Commands = append(m.snapshot.Commands, c)
			m.snapshot.Servers = append(m.snapshot.Servers, m.snapshot.Servers[0])
		}
		m.err = errors.New(strings.Repeat("long ", 100))
		text := strings.Join(screen(t, m), "\n")
		for _, want := range []string{"COMMAND, by rate", "shop.Buy", "q quit", "long long"} {
			if !strings.Contains(text, want) {
				t.Errorf("%v lacks %q:\n%s", size, want, text)
			}
		}
	}
}

func TestTooSmall(t *testing.T) {
	for _, size := range [][2]int{{MinWidth - 1, 24}, {80, MinHeight - 1}, {20, 3}} {
		content := newModel(t, size[0], size[1]).View().Content
		want := fmt.Sprintf("the terminal has %d columns and %d lines, top needs at least 60 and 10", size[0], size[1])
		if strings.Join(strings.Fields(content), " ") != want {
			t.Errorf("got %q, want %q", content, want)
		}
	}
	if content := newModel(t, 0, 0).View().Content; content != "" {
		t.Errorf("before its size is known: %q", content)
	}
}

// shown is the names of the commands that are shown, in their order.
func shown(t *testing.T, m model) string {
	var names []string
	for _, line := range screen(t, m) {
		if name, found := strings.CutPrefix(line, "shop."); found {
			names = append(names, name[:3])
		}
	}
	return strings.Join(names, " ")
}

func TestKeys(t *testing.T) {
	m := newModel(t, 80, 14)
	for _, order := range []struct{ name, want string }{
		{"rate", "Buy Cou Aud"}, {"open", "Buy Cou Aud"}, {"p99", "Cou Buy Aud"}, {"failed", "Buy Aud Cou"}, {"name", "Aud Buy Cou"}, {"rate", "Buy Cou Aud"},
	} {
		if got := shown(t, m); got != order.want || !strings.Contains(m.View().Content, "by "+order.name) {
			t.Errorf("by %s: got %s, want %s", order.name, got, order.want)
		}
		m = press(m, "s")
	}
	m = press(newModel(t, 80, 14), "j")
	if got := shown(t, m); got != "Cou Aud" {
		t.Errorf("one down: %s", got)
	}
	m = press(m, "jjjjj")
	if got := shown(t, m); got != "Aud" {
		t.Errorf("at the end: %s", got)
	}
	m = press(m, "k")
	if got := shown(t, m); got != "Cou Aud" {
		t.Errorf("one up: %s", got)
	}
	if got := shown(t, send(m, tea.KeyPressMsg{Code: tea.KeyPgUp})); got != "Buy Cou Aud" {
		t.Errorf("a page up: %s", got)
	}
	if got := shown(t, send(m, tea.KeyPressMsg{Code: tea.KeyPgDown})); got != "Aud" {
		t.Errorf("a page down: %s", got)
	}
	if got := shown(t, send(m, tea.KeyPressMsg{Code: tea.KeyHome})); got != "Buy Cou Aud" {
		t.Errorf("home: %s", got)
	}
	for _, key := range []tea.KeyPressMsg{{Code: 'q', Text: "q"}, {Code: tea.KeyEscape}, {Code: 'c', Mod: tea.ModCtrl}} {
		if _, command := m.Update(key); command == nil || command() != tea.Quit() {
			t.Errorf("%s does not quit", key)
		}
	}
}

func TestAnswers(t *testing.T) {
	m := newModel(t, 80, 14)
	newer := some()
	newer.Commands = newer.Commands[:1]
	m = send(m, answer{snapshot: newer})
	if got := shown(t, m); got != "Cou" {
		t.Errorf("after an answer: %s", got)
	}
	m = send(m, answer{err: errors.New("no page")})
	text := strings.Join(screen(t, m), "\n")
	if shown(t, m) != "Cou" || !strings.Contains(text, "as it was at 03:04:05") || !strings.Contains(text, "\nno answer no page\n") {
		t.Errorf("after an error:\n%s", text)
	}
	m = send(m, answer{snapshot: some()})
	if got := shown(t, m); got != "Buy Cou Aud" || strings.Contains(m.View().Content, "as it was") {
		t.Errorf("after another answer: %s", got)
	}
	m = send(press(m, "p"), answer{snapshot: newer})
	if got := shown(t, m); got != "Buy Cou Aud" || !strings.Contains(m.View().Content, "paused") {
		t.Errorf("while paused: %s", got)
	}
	m = send(m, answer{snapshot: &debug.Snapshot{}})
	m = send(press(m, "p"), answer{snapshot: &debug.Snapshot{}})
	if !strings.Contains(m.View().Content, "none has come yet") {
		t.Errorf("of nothing:\n%s", m.View().Content)
	}
	press(m, "jks") // nothing to scroll
}
