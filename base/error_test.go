package base_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
)

func TestErrorText(t *testing.T) {
	tests := []struct {
		name string
		err  *base.Error
		want string
	}{
		{"nothing but a code", &base.Error{Code: base.ErrConnLost}, "cmdstream: connection lost"},
		{"a message instead", &base.Error{Code: base.ErrFull, Message: "come back later"}, "cmdstream: come back later"},
		{"with a cause", &base.Error{Code: base.ErrConnLost, Err: io.EOF}, "cmdstream: connection lost: EOF"},
		{
			"of a command by number", &base.Error{Outcome: base.Unknown, Code: base.ErrConnLost, Seq: 7},
			"cmdstream: command seq 7: connection lost (outcome: unknown)",
		},
		{
			"of a command by type", &base.Error{Outcome: base.NotSent, Code: base.ErrEncode, Cmd: "main.Add", Err: io.ErrShortWrite},
			"cmdstream: command main.Add: encode: short write (outcome: not sent)",
		},
		{
			"of a command by both", &base.Error{Outcome: base.Rejected, Code: base.ErrBusy, Message: "full up", Seq: 3, Cmd: "main.Add"},
			"cmdstream: command main.Add (seq 3): full up (outcome: rejected)",
		},
		{
			"remote, the peer's text unchanged",
			&base.Error{Outcome: base.Failed, Code: base.ErrExec, Message: " no such  file\n", Remote: true, Seq: 3, Cmd: "main.Add", Err: io.EOF},
			" no such  file\n",
		},
		{
			"remote without a text", &base.Error{Outcome: base.Rejected, Code: base.ErrDraining, Remote: true, Seq: 3},
			"cmdstream: command seq 3: draining (outcome: rejected)",
		},
		{"of nothing at all", &base.Error{}, "cmdstream: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.err.Error(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestErrorIs(t *testing.T) {
	err := &base.Error{Code: base.ErrDeadline, Err: io.ErrUnexpectedEOF}
	wrapped := fmt.Errorf("a layer: %w", errors.Join(io.ErrNoProgress, fmt.Errorf("another: %w", err)))
	for _, err := range []error{err, wrapped} {
		for target, want := range map[error]bool{
			base.ErrDeadline:         true,
			base.Code("deadline"):    false,
			base.ErrCanceled:         false,
			context.DeadlineExceeded: true,
			context.Canceled:         false,
			io.ErrUnexpectedEOF:      true,
			io.EOF:                   false,
		} {
			if got := errors.Is(err, target); got != want {
				t.Errorf("errors.Is(%v, %v) is %v", err, target, got)
			}
		}
	}
	canceled := &base.Error{Code: base.ErrCanceled}
	if !errors.Is(canceled, context.Canceled) || errors.Is(canceled, context.DeadlineExceeded) {
		t.Error("a cancelled command does not match the context's error, or too many")
	}
	// The codes of one error within another are both found.
	outer := &base.Error{Code: base.ErrExec, Err: &base.Error{Code: base.ErrBusy}}
	if !errors.Is(outer, base.ErrExec) || !errors.Is(outer, base.ErrBusy) || errors.Is(outer, base.ErrFull) {
		t.Error("nested codes are not told apart")
	}
	// A code is a sentinel without an Error around it too.
	if !errors.Is(fmt.Errorf("a layer: %w", base.ErrBusy), base.ErrBusy) {
		t.Error("a wrapped Code is not found")
	}
	if (&base.Error{}).Unwrap() != nil {
		t.Error("an error without a cause unwraps to something")
	}
}

func TestErrorAs(t *testing.T) {
	inner := &base.Error{Outcome: base.Rejected, Code: base.ErrBusy, RetryAfter: time.Second}
	var found *base.Error
	if !errors.As(fmt.Errorf("a layer: %w", inner), &found) || found != inner {
		t.Errorf("found %v", found)
	}
	var code base.Code
	if errors.As(error(inner), &code) {
		t.Errorf("an Error is no Code, but %q was found", code)
	}
}

func TestCodeText(t *testing.T) {
	for code, want := range map[base.Code]string{
		base.ErrClosed: "closed", base.ErrDeadline: "deadline exceeded", base.ErrTooLargeCmd: "too large cmd",
		"users_own_code": "users own code", "": "",
	} {
		if got := code.Error(); got != want {
			t.Errorf("%q says %q, want %q", string(code), got, want)
		}
	}
}

func TestOutcomeOf(t *testing.T) {
	rejected := &base.Error{Outcome: base.Rejected}
	for _, test := range []struct {
		err  error
		want base.Outcome
	}{
		{nil, base.Succeeded},
		{io.EOF, base.Unknown},
		{context.DeadlineExceeded, base.Unknown},
		{base.ErrBusy, base.Unknown},
		{&base.Error{}, base.Unknown},
		{&base.Error{Outcome: base.NotSent}, base.NotSent},
		{&base.Error{Outcome: base.Failed}, base.Failed},
		{fmt.Errorf("a layer: %w", rejected), base.Rejected},
		{errors.Join(io.EOF, rejected), base.Rejected},
		// The outermost knows best.
		{&base.Error{Outcome: base.Failed, Err: rejected}, base.Failed},
	} {
		if got := base.OutcomeOf(test.err); got != test.want {
			t.Errorf("%v: the outcome is %v, want %v", test.err, got, test.want)
		}
	}
}

func TestOutcomeString(t *testing.T) {
	for outcome, want := range map[base.Outcome]string{
		base.Unknown: "unknown", base.NotSent: "not sent", base.Rejected: "rejected",
		base.Failed: "failed", base.Succeeded: "succeeded", base.Succeeded + 1: "invalid outcome",
	} {
		if got := outcome.String(); got != want {
			t.Errorf("%d says %q, want %q", outcome, got, want)
		}
	}
	var zero base.Outcome
	if zero != base.Unknown {
		t.Error("the zero outcome claims to know something")
	}
}

// A nil *Error that got into an error can be looked at like any other.
func TestANilError(t *testing.T) {
	err := fmt.Errorf("the codec says: %w", (*base.Error)(nil))
	if got := err.Error(); got != "the codec says: an *Error that is nil" {
		t.Errorf("its text is %q", got)
	}
	if errors.Is(err, base.ErrBusy) || errors.Is(err, io.EOF) || base.OutcomeOf(err) != base.Unknown {
		t.Error("it is something")
	}
}
