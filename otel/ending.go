package otel

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/cmdstream/cmdstream/base"
)

// Bounds of what a peer may make this side tell.
const (
	maxText  = 256 // bytes of an error's text
	maxCode  = 64  // bytes of a code
	maxCodes = 100 // codes that are not this library's
)

// errBroken is the error of a command that did not return. The panic itself goes on, and is
// the server's to report.
var errBroken = errors.New("it panicked, or ended its goroutine by runtime.Goexit")

// broken is the ending of a command, until another is known.
func broken(outcome base.Outcome) ending {
	return ending{outcome: outcome, code: base.ErrPanic, err: errBroken}
}

// endingOf tells how a command ended at its client.
func endingOf(err error) ending {
	if err == nil {
		return succeeded
	}
	return ending{outcome: base.OutcomeOf(err), code: codeOf(err, other), err: err}
}

// endingAt tells how a command ended at the server that ran it with ctx: as the client
// sees it.
func endingAt(ctx context.Context, err error, answered bool) ending {
	switch {
	case answered:
		return succeeded
	case ctx.Err() != nil: // nobody hears err
		cause := context.Cause(ctx)
		ended := ending{outcome: base.OutcomeOf(cause), code: codeOf(cause, base.ErrCanceled), err: cause}
		if ended.code == base.ErrCanceled {
			ended.err = nil
		}
		return ended
	case err == nil:
		return ending{outcome: base.Failed, code: base.ErrNoResult, err: errNoResult}
	}
	ended := ending{outcome: base.Failed, code: codeOf(err, base.ErrExec), err: err}
	var e *base.Error
	if errors.As(err, &e) && e != nil && e.Outcome == base.Rejected && !e.Remote && e.Cmd == "" {
		ended.outcome = base.Rejected // by a middleware or an Invoker, in so many words
	}
	return ended
}

var errNoResult = errors.New("it returned without a last result")

// codeOf returns the code of an error, without if it has none.
func codeOf(err error, without base.Code) base.Code {
	var e *base.Error
	switch {
	case errors.As(err, &e) && e != nil && e.Code != "":
		return e.Code
	case errors.Is(err, context.Canceled):
		return base.ErrCanceled
	case errors.Is(err, context.DeadlineExceeded):
		return base.ErrDeadline
	}
	return without
}

// textOf returns an error's text, as far as a span is to have it.
func textOf(err error) (text string) {
	defer func() {
		if recover() != nil { // it is the command's own
			text = fmt.Sprintf("an error of type %T, whose Error panicked", err)
		}
	}()
	text = err.Error()
	if len(text) > maxText {
		text = text[:maxText] + "…"
	}
	return strings.ToValidUTF8(text, "?")
}

// codeNames bounds the codes that are told: a peer may make up any number of them, and a
// backend keeps a series for each.
type codeNames struct {
	mu    sync.Mutex // protects others
	found map[base.Code]bool
}

// name returns the code as it is told.
func (c *codeNames) name(code base.Code) string {
	if known[code] {
		return string(code)
	}
	if len(code) > maxCode || strings.ContainsFunc(string(code), func(r rune) bool { return r <= ' ' || r > '~' }) {
		return other
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.found[code] {
		if len(c.found) == maxCodes {
			return other
		}
		if c.found == nil {
			c.found = make(map[base.Code]bool)
		}
		c.found[code] = true
	}
	return string(code)
}

// known are the codes of this library.
var known = map[base.Code]bool{
	base.ErrClosed: true, base.ErrConnLost: true, base.ErrNotConnected: true, base.ErrFull: true,
	base.ErrDraining: true, base.ErrUnauthorized: true, base.ErrVersion: true, base.ErrServerInfo: true,
	base.ErrConf: true, base.ErrProtocol: true, base.ErrHello: true, base.ErrKeepalive: true,
	base.ErrIdle: true, base.ErrNoClient: true, base.ErrSlowReader: true, base.ErrSessionLost: true,
	base.ErrStaleEpoch: true, base.ErrBusy: true, base.ErrDeadline: true, base.ErrCanceled: true,
	base.ErrTooLargeCmd: true, base.ErrTooLargeResult: true, base.ErrUnknownCmd: true, base.ErrNilCmd: true,
	base.ErrNilResults: true, base.ErrEncode: true, base.ErrDecode: true, base.ErrExec: true,
	base.ErrPanic: true, base.ErrNoResult: true, base.ErrSeveralResults: true, base.ErrCommandEnded: true,
	base.ErrUnsupported: true,
}
