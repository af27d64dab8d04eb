package top

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/cmdstream/cmdstream/debug"
)

// The smallest terminal, in columns and lines.
const (
	MinWidth  = 60
	MinHeight = 10
)

// TooSmall is what is wrong with a terminal that is smaller than that.
func TooSmall(width, height int) error {
	return fmt.Errorf("the terminal has %d columns and %d lines, top needs at least %d and %d", width, height, MinWidth, MinHeight)
}

// Show shows the page on a terminal, a new snapshot every interval, until the user quits,
// which is no error, or ctx ends. A page that does not answer for a while is waited for.
func Show(ctx context.Context, page *Page, first *debug.Snapshot, interval time.Duration, in io.Reader, out io.Writer, environ []string) error {
	m := model{ctx: ctx, page: page, interval: interval, snapshot: first}
	_, err := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out), tea.WithEnvironment(environ), tea.WithoutSignalHandler()).Run()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, tea.ErrInterrupted):
		return nil
	}
	return err
}

// model is what is shown. It is a value: each message makes another.
type model struct {
	ctx      context.Context
	page     *Page
	interval time.Duration

	snapshot      *debug.Snapshot
	err           error // why the last question had no answer; nil: it had one
	width, height int   // of the terminal; 0: not known yet
	order         int   // of the commands, among orders
	first         int   // command that is shown: it was scrolled
	paused        bool
}

// answer is a message: what the page has said, and asked that it is time to ask.
type (
	answer struct {
		snapshot *debug.Snapshot
		err      error
	}
	asked struct{}
)

// Init implements tea.Model.
func (m model) Init() tea.Cmd { return m.wait() }

func (m model) wait() tea.Cmd {
	return tea.Tick(m.interval, func(time.Time) tea.Msg { return asked{} })
}

func (m model) ask() tea.Msg {
	snapshot, err := m.page.Snapshot(m.ctx)
	return answer{snapshot, err}
}

// Update implements tea.Model.
func (m model) Update(message tea.Msg) (tea.Model, tea.Cmd) {
	switch message := message.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = message.Width, message.Height
	case asked:
		if m.paused {
			return m, m.wait()
		}
		return m, m.ask
	case answer:
		if m.err = message.err; m.err == nil && !m.paused {
			m.snapshot = message.snapshot
		}
		return m, m.wait()
	case tea.KeyPressMsg:
		return m.press(message.String())
	}
	return m, nil
}

// press is what a key does.
func (m model) press(key string) (tea.Model, tea.Cmd) {
	switch key {
	case "q", "esc", "ctrl+c":
		return m, tea.Quit
	case "s":
		m.order, m.first = (m.order+1)%len(orders), 0
	case "p", "space":
		m.paused = !m.paused
	case "down", "j":
		m.first++
	case "up", "k":
		m.first--
	case "pgdown":
		m.first += 10
	case "pgup":
		m.first -= 10
	case "home":
		m.first = 0
	}
	m.first = max(0, min(m.first, len(m.snapshot.Commands)-1))
	return m, nil
}

// View implements tea.Model.
func (m model) View() tea.View {
	view := tea.NewView("")
	view.AltScreen = true
	switch {
	case m.width == 0: // not known yet
	case m.width < MinWidth || m.height < MinHeight:
		view.Content = ansi.Wordwrap(TooSmall(m.width, m.height).Error(), m.width, "")
	default:
		view.Content = m.render()
	}
	return view
}
