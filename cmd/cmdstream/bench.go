package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/load"
	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/remote"
	"github.com/cmdstream/cmdstream/codec/reflection"
)

type benchCommand struct {
	remote.Server
	Name string `arg:"" help:"The command's name, as cmdstream list has it."`
	body
	Callers     int           `short:"n" default:"16" help:"How many call at once."`
	Connections int           `default:"1" help:"How many connections they share."`
	Rate        float64       `placeholder:"N" help:"Begin so many a second, whatever becomes of those before; without it, each caller calls again when its last call has ended."`
	Duration    time.Duration `short:"d" default:"10s" help:"How long it is measured."`
	Warmup      time.Duration `default:"1s" help:"For how long calls do not count at first."`
	Timeout     time.Duration `default:"10s" help:"The deadline of each call."`
	SVG         string        `name:"svg" type:"path" placeholder:"FILE" help:"Draw the latencies into a file."`
	JSON        bool          `name:"json" help:"Print the result as JSON."`
}

// Help is what --help adds.
func (benchCommand) Help() string {
	return `It runs one command with the same fields over and over. The server's program must
have called Set.Reflect. The command is run once before, to see that it works.

With --rate, latencies count from when a call was due, not from when a caller was free
to make it: a server that stalls can't hide whom it has kept waiting. Without, a slow
server is called less often, and its latencies look better than those of users.

The exit code is 1 if a call failed, or the server went away: what was measured until
then is shown.

Examples:
  cmdstream bench localhost:9000 Add '{"A": 2, "B": 3}'
  cmdstream bench localhost:9000 Add --callers 256 --connections 4 --duration 30s
  cmdstream bench localhost:9000 Add --rate 5000 --svg latency.svg --json`
}

// The most that a bench takes on.
const (
	maxCallers     = 100_000
	maxConnections = 10_000
	maxRate        = 10_000_000
)

// Validate checks the numbers.
func (c benchCommand) Validate() error {
	switch {
	case c.Callers < 1 || c.Callers > maxCallers:
		return fmt.Errorf("--callers is %d: it is a number from 1 to %d", c.Callers, maxCallers)
	case c.Connections < 1 || c.Connections > maxConnections:
		return fmt.Errorf("--connections is %d: it is a number from 1 to %d", c.Connections, maxConnections)
	case c.Connections > c.Callers:
		return fmt.Errorf("%d connections are more than %d callers can use", c.Connections, c.Callers)
	case !(c.Rate >= 0 && c.Rate <= maxRate):
		return fmt.Errorf("--rate is %v: it is a number from 0 to %d", c.Rate, maxRate)
	case c.Duration <= 0:
		return fmt.Errorf("--duration is %v: it must be more than 0", c.Duration)
	case c.Warmup < 0:
		return fmt.Errorf("--warmup is %v: it can't be negative", c.Warmup)
	case c.Timeout <= 0:
		return fmt.Errorf("--timeout is %v: it must be more than 0", c.Timeout)
	}
	return c.Server.Validate()
}

// maxGrace bounds the wait for calls that are under way at the end.
const maxGrace = 5 * time.Second

// Run puts the load on.
func (c benchCommand) Run(ctx context.Context) error {
	fields, err := c.read(ctx)
	if err != nil {
		return err
	}
	plot, err := c.openPlot()
	if err != nil {
		return err
	}
	defer plot.close()
	clients, err := c.connect(ctx)
	defer func() {
		var closing sync.WaitGroup
		for _, one := range clients {
			closing.Go(func() { one.Close() })
		}
		closing.Wait()
	}()
	if err != nil {
		return err
	}
	if err := call(ctx, clients[0], c.Name, fields); err != nil {
		return interrupted(ctx, explain(ctx, clients[0], c.Name, err))
	}
	result, lost := c.measure(ctx, clients, fields)
	if err := c.print(result, lost); err != nil {
		return err
	}
	if err := plot.draw(c, result); err != nil {
		return err
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case lost != nil:
		return lost
	case result.Failures() > 0:
		return fmt.Errorf("%d of %d calls failed", result.Failures(), result.Calls+result.Failures())
	case result.Calls == 0:
		return errors.New("no call ended in time")
	}
	return nil
}

// measure puts the load on. lost is why it ended early; nil: it did not, or by ctx.
func (c benchCommand) measure(ctx context.Context, clients []*client.Client[reflection.None], fields json.RawMessage) (result load.Result, lost error) {
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	for _, one := range clients {
		go func() {
			select {
			case <-one.Done():
				stop(fmt.Errorf("the load ended early: %s", remote.Text(one.Err())))
			case <-running.Done():
			}
		}()
	}
	var progress load.Progress
	defer showProgress(running, &progress, c.Warmup+c.Duration)()
	result = load.Run(running, load.Options{
		Callers: c.Callers, Rate: c.Rate, Warmup: c.Warmup, Duration: c.Duration,
		Grace: min(c.Timeout, maxGrace), Code: codeOf,
	}, func(ctx context.Context, caller int) error {
		one := clients[caller%len(clients)]
		err := call(ctx, one, c.Name, fields)
		switch {
		case err == nil:
		case errors.Is(err, base.ErrDraining):
			stop(fmt.Errorf("the load ended early: %s", remote.Text(err)))
			return load.ErrOver
		case base.OutcomeOf(err) == base.NotSent && (one.Err() != nil || errors.Is(err, base.ErrConnLost)):
			return load.ErrOver // the client is about to end, if it has not
		}
		return err
	}, &progress)
	if ctx.Err() == nil {
		lost = context.Cause(running)
	}
	return result, lost
}

// call runs the command, to its last result.
func call(ctx context.Context, c reflection.Client, name string, fields json.RawMessage) error {
	for _, err := range reflection.Call(ctx, c, name, fields) {
		if err != nil {
			return err
		}
	}
	return nil
}

// connect makes the clients. Those that it has made it returns in any case.
func (c benchCommand) connect(ctx context.Context) (clients []*client.Client[reflection.None], err error) {
	for range c.Connections {
		one, err := remote.New(ctx, c.Server, reflection.NewCodec(), c.Timeout)
		if err != nil {
			if len(clients) > 0 {
				err = fmt.Errorf("connection %d of %d: %w", len(clients)+1, c.Connections, err)
			}
			return clients, err
		}
		clients = append(clients, one)
	}
	return clients, nil
}

// plot is the file for the SVG, opened before anything is measured; nil: there is none.
type plot struct{ file *os.File }

func (c benchCommand) openPlot() (*plot, error) {
	if c.SVG == "" {
		return nil, nil
	}
	file, err := os.OpenFile(c.SVG, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return nil, &remote.UsageError{Err: fmt.Errorf("--svg: %w", err)}
	}
	return &plot{file}, nil
}

// draw draws into the file. Where there is nothing to draw, that stays as it was.
func (p *plot) draw(c benchCommand, result load.Result) error {
	if p == nil || result.Calls == 0 {
		return nil
	}
	svg, err := result.Plot(remote.Clean(c.title()))
	if err == nil {
		p.file.Truncate(0) // of a file that is none, such as a terminal, this fails
		_, err = p.file.Write(svg)
	}
	if err != nil {
		return fmt.Errorf("--svg: %w", err)
	}
	return nil
}

// close closes the file, and takes it away if nothing was drawn into a new one.
func (p *plot) close() {
	if p == nil {
		return
	}
	info, err := p.file.Stat()
	p.file.Close()
	if err == nil && info.Mode().IsRegular() && info.Size() == 0 {
		os.Remove(p.file.Name())
	}
}

// title says what was done.
func (c benchCommand) title() string {
	return fmt.Sprintf("%s at %s, %s over %s%s", c.Name, c.Addr, many(c.Callers, "caller"), many(c.Connections, "connection"), c.atRate())
}

func (c benchCommand) atRate() string {
	if c.Rate == 0 {
		return ""
	}
	return fmt.Sprintf(", %g a second wanted", c.Rate)
}

func many(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
