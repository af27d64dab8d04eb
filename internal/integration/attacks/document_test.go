package attacks

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/cmdstream/cmdstream/base"
)

var update = flag.Bool("update", false, "write the table of docs/reliability.md")

const (
	repository = "../../.."
	heading    = "| what | limit | counter | what the user sees | test |\n|---|---|---|---|---|\n"
)

// TestTheDocument holds the table of docs/reliability.md against the rows: every one is
// in it, with its counter and its error, and nothing else is.
func TestTheDocument(t *testing.T) {
	path := filepath.Join(repository, "docs/reliability.md")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(b), heading)
	if !found {
		t.Fatalf("it has no table that opens with\n%s", heading)
	}
	table, after, _ := strings.Cut(rest, "\n\n")
	names := codeNames(t)
	var want []string
	for _, r := range rows() {
		want = append(want, r.document(names))
	}
	got := strings.Split(table, "\n")
	if *update {
		text := before + heading + strings.Join(want, "\n") + "\n\n" + after
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Errorf("it lacks\n%s", want[i])
		case i >= len(want):
			t.Errorf("it has a row too many:\n%s", got[i])
		case got[i] != want[i]:
			t.Errorf("it has\n%s\nwant\n%s", got[i], want[i])
		}
	}
	if t.Failed() {
		t.Log("go test -run TestTheDocument ./internal/integration/attacks -update writes the table")
	}
}

// document is the row as a line of the table.
func (r row) document(names map[error]string) string {
	counters := "`" + strings.Join(r.counters, "`, `") + "`"
	var sees []string
	for _, s := range r.sees {
		text := fmt.Sprintf("%s: `%s`", s.who, names[s.err])
		if s.who == atClient {
			text += ", " + s.outcome.String()
		}
		sees = append(sees, text)
	}
	if r.note != "" {
		sees = append(sees, r.note)
	}
	tests := append([]string{"TestAttacks/" + strings.ReplaceAll(r.name, " ", "_")}, r.also...)
	return fmt.Sprintf("| %s | %s | %s | %s | %s |", r.name, r.limit, counters, strings.Join(sees, "; "), strings.Join(tests, ", "))
}

// codeNames are the names that errors have in Go.
func codeNames(t *testing.T) map[error]string {
	source, err := os.ReadFile(filepath.Join(repository, "base/error.go"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[error]string{syscall.EMFILE: "syscall.EMFILE"}
	for _, code := range regexp.MustCompile(`(?m)^\t(Err\w+)\s+Code = "(\w+)"`).FindAllStringSubmatch(string(source), -1) {
		names[base.Code(code[2])] = code[1]
	}
	return names
}
