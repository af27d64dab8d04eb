package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// maxLines is where a file begins to look like two.
const maxLines = 400

// generated is the line by which Go tools know generated files.
var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

// checkSize names the hand-written files that are longer than maxLines, tests aside.
func checkSize(root string) ([]finding, error) {
	var findings []finding
	err := files(root, func(name string) error {
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return err
		}
		if lines := bytes.Count(data, []byte("\n")); lines > maxLines && !generated.Match(data) {
			findings = append(findings, finding{name, maxLines + 1, fmt.Sprintf("%d lines, more than %d: does it hold one concern?", lines, maxLines)})
		}
		return nil
	})
	return findings, err
}
