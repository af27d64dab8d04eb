package main

import (
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
	fmt.Fprintf(w, "Medians of %d rounds of %gs. \"x peer\" and \"x limit\" are multiples of the best peer's and of the limit's ops/s.\nA system with a * has a connection for each caller.\n", r.Rounds, r.Duration)
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
			continue
		}
		row := []string{shownName(f)}
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
		for _, to := range []struct {
			whom   string
			ratios sample
		}{{"best peer", f.ToPeer}, {"limit", f.ToLimit}} {
			if len(to.ratios) == 0 {
				continue
			}
			row := []string{f.System + " / " + to.whom}
			for _, c := range shown {
				row = append(row, ratioText(to.ratios, c.metric))
			}
			table = append(table, row)
		}
	}
	return append(table, missingRows(figures)...)
}

// missingRows has a line for each run that failed, and one for those that have no way
// to do the work.
func missingRows(figures []*figure) [][]string {
	var rows [][]string
	var unable []string
	for _, f := range figures {
		switch f.Missing {
		case "":
		case errNotApplicable.Error():
			unable = append(unable, f.System)
		default:
			rows = append(rows, []string{f.System + " " + f.Missing})
		}
	}
	if len(unable) > 0 {
		rows = append(rows, []string{errNotApplicable.Error() + ": " + strings.Join(unable, ", ")})
	}
	return rows
}

// shownName marks systems whose callers have connections of their own.
func shownName(f *figure) string {
	if system, err := systems.ByName(f.System); err == nil && system.Info().OwnConns {
		return f.System + "*"
	}
	return f.System
}

func valueText(values sample, metric string) string {
	v, ok := values[metric]
	switch {
	case !ok:
		return "-"
	case metric == opsPerSecond:
		return thousands(int64(v + 0.5))
	}
	return numberText(v)
}

// numberText writes a number with about three digits that count.
func numberText(v float64) string {
	switch {
	case v >= 10_000:
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
// of one cell is a remark and takes the room that it needs.
func align(w io.Writer, table [][]string) {
	var widths []int
	for _, row := range table {
		for i, cell := range row {
			if len(row) == 1 {
				continue
			}
			for len(widths) <= i {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range table {
		var b strings.Builder
		for i, cell := range row {
			pad := ""
			if len(row) > 1 {
				pad = strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			}
			if i == 0 {
				b.WriteString("  " + cell + pad)
			} else {
				b.WriteString("  " + pad + cell)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}
