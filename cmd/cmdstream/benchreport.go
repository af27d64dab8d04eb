package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/x/term"
	"github.com/schollz/progressbar/v3"

	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/load"
	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/remote"
	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/terminal"
)

// benchResult is the JSON of a bench.
type benchResult struct {
	Addr        string           `json:"addr"`
	Command     string           `json:"command"`
	Callers     int              `json:"callers"`
	Connections int              `json:"connections"`
	Rate        float64          `json:"rate"` // 0: each caller as fast as it can
	Seconds     float64          `json:"seconds"`
	Calls       int64            `json:"calls"` // that succeeded
	PerSecond   float64          `json:"per_second"`
	Failed      map[string]int64 `json:"failed"` // by code
	Unfinished  int64            `json:"unfinished"`
	Unbegun     int64            `json:"unbegun"`
	Latency     benchLatency     `json:"latency"`
	Lost        string           `json:"lost,omitempty"`
}

// benchLatency is in nanoseconds.
type benchLatency struct {
	Min       time.Duration            `json:"min_ns"`
	Mean      time.Duration            `json:"mean_ns"`
	Deviation time.Duration            `json:"deviation_ns"`
	Max       time.Duration            `json:"max_ns"`
	Quantiles map[string]time.Duration `json:"quantiles_ns"` // by percent
}

// print prints what was measured.
func (c benchCommand) print(r load.Result, lost error) error {
	if c.JSON {
		l := r.Latencies()
		told := benchResult{
			Addr: c.Addr, Command: c.Name, Callers: c.Callers, Connections: c.Connections, Rate: c.Rate,
			Seconds: r.Elapsed.Seconds(), Calls: r.Calls, PerSecond: r.PerSecond(), Failed: r.Failed,
			Unfinished: r.Unfinished, Unbegun: r.Unbegun,
			Latency: benchLatency{Min: l.Min, Mean: l.Mean, Deviation: l.Deviation, Max: l.Max, Quantiles: map[string]time.Duration{}},
		}
		for i, quantile := range load.Quantiles {
			told.Latency.Quantiles[fmt.Sprint(quantile)] = l.At[i]
		}
		if lost != nil {
			told.Lost = remote.Text(lost)
		}
		return printJSON(told)
	}
	screen := terminal.New(os.Stdout, os.Environ())
	screen.Line(terminal.Title(remote.Clean(c.title())))
	screen.Line("")
	screen.Line(fmt.Sprintf("  %-10s %12s   %s/s for %s", "succeeded", terminal.Number(int(r.Calls)),
		terminal.Number(int(r.PerSecond()+0.5)), load.Short(r.Elapsed)))
	if failures := r.Failures(); failures > 0 {
		var codes []string
		for _, code := range slices.Sorted(maps.Keys(r.Failed)) {
			codes = append(codes, fmt.Sprintf("%s %s", remote.Clean(code), terminal.Number(int(r.Failed[code]))))
		}
		screen.Line(terminal.Bad(fmt.Sprintf("  %-10s %12s   ", "failed", terminal.Number(int(failures)))) + strings.Join(codes, ", "))
	}
	if r.Unfinished > 0 {
		screen.Line(fmt.Sprintf("  %-10s %12s   were still under way at the end", "unfinished", terminal.Number(int(r.Unfinished))))
	}
	if r.Unbegun > 0 {
		screen.Line(terminal.Bad(fmt.Sprintf("  %-10s %12s   ", "not begun", terminal.Number(int(r.Unbegun)))) + "all callers were busy: the rate was not reached")
	}
	if r.Calls > 0 {
		printLatencies(screen, r)
	}
	return screen.Err()
}

// printLatencies prints the table of latencies, with bars.
func printLatencies(screen *terminal.Screen, r load.Result) {
	l := r.Latencies()
	row := func(name string, d time.Duration) {
		screen.Line(strings.TrimRight(fmt.Sprintf("  %-10s %12s   %s", name, load.Short(d), terminal.Bar(float64(d)/float64(max(1, l.Max)), 40)), " "))
	}
	screen.Line("")
	row("min", l.Min)
	for i, quantile := range load.Quantiles {
		if float64(r.Calls)*(100-quantile) >= 100 { // else it is the maximum by another name
			row(fmt.Sprintf("p%v", quantile), l.At[i])
		}
	}
	row("max", l.Max)
	screen.Line(fmt.Sprintf("  %-10s %12s   ± %s", "mean", load.Short(l.Mean), load.Short(l.Deviation)))
}

// showProgress shows a bar on standard error, if that is a terminal, until ctx ends or
// hide is called, which takes it away.
func showProgress(ctx context.Context, progress *load.Progress, total time.Duration) (hide func()) {
	if !term.IsTerminal(os.Stderr.Fd()) || os.Getenv("TERM") == "dumb" {
		return func() {}
	}
	bar := progressbar.NewOptions64(max(1, total.Milliseconds()),
		progressbar.OptionSetWriter(os.Stderr), progressbar.OptionSetWidth(30),
		progressbar.OptionSetPredictTime(false), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "█", SaucerPadding: "░"}))
	began := time.Now()
	ctx, stop := context.WithCancel(ctx)
	var showing sync.WaitGroup
	showing.Go(func() {
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for last := int64(0); ; {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			succeeded, failed := progress.Calls()
			text := fmt.Sprintf("%s calls, %s/s", terminal.Number(int(succeeded)), terminal.Number(int(10*(succeeded-last))))
			if last = succeeded; failed > 0 {
				text += fmt.Sprintf(", %s failed", terminal.Number(int(failed)))
			}
			bar.Describe(text)
			bar.Set64(min(time.Since(began), total-time.Millisecond).Milliseconds())
		}
	})
	return func() {
		stop()
		showing.Wait()
		bar.Clear()
	}
}
