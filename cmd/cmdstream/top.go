package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/charmbracelet/x/term"

	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/remote"
	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/top"
)

type topCommand struct {
	Addr string `arg:"" help:"The debug page: HOST:PORT, or its URL."`
	remote.Security
	Interval time.Duration `short:"i" default:"1s" help:"The time between two looks."`
	JSON     bool          `name:"json" help:"Print snapshots, one a line, as package debug has them."`
	Count    int           `short:"c" placeholder:"N" help:"With --json: how many; without it, until Ctrl-C."`
}

// Help is what --help adds.
func (topCommand) Help() string {
	return `It shows what a program's debug page says, as package debug serves it, at
/debug/cmdstream unless a URL names another path: servers and clients, and of each type
of commands the rate of the last second, how many are open and have failed, and the
latencies since the page was made. The blocks are the last twenty seconds.

Keys: q quits, s sorts by something else, p pauses, the arrows scroll.

Examples:
  cmdstream top localhost:8080
  cmdstream top https://example.com/internal/cmdstream --ca ca.pem
  cmdstream top localhost:8080 --json -c 1`
}

// minInterval is how often a page is asked at most.
const minInterval = 100 * time.Millisecond

// Validate checks the numbers.
func (c topCommand) Validate() error {
	switch {
	case c.Interval < minInterval:
		return fmt.Errorf("--interval is %v: it must be %v at least", c.Interval, minInterval)
	case c.Count < 0:
		return fmt.Errorf("--count is %d: it can't be negative", c.Count)
	case c.Count > 0 && !c.JSON:
		return errors.New("--count goes with --json")
	}
	return nil
}

// Run watches.
func (c topCommand) Run(ctx context.Context) error {
	page, err := top.NewPage(c.Addr, c.Security)
	if err != nil {
		return err
	}
	defer page.Close()
	if c.JSON {
		return c.printAll(ctx, page)
	}
	if !term.IsTerminal(os.Stdout.Fd()) || !term.IsTerminal(os.Stdin.Fd()) || os.Getenv("TERM") == "dumb" {
		return &remote.UsageError{Err: errors.New("top needs a terminal: --json is for all else")}
	}
	if width, height, err := term.GetSize(os.Stdout.Fd()); err == nil && (width < top.MinWidth || height < top.MinHeight) {
		return top.TooSmall(width, height)
	}
	first, err := page.Snapshot(ctx)
	if err != nil {
		return err
	}
	return top.Show(ctx, page, first, c.Interval, os.Stdin, os.Stdout, os.Environ())
}

// printAll prints snapshots. Ctrl-C is its usual end.
func (c topCommand) printAll(ctx context.Context, page *top.Page) error {
	ticker := time.NewTicker(c.Interval)
	defer ticker.Stop()
	for n := 1; ; n++ {
		snapshot, err := page.Snapshot(ctx)
		switch {
		case ctx.Err() != nil && n > 1:
			return nil
		case err != nil:
			return err
		}
		if err := printJSON(snapshot); err != nil || n == c.Count {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}
