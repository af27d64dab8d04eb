package load

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/go-analyze/charts"
)

// steps is how many points a plot has for each nine of a quantile.
const steps = 10

// Plot draws the latencies by their quantiles, as SVG. Each nine takes the same width: 0,
// 90, 99, 99.9 percent and so on, as far as there were enough calls.
func (r Result) Plot(title string) ([]byte, error) {
	if r.Latency == nil || r.Latency.TotalCount() == 0 {
		return nil, errors.New("there is nothing to plot: no call succeeded")
	}
	nines := int(min(5, max(1, math.Floor(math.Log10(float64(r.Latency.TotalCount()))))))
	labels := make([]string, nines*steps+1)
	points := make([]float64, len(labels))
	for i := range labels {
		quantile := 100 * (1 - math.Pow(10, -float64(i)/steps))
		points[i] = float64(r.at(quantile))
		labels[i] = strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.3f", quantile), "0"), ".") + "%"
	}
	options := charts.NewLineChartOptionWithData([][]float64{points})
	options.Title = charts.TitleOption{Text: title, FontStyle: charts.FontStyle{FontSize: 13}}
	options.Padding = charts.Box{Left: 20, Top: 20, Right: 30, Bottom: 20}
	options.Symbol.Shape = charts.SymbolNone
	options.LineStrokeWidth = 2
	options.Legend.Show = charts.Ptr(false)
	options.XAxis.Title = "quantile"
	options.XAxis.Labels = labels
	options.XAxis.LabelCount = nines + 1
	options.XAxis.BoundaryGap = charts.Ptr(false)
	options.YAxis[0].Title = "latency"
	options.YAxis[0].Min = charts.Ptr(0.0)
	options.ValueFormatter = func(v float64) string { return Short(time.Duration(v)) }
	options.YAxis[0].ValueFormatter = options.ValueFormatter
	painter := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Width: 900, Height: 480})
	if err := painter.LineChart(options); err != nil {
		return nil, fmt.Errorf("the plot: %w", err)
	}
	svg, err := painter.Bytes()
	if err != nil {
		return nil, fmt.Errorf("the plot: %w", err)
	}
	return svg, nil
}
