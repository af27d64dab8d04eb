package demo

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/terminal"
)

// speed shows how many commands a second go over one connection.
func (s *show) speed(ctx context.Context) error {
	s.title("One connection, 32 bytes there and back, each answer checked")
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", s.server.notice.Echo)
	if err != nil {
		return err
	}
	c, err := client.New(ctx, echoClientCodec{}, conn, client.Conf{Timeout: timeout, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer c.Close()
	// The callers have no ctx of their own: this ends them.
	defer context.AfterFunc(ctx, func() { c.Close() })()

	var all []measurement
	best := 0.0
	for _, callers := range []int{1, 64, 1024} {
		m, err := measure(c, callers, s.options.Measure, func(rate float64) {
			s.screen.Progress(terminal.Faint(fmt.Sprintf("    measuring: %s, %s commands/s", callersText(callers), terminal.Number(int(rate)))))
		})
		if err != nil {
			return err
		}
		s.answers += m.commands
		best = max(best, m.rate())
		all = append(all, m)
	}
	for _, m := range all {
		s.screen.Line(fmt.Sprintf("  %s %-13s%s %9s/s  p50 %s  p99 %s", terminal.Good("✓"), callersText(m.callers),
			terminal.Code(terminal.Bar(m.rate()/best, barWidth)), terminal.Number(int(m.rate())), duration(m.p50), duration(m.p99)))
	}
	return nil
}

func callersText(n int) string {
	if n == 1 {
		return "1 caller"
	}
	return fmt.Sprintf("%d callers", n)
}

// barWidth leaves room for the rest of the line.
const barWidth = 21

// duration writes d in 7 columns.
func duration(d time.Duration) string {
	if d < time.Millisecond {
		return fmt.Sprintf("%4d µs", d.Microseconds())
	}
	return fmt.Sprintf("%4.1f ms", float64(d)/float64(time.Millisecond))
}
