package terminal

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
)

func TestScreenOnAFile(t *testing.T) {
	for name, test := range map[string]struct {
		environ []string
		want    string
	}{
		"plain":             {[]string{"TERM=xterm-256color"}, "good"},
		"forced":            {[]string{"TERM=xterm-256color", "CLICOLOR_FORCE=1"}, "\x1b[32mgood\x1b[m"},
		"forced, NO_COLOR":  {[]string{"TERM=xterm-256color", "CLICOLOR_FORCE=1", "NO_COLOR=yes"}, "good"},
		"an empty NO_COLOR": {[]string{"TERM=xterm-256color", "CLICOLOR_FORCE=1", "NO_COLOR="}, "\x1b[32mgood\x1b[m"},
	} {
		t.Run(name, func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			s := New(w, test.environ)
			s.Progress("not on a terminal")
			s.Line(Good("good"))
			w.Close()
			text, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(text); got != test.want+"\n" {
				t.Errorf("got %q, want %q", got, test.want+"\n")
			}
		})
	}
}

func TestErr(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s := New(w, nil)
	s.Line("printed")
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	s.Line("not printed")
	s.Line("nor this")
	if err := s.Err(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestBar(t *testing.T) {
	for _, test := range []struct {
		part float64
		want string
	}{
		{0, "    "},
		{1, "████"},
		{0.5, "██  "},
		{0.25 + 1.0/32, "█▏  "},
		{1 - 1.0/32, "███▉"},
		{-1, "    "},
		{2, "████"},
	} {
		if got := Bar(test.part, 4); got != test.want {
			t.Errorf("%v: got %q, want %q", test.part, got, test.want)
		}
	}
}

func TestNumber(t *testing.T) {
	for n, want := range map[int]string{
		0: "0", 999: "999", 1000: "1,000", 123456: "123,456", 1234567: "1,234,567", -1000: "-1,000", -100: "-100",
	} {
		if got := Number(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

func TestStylesKeepTheText(t *testing.T) {
	for _, style := range []func(string) string{Title, Good, Bad, Code, Faint} {
		if got := style("text  "); !strings.Contains(got, "text  ") {
			t.Errorf("got %q", got)
		}
	}
}
