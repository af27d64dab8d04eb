package complete

import (
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// grammar is a command line of each thing that there is.
type grammar struct {
	Call struct {
		Addr  string `arg:""`
		Shell string `arg:"" enum:"bash,zsh"`
		File  string `name:"ca-file" type:"path" help:"A file."`
		Count int    `short:"c" help:"How many."`
		Loud  bool   `help:"More text."`
		As    string `enum:"json,text" default:"json"`
		Quiet bool   `hidden:""`
	} `cmd:"" help:"Call it."`
	Check  struct{} `cmd:"" help:"Check it."`
	Hidden struct{} `cmd:"" hidden:""`
}

func TestWords(t *testing.T) {
	parser := kong.Must(&grammar{})
	for line, want := range map[string]string{
		"":                              "call check",
		"c":                             "call check",
		"ca":                            "call",
		"x":                             "",
		"-":                             "--help",
		"call --c":                      "--ca-file --count",
		"call --":                       "--ca-file --count --loud --as --help",
		"call ":                         "",
		"call addr ":                    "bash zsh",
		"call addr z":                   "zsh",
		"call addr zsh ":                "",
		"call --loud addr z":            "zsh",
		"call --count 3 addr z":         "zsh",
		"call --count=3 addr z":         "zsh",
		"call -c 3 addr z":              "zsh",
		"call --ca-file ":               Files,
		"call --ca-file x addr z":       "zsh",
		"call --ca-file=":               Files,
		"call --as ":                    "json text",
		"call --as=t":                   "--as=text",
		"call --nothing=t":              "",
		"call addr -- --":               "",
		"call addr -- b":                "bash",
		"call - z":                      "zsh",
		"call --count ":                 "",
		"call --unknown --as=json -- b": "",
		"check ":                        "",
		"hidden --":                     "--help",
	} {
		var got []string
		for _, candidate := range Words(parser.Model.Node, strings.Split(line, " ")) {
			got = append(got, candidate.Text)
		}
		if got := strings.Join(got, " "); got != want {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
	if got := Words(parser.Model.Node, nil); len(got) != 2 || got[0].String() != "call\tCall it." {
		t.Errorf("got %v for nothing", got)
	}
	if got := (Candidate{Text: "x"}).String(); got != "x" {
		t.Errorf("got %q", got)
	}
}

func TestSplit(t *testing.T) {
	for typed, want := range map[string][]string{
		"":                    {""},
		"a":                   {"a"},
		"a ":                  {"a", ""},
		"a  b":                {"a", "b"},
		`a 'b c' d`:           {"a", "b c", "d"},
		`a "b 'c" d\ e`:       {"a", "b 'c", "d e"},
		`a '{"A": 1}' --x=y `: {"a", `{"A": 1}`, "--x=y", ""},
		`a 'b c`:              {"a", "b c"},
		`a "" b`:              {"a", "", "b"},
		`a '\' b`:             {"a", `\`, "b"},
		"host:9000 x":         {"host:9000", "x"},
	} {
		if got := Split(typed); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", typed, got, want)
		}
	}
}

func TestScript(t *testing.T) {
	for _, shell := range Shells {
		script, err := Script(shell, "tool", "ask")
		if err != nil || !strings.Contains(script, "tool completion "+shell) || !strings.Contains(script, " ask "+shell+" ") {
			t.Errorf("%s: %v in\n%s", shell, err, script)
		}
		for _, left := range []string{"PROGRAM", "ASK", "FILES"} {
			if strings.Contains(script, left) {
				t.Errorf("%s: %s is still there", shell, left)
			}
		}
	}
	if _, err := Script("csh", "tool", "ask"); err == nil || !strings.Contains(err.Error(), "csh") {
		t.Errorf("got %v", err)
	}
}
