package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/load"
	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/ping"
	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/remote"
	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/terminal"
	"github.com/cmdstream/cmdstream/transport"
)

type pingCommand struct {
	remote.Server
	Count    int           `short:"c" placeholder:"N" help:"How many pings; without it, until Ctrl-C."`
	Interval time.Duration `short:"i" default:"1s" help:"The time between two."`
	Timeout  time.Duration `short:"W" default:"2s" help:"How long an answer may take."`
	JSON     bool          `name:"json" help:"Print the statistics, as JSON, and nothing else."`
}

// Help is what --help adds.
func (pingCommand) Help() string {
	return `It measures round trips by the protocol's own pings, over one connection: no
command runs. A ping without an answer in time is lost, and the next goes over a new
connection. Ctrl-C ends it, with the statistics. The exit code is 1 if any was lost.

Examples:
  cmdstream ping localhost:9000
  cmdstream ping -c 100 -i 10ms --json localhost:9000`
}

// Validate checks the numbers.
func (c pingCommand) Validate() error {
	switch {
	case c.Count < 0:
		return fmt.Errorf("--count is %d: it can't be negative", c.Count)
	case c.Interval < ping.MinInterval:
		return fmt.Errorf("--interval is %v: a server takes one ping in %v", c.Interval, ping.MinInterval)
	case c.Timeout <= 0:
		return fmt.Errorf("--timeout is %v: it must be more than 0", c.Timeout)
	}
	return c.Server.Validate()
}

// Run pings.
func (c pingCommand) Run(ctx context.Context) error {
	screen := terminal.New(os.Stdout, os.Environ())
	stats, err := ping.Run(ctx, ping.Options{
		Connect: func(ctx context.Context) (*transport.Conn, error) {
			conn, _, err := c.Connect(ctx, remote.Conf{})
			return conn, err
		},
		Count: c.Count, Interval: c.Interval, Timeout: c.Timeout,
	}, func(a ping.Answer) {
		switch {
		case c.JSON:
		case a.Err != nil:
			screen.Line(fmt.Sprintf("%s ping %d is lost: %s", terminal.Bad("✗"), a.Number, remote.Text(a.Err)))
		default:
			screen.Line(fmt.Sprintf("%s ping %d: %s", terminal.Good("✓"), a.Number, load.Short(a.Time)))
		}
	})
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(map[string]any{
			"addr": c.Addr, "sent": stats.Sent, "received": stats.Received, "loss": stats.Loss(),
			"rtt_ns": map[string]time.Duration{
				"min": stats.Min, "median": stats.Median, "p99": stats.P99, "max": stats.Max, "mean": stats.Mean, "deviation": stats.Deviation,
			},
		})
	} else {
		printPings(screen, c.Addr, stats)
		err = screen.Err()
	}
	if lost := stats.Sent - stats.Received; lost > 0 && err == nil {
		err = fmt.Errorf("%d of %d pings were lost", lost, stats.Sent)
	}
	return err
}

func printPings(screen *terminal.Screen, addr string, stats ping.Stats) {
	screen.Line("")
	screen.Line(terminal.Title(addr) + fmt.Sprintf(": %s sent, %s answered, %.3g %% lost",
		terminal.Number(stats.Sent), terminal.Number(stats.Received), 100*stats.Loss()))
	if stats.Received > 0 {
		screen.Line(fmt.Sprintf("min %s  median %s  p99 %s  max %s  mean %s ± %s", load.Short(stats.Min), load.Short(stats.Median),
			load.Short(stats.P99), load.Short(stats.Max), load.Short(stats.Mean), load.Short(stats.Deviation)))
	}
}
