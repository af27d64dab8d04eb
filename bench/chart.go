package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/go-analyze/charts"

	"github.com/cmdstream/cmdstream/bench/systems"
)

// A drawing is a chart of one metric: a bar for each system and workload.
type drawing struct {
	file, title, metric string
	works               []string
}

var drawings = []drawing{
	{"throughput", "Calls a second, in thousands: 32 bytes there and back, one connection (* one each)", opsPerSecond, []string{"echo-64", "echo-1024"}},
	{"latency", "Microseconds of a lone caller's call, median: 32 bytes there and back", median, []string{"echo-1"}},
	{"cpu", "Microseconds of CPU of a call, both ends: 32 bytes there and back (* a connection each)", cpu, []string{"echo-64", "echo-1024"}},
	{"deadlines", "Calls a second, in thousands, each with a deadline (* a connection each)", opsPerSecond, []string{"timeout-64", "timeout-1024"}},
	{"streams", "Results a second, in thousands", opsPerSecond, []string{"stream-1", "stream-64"}},
}

// charts draws what there are figures for, one file for each drawing and mode.
func (r *results) charts(folder string) error {
	for _, d := range drawings {
		for _, m := range bothModes {
			picture, err := r.draw(d, m)
			if err != nil {
				return err
			}
			if picture == nil {
				continue
			}
			if err := os.WriteFile(filepath.Join(folder, d.file+"-"+string(m)+".svg"), picture, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// draw returns an SVG picture; nil if there are no figures. The limits are in it only
// where a caller has a connection of its own to them: many callers who are not told
// apart would dwarf all others.
func (r *results) draw(d drawing, m mode) ([]byte, error) {
	var names []string
	values := make([][]float64, len(d.works))
	for _, f := range r.of(d.works[0], m) {
		if f.Missing != "" || f.Kind == systems.Limit && d.works[0] != "echo-1" {
			continue
		}
		names = append(names, shownName(f))
		for i, work := range d.works {
			v, _ := r.value(f.System, work, m, d.metric)
			if d.metric == opsPerSecond {
				v /= 1e3
			}
			values[i] = append(values[i], v)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	// The first bar is drawn at the bottom.
	slices.Reverse(names)
	for i := range values {
		slices.Reverse(values[i])
	}
	format := func(v float64) string {
		if v > 0 && v < 10 {
			return strconv.FormatFloat(v, 'f', 1, 64)
		}
		return thousands(int64(v + 0.5))
	}
	option := charts.NewBarChartOptionWithData(values)
	option.Horizontal = true
	option.Title.Text = d.title
	option.Title.Subtext = processes(m) + "; " + r.Machine.CPU + ", " + strconv.Itoa(r.Machine.Cores) + " cores, " + r.Machine.Go + ", " + r.Machine.Date
	option.Title.FontStyle.FontSize = 13
	option.Padding = charts.Box{Top: 16, Right: 48, Bottom: 16, Left: 16}
	option.CategoryAxis.Labels = names
	option.ValueFormatter = format
	option.ValueAxis[0].LabelCount = 7 // there is room for these, whatever the numbers
	if len(d.works) > 1 {
		option.Legend.SeriesNames = d.works
		option.Legend.Offset = charts.OffsetStr{Left: charts.PositionRight, Top: "32"}
	}
	for i := range option.SeriesList {
		option.SeriesList[i].Label.Show = charts.Ptr(true)
		option.SeriesList[i].Label.ValueFormatter = format
	}
	painter := charts.NewPainter(charts.PainterOptions{
		OutputFormat: charts.ChartOutputSVG, Width: 960, Height: 150 + len(names)*(14+16*len(d.works)),
	})
	if err := painter.BarChart(option); err != nil {
		return nil, err
	}
	return painter.Bytes()
}
