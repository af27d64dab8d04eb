package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cmdstream/cmdstream/bench/systems"
)

// A column is a metric as the table shows it.
type column struct {
	metric, title string
}

var columns = []column{
	{opsPerSecond, "ops/s"},
	{burstTime, "time ms"},
	{median, "p50 µs"},
	{high, "p99 µs"},
	{highest, "p99.9 µs"},
	{highWithout, "p99 without"},
	{highWith, "p99 with"},
	{largePerSec, "large/s"},
	{allocs, "allocs/op"},
	{allocated, "B/op"},
	{cpu, "CPU µs/op"},
	{writes, "writes/op"},
	{wireUp, "wire req"},
	{wireDown, "wire resp"},
	{memoryPerCall, "memory/call"},
	{serverPerConn, "server B/conn"},
	{clientPerConn, "client B/conn"},
}

// report writes all tables.
func (r *results) report(w io.Writer) {
	fmt.Fprintf(w, "%s, %s, %s, %d cores; %s\n", r.Machine.Go, r.Machine.System, r.Machine.CPU, r.Machine.Cores, r.Machine.Date)
	for _, name := range slices.Sorted(maps.Keys(r.Machine.Modules)) {
		fmt.Fprintf(w, "  %s: %s\n", name, r.Machine.Modules[name])
	}
	fmt.Fprintf(w, "Medians of %d rounds of %gs. \"x peer\" and \"x limit\" are multiples of the best peer's and of the limit's ops/s.\n", r.Rounds, r.Duration)
	if r.Note != "" {
		fmt.Fprintln(w, r.Note)
	}
	for _, t := range r.Workloads {
		for _, m := range bothModes {
			figures := r.of(t.Name, m)
			if len(figures) == 0 {
				continue
			}
			fmt.Fprintf(w, "\n%s, %s: %s\n", t.Name, processes(m), t.Text)
			align(w, r.rows(t.Name, m, figures))
		}
	}
	if len(r.Goals) > 0 {
		fmt.Fprintln(w, "\nGoals")
		align(w, goalRows(r.Goals))
	}
}

// rows returns a table: systems, then how ours compare in each metric.
func (r *results) rows(workload string, m mode, figures []*figure) [][]string {
	has := metricsOf(figures)
	shown := slices.DeleteFunc(slices.Clone(columns), func(c column) bool { return !has[c.metric] })
	title := []string{"system"}
	for _, c := range shown {
		title = append(title, c.title)
	}
	if has[opsPerSecond] {
		title = append(title, "x peer", "x limit")
	}
	table := [][]string{title}
	for _, f := range figures {
		if f.Missing != "" {
			table = append(table, []string{f.System, f.Missing})
			continue
		}
		row := []string{f.System}
		for _, c := range shown {
			row = append(row, valueText(f.Values, c.metric))
		}
		if has[opsPerSecond] {
			row = append(row, ratioText(f.ToPeer, opsPerSecond), ratioText(f.ToLimit, opsPerSecond))
		}
		table = append(table, row)
	}
	for _, f := range figures {
		if f.Kind != systems.Ours || f.Missing != "" {
			continue
		}
		for to, ratios := range map[string]sample{"best peer": f.ToPeer, "limit": f.ToLimit} {
			if len(ratios) == 0 {
				continue
			}
			row := []string{f.System + " / " + to}
			for _, c := range shown {
				row = append(row, ratioText(ratios, c.metric))
			}
			table = append(table, row)
		}
	}
	slices.SortStableFunc(table[1+len(figures):], func(a, b []string) int { return cmp.Compare(a[0], b[0]) })
	return table
}

func valueText(values sample, metric string) string {
	v, ok := values[metric]
	switch {
	case !ok:
		return "-"
	case metric == opsPerSecond || v >= 10_000:
		return thousands(int64(v + 0.5))
	case v >= 100 || v <= -100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

func ratioText(ratios sample, metric string) string {
	v, ok := ratios[metric]
	if !ok {
		return "-"
	}
	return strconv.FormatFloat(v, 'f', 2, 64) + "x"
}

// thousands writes n with a comma between thousands.
func thousands(n int64) string {
	digits := strconv.FormatInt(n, 10)
	var b strings.Builder
	for i, digit := range digits {
		if i > 0 && digits[i-1] != '-' && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	return b.String()
}

// align writes a table: the first column to the left, the others to the right. A row
// with fewer cells than the title has its last cell left as it is.
func align(w io.Writer, table [][]string) {
	if len(table) == 0 {
		return
	}
	widths := make([]int, len(table[0]))
	for _, row := range table {
		for i, cell := range row {
			if i == 0 || len(row) >= len(table[0])-2 && len(row) > 2 {
				widths[i] = max(widths[i], utf8.RuneCountInString(cell))
			}
		}
	}
	for _, row := range table {
		var b strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", max(widths[i]-utf8.RuneCountInString(cell), 0))
			switch {
			case i == 0:
				b.WriteString("  " + cell + pad)
			case len(row) == 2 && len(table[0]) > 2:
				b.WriteString("  " + cell)
			default:
				b.WriteString("  " + pad + cell)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}
