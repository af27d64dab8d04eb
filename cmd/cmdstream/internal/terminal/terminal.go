// Package terminal prints text for people: in colour where a terminal shows it,
// plain elsewhere.
package terminal

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/colorprofile"
	"github.com/charmbracelet/x/term"
)

// Width is how many columns a line may have.
const Width = 80

var (
	title = lipgloss.NewStyle().Bold(true)
	good  = lipgloss.NewStyle().Foreground(lipgloss.Green)
	bad   = lipgloss.NewStyle().Foreground(lipgloss.Red).Bold(true)
	code  = lipgloss.NewStyle().Foreground(lipgloss.Cyan)
	faint = lipgloss.NewStyle().Faint(true)
)

// Title makes text stand out.
func Title(text string) string { return title.Render(text) }

// Good marks text as as it should be.
func Good(text string) string { return good.Render(text) }

// Bad marks text as wrong.
func Bad(text string) string { return bad.Render(text) }

// Code marks text as program text.
func Code(text string) string { return code.Render(text) }

// Faint makes text step back.
func Faint(text string) string { return faint.Render(text) }

// Screen is where text goes. It is for one goroutine at a time.
type Screen struct {
	out      *colorprofile.Writer
	live     bool // a line can be written again
	progress bool // the last line is to be
	err      error
}

// New returns a Screen on out. It is plain where out is no terminal, and where
// environ has NO_COLOR, TERM=dumb or no TERM; CLICOLOR_FORCE=1 makes it coloured
// in the first case.
func New(out *os.File, environ []string) *Screen {
	w := colorprofile.NewWriter(out, environ)
	if noColor(environ) {
		w.Profile = colorprofile.NoTTY
	}
	return &Screen{out: w, live: w.Profile > colorprofile.NoTTY && term.IsTerminal(out.Fd())}
}

// noColor follows no-color.org: any value counts, but the empty one.
func noColor(environ []string) bool {
	for _, variable := range environ {
		if value, found := strings.CutPrefix(variable, "NO_COLOR="); found && value != "" {
			return true
		}
	}
	return false
}

// Line prints a line. It takes the place of a progress line. Whether it could is told by Err.
func (s *Screen) Line(text string) {
	s.clear()
	if _, err := fmt.Fprintln(s.out, text); s.err == nil {
		s.err = err
	}
}

// Err returns the first error of Line; nil: all lines were printed.
func (s *Screen) Err() error { return s.err }

// Progress shows a line that the next one replaces. Where that can't be done it
// shows nothing.
func (s *Screen) Progress(text string) {
	if s.live {
		s.clear()
		fmt.Fprint(s.out, text)
		s.progress = true
	}
}

// clear takes the progress line away. That is no matter of colour, so it goes
// past the colour writer.
func (s *Screen) clear() {
	if s.progress {
		io.WriteString(s.out.Forward, "\r\x1b[K")
		s.progress = false
	}
}

// Bar returns a bar of up to width columns that shows the part from 0 to 1, in
// steps of an eighth of a column.
func Bar(part float64, width int) string {
	eighths := int(math.Round(min(max(part, 0), 1) * float64(width) * 8))
	bar := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		bar += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return bar + strings.Repeat(" ", width-(eighths+7)/8)
}

// Number returns n with commas between the thousands.
func Number(n int) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
