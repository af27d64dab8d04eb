package integration_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// docs/coming-from.md shows a program for the original cmd-stream-go, and which lines of it
// change. With those changed it is a program for this library.
func TestComingFromTheOriginal(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(repository, "docs/coming-from.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## From cmd-stream-go\n")
	if !ok {
		t.Fatal("the section is not there")
	}
	section, _, _ = strings.Cut(section, "\n## ")

	var was, is []string
	for line := range strings.Lines(strings.Join(blocks(section, "diff"), "")) {
		switch line = strings.TrimSpace(line); line[0] {
		case '-':
			was = append(was, strings.TrimSpace(line[1:]))
		case '+':
			is = append(is, strings.TrimSpace(line[1:]))
		}
	}
	code := strings.TrimPrefix(strings.Join(blocks(section, "golang"), "\n"), "package main\n")
	var imports []string
	for _, line := range was {
		if strings.HasSuffix(line, `"`) {
			imports = append(imports, line)
		}
	}
	program := "package main\n\nimport (\n" + strings.Join(imports, "\n") + `
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"slices"
	"time"
)
` + code + `
func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go serve(listener)
	if err := visit(listener.Addr().String()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 5 ""
	// 0 "rice"
	// 0 "tea"
	// 0 ""
	// 0 "no such article"
}
`
	if len(was) == 0 || len(was) != len(is) {
		t.Fatalf("%d lines become %d", len(was), len(is))
	}
	for i := range was {
		if !strings.Contains(program, was[i]) {
			t.Errorf("the program has no %s", was[i])
		}
		program = strings.ReplaceAll(program, was[i], is[i])
	}
	compile(t, []*snippet{{where: "docs/coming-from.md", name: "main", files: []string{program}}})
}

// blocks returns what is in the fenced blocks of a language.
func blocks(text, language string) (found []string) {
	for _, part := range strings.Split(text, "\n```"+language+"\n")[1:] {
		block, _, _ := strings.Cut(part, "\n```")
		found = append(found, block+"\n")
	}
	return found
}
