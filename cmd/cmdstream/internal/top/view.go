package top

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/load"
	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/remote"
	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/terminal"
	"github.com/cmdstream/cmdstream/debug"
)

// orders are those in which commands are shown, by what counts most.
var orders = []struct {
	name    string
	compare func(a, b debug.CommandInfo) int
}{
	{"rate", func(a, b debug.CommandInfo) int { return cmp.Compare(last(b.PerSecond), last(a.PerSecond)) }},
	{"open", func(a, b debug.CommandInfo) int { return cmp.Compare(b.InFlight, a.InFlight) }},
	{"p99", func(a, b debug.CommandInfo) int { return cmp.Compare(b.Latency.P99, a.Latency.P99) }},
	{"failed", func(a, b debug.CommandInfo) int { return cmp.Compare(b.Failed, a.Failed) }},
	{"name", func(a, b debug.CommandInfo) int { return cmp.Compare(a.Name, b.Name) }},
}

// last is the newest of the counts of seconds.
func last(seconds []uint32) uint32 {
	if len(seconds) == 0 {
		return 0
	}
	return seconds[len(seconds)-1]
}

// render returns the lines of the screen.
func (m model) render() string {
	lines := m.head()
	foot := m.foot()
	room := m.height - len(lines) - len(foot) - 1
	lines = append(lines, m.commands(max(1, room))...)
	for len(lines) < m.height-len(foot) {
		lines = append(lines, "")
	}
	lines = append(lines[:max(0, m.height-len(foot))], foot...)
	for i, line := range lines {
		lines[i] = ansi.Truncate(line, m.width, "…")
	}
	return strings.Join(lines, "\n")
}

// head is about the whole program, its servers and its clients.
func (m model) head() []string {
	s := m.snapshot
	shown, _, _ := strings.Cut(m.page.url, "?")
	state := ""
	switch {
	case m.paused:
		state = "  paused"
	case m.err != nil:
		state = fmt.Sprintf("  as it was at %s", s.Time.Local().Format(time.TimeOnly))
	}
	lines := []string{
		terminal.Title(remote.Clean(shown)) + terminal.Faint(fmt.Sprintf("  counts for %v", s.Time.Sub(s.Since).Round(time.Second))) + terminal.Bad(state),
	}
	for _, one := range s.Servers {
		st := one.Stats
		text := fmt.Sprintf("%s  %s connections, %s sessions", terminal.Code(name(one.Name, "server")), number(st.Connections), number(st.Sessions))
		if st.DetachedSessions > 0 {
			text += fmt.Sprintf(" (%s away)", number(st.DetachedSessions))
		}
		text += fmt.Sprintf("  %s running, %s queued  %s held", number(st.Running), number(st.Queued), size(st.Bytes))
		if st.KeptBytes > 0 {
			text += fmt.Sprintf(", %s kept", size(st.KeptBytes))
		}
		lines = append(lines, text)
		if troubles := troubles(st); troubles != "" {
			lines = append(lines, "  "+terminal.Bad(troubles))
		}
	}
	for _, one := range s.Clients {
		text := fmt.Sprintf("%s  %s, %s connections", terminal.Code(name(one.Name, "client")), remote.Clean(one.State), number(len(one.Connections)))
		if one.Error != "" {
			text += "  " + terminal.Bad(remote.Clean(one.Error))
		}
		if found := troubles(one.Stats); found != "" {
			text += "  " + terminal.Bad(found)
		}
		lines = append(lines, text)
	}
	// The commands need some room, too.
	return append(lines[:min(len(lines), max(1, m.height-6))], "")
}

// everyday are the counters that tell of no trouble.
var everyday = []string{"SessionsOpened", "SessionsResumed", "SessionsExpired", "SentAgain", "Deadlines"}

// troubles names the counters of a server's Stats, or a client's, that tell of trouble and are
// not 0.
func troubles(stats any) string {
	var found []string
	v := reflect.ValueOf(stats)
	for i := range v.NumField() {
		field := v.Type().Field(i).Name
		if v.Field(i).Kind() == reflect.Uint64 && v.Field(i).Uint() > 0 && !slices.Contains(everyday, field) {
			found = append(found, fmt.Sprintf("%s %d", field, v.Field(i).Uint()))
		}
	}
	return strings.Join(found, ", ")
}

const (
	figures = "%8s %6s %6s %8s %8s %8s"
	wide    = 49 // columns of the figures
	sparks  = 20 // seconds of a sparkline
)

// commands is the table of the commands, in so many lines.
func (m model) commands(room int) []string {
	column := max(12, m.width-wide-2)
	drawn := 0
	if column > 24+sparks+2 {
		drawn = sparks
		column -= sparks + 2
	}
	lines := []string{terminal.Faint(fmt.Sprintf("%-*s  "+figures, column, "COMMAND, by "+orders[m.order].name, "/s", "open", "failed", "p50", "p99", "max"))}
	all := slices.Clone(m.snapshot.Commands)
	slices.SortStableFunc(all, orders[m.order].compare)
	if len(all) == 0 {
		return append(lines, terminal.Faint("none has come yet"))
	}
	for _, c := range all[min(m.first, len(all)-1):] {
		if len(lines) == room+1 {
			break
		}
		text := remote.Clean(c.Name)
		if c.Side == debug.ClientSide {
			text += " (client)"
		}
		text = ansi.Truncate(text, column, "…")
		text += strings.Repeat(" ", max(0, column-ansi.StringWidth(text)))
		row := fmt.Sprintf(figures, terminal.Number(int(last(c.PerSecond))), number(int(c.InFlight)), number(int(min(c.Failed, 1<<62))),
			load.Short(c.Latency.P50), load.Short(c.Latency.P99), load.Short(c.Latency.Max))
		if last(c.FailedPerSecond) > 0 {
			row = terminal.Bad(row)
		}
		line := text + "  " + row
		if drawn > 0 {
			line += "  " + terminal.Good(spark(c.PerSecond, drawn))
		}
		lines = append(lines, line)
	}
	return lines
}

// foot is what is worth a look, and the keys.
func (m model) foot() []string {
	var lines []string
	if oldest := m.snapshot.Oldest; len(oldest) > 0 {
		o := oldest[0]
		lines = append(lines, fmt.Sprintf("oldest    %s, open for %s %s", short(o.Name), load.Short(o.Age), terminal.Faint(remote.Clean(o.Remote))))
	}
	if name, failure := newestFailure(m.snapshot.Commands); failure != nil {
		lines = append(lines, fmt.Sprintf("failed    %s %s: %s %s", failure.Time.Local().Format(time.TimeOnly), short(name),
			terminal.Bad(remote.Clean(failure.Text)), terminal.Faint(remote.Clean(failure.Outcome+" "+failure.Code))))
	}
	if m.err != nil {
		err := m.err
		if failed, ok := errors.AsType[*remote.ConnectError](err); ok {
			err = failed.Err // the address is at the top
		}
		lines = append(lines, terminal.Bad("no answer ")+remote.Text(err))
	}
	return append(lines, terminal.Faint(fmt.Sprintf("q quit  s sort  p pause  ↑↓ scroll  every %v", m.interval)))
}

func newestFailure(commands []debug.CommandInfo) (name string, newest *debug.FailureInfo) {
	for _, c := range commands {
		if len(c.Failures) > 0 && (newest == nil || c.Failures[0].Time.After(newest.Time)) {
			name, newest = c.Name, &c.Failures[0]
		}
	}
	return name, newest
}

// spark draws the newest of the counts of seconds, each as a block.
func spark(seconds []uint32, width int) string {
	seconds = seconds[max(0, len(seconds)-width):]
	most := max(1, slices.Max(append(seconds[:len(seconds):len(seconds)], 0)))
	var b strings.Builder
	for _, n := range seconds {
		switch {
		case n == 0:
			b.WriteByte(' ')
		default:
			b.WriteRune([]rune("▁▂▃▄▅▆▇█")[int(uint64(n)*7/uint64(most))])
		}
	}
	return b.String()
}

// short is a name that leaves room for other things in its line.
func short(name string) string { return ansi.Truncate(remote.Clean(name), 30, "…") }

func name(given, otherwise string) string { return cmp.Or(remote.Clean(given), otherwise) }

func number(n int) string { return terminal.Number(n) }

// size shows bytes with their unit.
func size(bytes int) string {
	n, unit := float64(bytes), 0
	for n >= 1000 && unit < 4 {
		n /= 1000
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", bytes)
	}
	return fmt.Sprintf("%.3g %cB", n, "kMGT"[unit-1])
}
