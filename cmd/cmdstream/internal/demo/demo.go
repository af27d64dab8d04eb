// Package demo is what `cmdstream demo` shows: a server in a process of its own,
// and a client that sends it commands and checks every answer.
package demo

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/cmdstream/cmdstream"
	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/cmd/cmdstream/internal/terminal"
)

// Options says how the demo is to be run.
type Options struct {
	// Server is the command that starts a process which calls Serve with its
	// standard input and output.
	Server []string
	// Measure is how long each throughput is measured.
	Measure time.Duration
	// Fault is what the server is to do wrong; empty: nothing.
	Fault Fault
}

// timeout bounds every command of the demo.
const timeout = 10 * time.Second

// clientName is in the client's certificate.
const clientName = "demo client"

// show is a demo under way.
type show struct {
	screen      *terminal.Screen
	options     Options
	certificate tls.Certificate // the client's
	server      *process
	cable       cable
	client      *client.Client[*Bank]
	changes     chan client.StateChange
	answers     int // that were right
}

// Run shows the demo. The error says which answer was wrong, if one was; when
// ctx ends before the demo does, it is ctx's; else it is that of the screen.
func Run(ctx context.Context, screen *terminal.Screen, options Options) error {
	began := time.Now()
	s := &show{screen: screen, options: options, changes: make(chan client.StateChange, 64)}
	defer s.close()
	for _, act := range []func(context.Context) error{
		s.open, s.commands, s.failures, s.cut, s.restart, s.secure, s.speed,
	} {
		if err := act(ctx); err != nil {
			return s.failed(ctx, err)
		}
	}
	screen.Line("")
	screen.Line(terminal.Good(fmt.Sprintf("All %s answers were right.", terminal.Number(s.answers))) +
		terminal.Faint(fmt.Sprintf(" (%.1f s)", time.Since(began).Seconds())))
	return screen.Err()
}

// failed is the end of a demo that did not go as it should.
func (s *show) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		s.screen.Line("")
		return ctx.Err()
	}
	if s.server != nil {
		// A lost connection may be the first that is heard of the process's end.
		select {
		case <-s.server.done:
			err = fmt.Errorf("%w (the server process has ended: %v)", err, s.server.cmd.ProcessState)
		case <-time.After(endTime):
		}
	}
	s.screen.Line("  " + terminal.Bad("✗ failed"))
	return fmt.Errorf("demo: %w", err)
}

// open starts the server and connects the client.
func (s *show) open(ctx context.Context) (err error) {
	if s.certificate, err = selfSigned(clientName); err != nil {
		return err
	}
	if err := s.startServer(ctx); err != nil {
		return err
	}
	s.screen.Line(terminal.Title(fmt.Sprintf("The client is process %d, the server %d, at %s", os.Getpid(), s.server.pid(), s.server.notice.Bank)))
	s.client, err = client.NewReconnect(ctx, set().Client(), s.cable.dial, client.Conf{
		Timeout:       timeout,
		Logger:        slog.New(slog.DiscardHandler),
		StateCallback: s.changed,
	})
	return err
}

// startServer starts a server process and leads the cable there.
func (s *show) startServer(ctx context.Context) (err error) {
	s.server, err = startProcess(ctx, s.options.Server, order{Certificate: s.certificate.Certificate[0], Fault: s.options.Fault})
	if err != nil {
		return err
	}
	s.cable.plugInto(s.server.notice.Bank)
	return nil
}

// changed hears of the client's states; those that nobody asks for are dropped.
func (s *show) changed(change client.StateChange) {
	select {
	case s.changes <- change:
	default:
	}
}

func (s *show) close() {
	if s.client != nil {
		s.client.Close()
	}
	if s.server != nil {
		s.server.stop()
	}
}

// title begins a part of the demo.
func (s *show) title(text string) {
	s.screen.Line("")
	s.screen.Line(terminal.Title(text))
}

// right prints what was right: n answers to what was asked.
func (s *show) right(n int, asked, answer string) {
	s.answers += n
	s.screen.Line(fmt.Sprintf("  %s %s %s", terminal.Good("✓"), terminal.Code(fmt.Sprintf("%-32s", asked)), answer))
}

// more prints a line that belongs to the one above.
func (s *show) more(text string) {
	s.screen.Line("    " + terminal.Faint(text))
}

// ask sends a command and holds the answer against the one that is right.
func ask[R comparable, C base.Runner[*Bank, R]](ctx context.Context, s *show, cmd C, want R, remark string) error {
	got, err := cmdstream.Do(ctx, s.client, cmd)
	if err != nil {
		return fmt.Errorf("%s: %w", written(cmd), err)
	}
	if got != want {
		return wrong(written(cmd), got, want)
	}
	s.right(1, written(cmd), remarked(got, remark))
	return nil
}

// remarked is an answer with a remark behind it.
func remarked(answer any, remark string) string {
	return fmt.Sprint(answer) + "  " + terminal.Faint(remark)
}

func wrong(asked string, got, want any) error {
	return fmt.Errorf("wrong answer: %s gave %v instead of %v", asked, got, want)
}

// written is a command as it is written in Go within its package.
func written(cmd any) string {
	return strings.TrimPrefix(fmt.Sprintf("%#v", cmd), "demo.")
}
