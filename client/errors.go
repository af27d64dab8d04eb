package client

import (
	"errors"

	"github.com/cmdstream/cmdstream/base"
)

// unsent makes the error of a command that was not sent because of err: the end
// of a connection, or what already is the error of a command.
func unsent(code base.Code, message string, err error) *base.Error {
	var e *base.Error
	if !errors.As(err, &e) || e == nil {
		return &base.Error{Outcome: base.NotSent, Code: code, Message: message, Err: err}
	}
	copied := *e
	if copied.Outcome == base.Unknown {
		copied.Outcome = base.NotSent
	}
	return &copied
}

// withOutcome sets what is known of a command that was given up.
func withOutcome(err *base.Error, outcome base.Outcome) *base.Error {
	if err.Outcome = outcome; outcome == base.NotSent {
		err.ID = base.ID{} // nobody else knows it
	}
	return err
}

// name makes err tell its command.
func (c *Client[T]) name(k *call[T], err error) error {
	e := unsent("", "", err)
	if e.Cmd == "" {
		e.Cmd = base.NameOf(k.cmd)
	}
	return e
}

// mayHaveRun returns err, of a command that was sent again, as one that does not know
// whether it has run.
func mayHaveRun(err error, seq base.Seq, id base.ID) error {
	var e *base.Error
	if !errors.As(err, &e) || e == nil || e.Outcome != base.NotSent && e.Outcome != base.Rejected {
		return err
	}
	unknown := *e
	unknown.Outcome, unknown.Seq, unknown.ID = base.Unknown, seq, id
	return &unknown
}
