package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"text/tabwriter"
)

// minCoverage is the floor for each package, in percent of its statements.
const minCoverage = 90

// uncounted are the folders whose programs are tested by running them.
var uncounted = []string{"examples/", "cmd/"}

// A coverage counts statements.
type coverage struct{ covered, total int }

func (c coverage) percent() float64 { return 100 * float64(c.covered) / float64(c.total) }

// low computes in whole numbers, so that a floor just missed is never rounded up.
func (c coverage) low() bool { return 100*c.covered < minCoverage*c.total }

// checkCoverage prints the coverage of each package and reports those below the
// floor.
func checkCoverage(out io.Writer, root, profile string) ([]finding, error) {
	module, err := modulePath(root)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(profile)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	packages, err := readProfile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", profile, err)
	}

	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "coverage\tstatements\t  package\n")
	var findings []finding
	var sum coverage
	for _, importPath := range slices.Sorted(maps.Keys(packages)) {
		counted, name := packages[importPath], folder(module, importPath)
		if slices.ContainsFunc(uncounted, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			continue
		}
		sum.covered += counted.covered
		sum.total += counted.total
		fmt.Fprintf(table, "%.1f %%\t%d\t  %s\n", counted.percent(), counted.total, name)
		if counted.low() {
			findings = append(findings, finding{file: name, rule: fmt.Sprintf("coverage %.2f %% is below %d %%", counted.percent(), minCoverage)})
		}
	}
	if sum.total == 0 {
		return nil, fmt.Errorf("%s: no statement of %s in it", profile, module)
	}
	fmt.Fprintf(table, "%.1f %%\t%d\t  all\n", sum.percent(), sum.total)
	return findings, table.Flush()
}

// readProfile counts the statements of a coverage profile by import path. With
// -coverpkg a profile holds every block once for each test binary: a block is
// covered if any of them reached it.
func readProfile(r io.Reader) (map[string]coverage, error) {
	type block struct {
		where      string // file:from,to
		statements int
	}
	reached := map[block]bool{}
	lines := bufio.NewScanner(r)
	for number := 1; lines.Scan(); number++ {
		if number == 1 && strings.HasPrefix(lines.Text(), "mode: ") {
			continue
		}
		var one block
		var count int
		if _, err := fmt.Sscanf(lines.Text(), "%s %d %d", &one.where, &one.statements, &count); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		reached[one] = reached[one] || count > 0
	}

	packages := map[string]coverage{}
	for one, covered := range reached {
		file, _, _ := strings.Cut(one.where, ":")
		counted := packages[path.Dir(file)]
		counted.total += one.statements
		if covered {
			counted.covered += one.statements
		}
		packages[path.Dir(file)] = counted
	}
	return packages, lines.Err()
}
