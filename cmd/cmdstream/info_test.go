package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/compress/flate"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/transport"
)

func TestInfo(t *testing.T) {
	conf := quietly()
	conf.ServerInfo = []byte("shop 7")
	conf.ServerSettings = server.Settings{MaxCmdSize: 1234567, MaxInFlight: 88}
	conf.Sessions.Time = 90 * time.Second
	conf.Compressions = []transport.Compression{flate.New(flate.DefaultLevel)}
	addr, s := serve(t, conf)
	toolRun{"text", args(addr, "info ADDR"), 0, []string{
		addr, "ServerInfo    shop 7\n", "1,234,567 bytes", "88 commands", "kept for 1m30s", "compression   flate\n",
		"format        json.Format\n", "reflection    on", "commands      4\n", "  main.Order\n", "  main.Chat\n",
	}, nil}.check(t)

	conf = quietly()
	conf.ServerInfo = []byte{0, 1, 0xfe}
	conf.Sessions.Disabled = true
	bare, _ := serveSet(t, newSet(false), conf)
	stdout, stderr, code := runTool(t, nil, "info", bare, "--json")
	var got serverInfo
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != 0 || stderr != "" {
		t.Fatalf("exit code %d, %v:\n%s%s", code, err, stdout, stderr)
	}
	if got.HelloUS <= 0 {
		t.Errorf("the hello took %d µs", got.HelloUS)
	}
	got.HelloUS = 0
	names := got.Commands
	got.Commands = nil
	if want := (serverInfo{Addr: bare, WireVersion: 1, ServerInfo: "0x0001fe", MaxCmdSize: 4 << 20, MaxInFlight: 16384, Format: "json.Format"}); !equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if want := []string{"main.Order", "main.Count", "main.Wait", "main.Chat"}; !slices.Equal(names, want) {
		t.Errorf("the commands are %v, want %v", names, want)
	}
	toolRun{"text of a bare server", args(bare, "info ADDR"), 0, []string{"sessions      none\n", "compression   none\n", "reflection    off", "main.Order"}, nil}.check(t)

	// The session that info asks for is gone with it.
	for range 100 {
		if s.Stats().Sessions == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if stats := s.Stats(); stats.Sessions != 0 || stats.SessionsOpened == 0 {
		t.Errorf("%d of %d sessions are left", stats.Sessions, stats.SessionsOpened)
	}
}

func equal(a, b serverInfo) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

func TestInfoOfAServerWithoutATypedSet(t *testing.T) {
	addr := serveBytes(t)
	toolRun{"info", args(addr, "info ADDR"), 0, []string{"ServerInfo    default\n", "commands      not told: "}, nil}.check(t)
	toolRun{"list", args(addr, "list ADDR"), 1, nil, []string{"cmdstream: " + addr + " does not tell its commands: "}}.check(t)
}

func TestList(t *testing.T) {
	addr, _ := serve(t, quietly())
	toolRun{"all", args(addr, "list ADDR"), 0, []string{
		"main.Order  tag 1, unary\n", "  Lines  list of main.Line (struct)\n", "    Article  string\n", "    price    int or null  may be left out\n", "  result main.Line (struct)\n    Article  string\n",
		"\nmain.Count  tag 2, stream\n  To  int\n  result int\n", "main.Chat  tag 4, exchange\n  input string\n  result int\n",
	}, nil}.check(t)
	toolRun{"two", args(addr, "list ADDR Wait main.Count"), 0, []string{"main.Wait  tag 3, unary\n  MS  int\n  result int\n\nmain.Count"}, nil}.check(t)
	toolRun{"an unknown one", args(addr, "list ADDR Cuont"), 1, nil, []string{`the server has no command "Cuont", did you mean "Count"?`}}.check(t)
	toolRun{"nothing like it", args(addr, "list ADDR Subscription"), 1, nil, []string{`the server has no command "Subscription": cmdstream list shows`}}.check(t)

	stdout, _, _ := runTool(t, nil, args(addr, "list ADDR Wait --json")...)
	var got struct {
		Reflection bool
		Commands   []struct {
			Name, Kind string
			Body       struct{ Fields []struct{ Name string } }
		}
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || !got.Reflection || len(got.Commands) != 1 || got.Commands[0].Body.Fields[0].Name != "MS" {
		t.Errorf("%v: %+v of\n%s", err, got, stdout)
	}

	bare, _ := serveSet(t, newSet(false), quietly())
	toolRun{"names only", args(bare, "list ADDR"), 0, []string{"main.Order  tag 1, unary\nmain.Count", "has not called Set.Reflect"}, nil}.check(t)
}

func TestEditDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"abc", "", 3},
		{"add", "add", 0},
		{"ad", "add", 1},
		{"add", "ad", 1},
		{"cuont", "count", 2},
		{"kitten", "sitting", 3},
		{strings.Repeat("a", 1<<20), "", maxName},
	} {
		if got := editDistance(test.a, test.b); got != test.want {
			t.Errorf("%.10s, %.10s: got %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
