package base

import "errors"

// Outcome is what is known about a command that has ended.
type Outcome uint8

const (
	// Unknown: the command may have run, wholly, in part or not at all. It is
	// also the outcome of errors that are not this library's.
	Unknown Outcome = iota
	// NotSent: the command never left the client. Sending it again is safe.
	NotSent
	// Rejected: the server, or the client on the server's word, refused the
	// command before running it. Sending it again is safe, if of use.
	Rejected
	// Failed: the command ran and ended in an error, in a panic, or in a result
	// that could not be encoded or decoded.
	Failed
	// Succeeded: the command ran and its last result has arrived.
	Succeeded
)

var outcomeNames = [...]string{"unknown", "not sent", "rejected", "failed", "succeeded"}

// String returns the outcome in lower-case words.
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return "invalid outcome"
}

// OutcomeOf tells what err says about its command: [Succeeded] for nil, the
// Outcome of the [Error] in err's tree, and [Unknown] where there is none.
func OutcomeOf(err error) Outcome {
	if err == nil {
		return Succeeded
	}
	var e *Error
	if errors.As(err, &e) && e != nil {
		return e.Outcome
	}
	return Unknown
}
