package base

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Code names the cause of an error in one word that travels. Every Code is an
// error itself, so it serves as the sentinel too:
//
//	if errors.Is(err, base.ErrBusy) { … }
//
// A command may end with a code of the user's own: its Exec returns an [*Error]
// that carries it.
type Code string

// The codes of this library.
const (
	// ErrClosed: the client or server was closed, here.
	ErrClosed Code = "closed"
	// ErrConnLost: the connection ended while the command was open.
	ErrConnLost Code = "connection_lost"
	// ErrNotConnected: no connection came up before the command's time was over.
	ErrNotConnected Code = "not_connected"
	// ErrFull: the server has as many clients as its WorkersCount allows.
	ErrFull Code = "full"
	// ErrDraining: the server is shutting down and takes no more commands.
	ErrDraining Code = "draining"
	// ErrUnauthorized: the server does not accept this client.
	ErrUnauthorized Code = "unauthorized"
	// ErrVersion: the two sides speak different versions of the wire.
	ErrVersion Code = "version"
	// ErrServerInfo: the server's ServerInfo is not the one the client expects.
	ErrServerInfo Code = "server_info"
	// ErrConf: a configuration, or an argument, can't be used.
	ErrConf Code = "configuration"
	// ErrProtocol: the peer broke a rule of the wire, or speaks another protocol.
	ErrProtocol Code = "protocol"
	// ErrHello: the hello did not complete in its time.
	ErrHello Code = "hello_timeout"
	// ErrKeepalive: the peer did not answer a ping in time.
	ErrKeepalive Code = "keepalive"
	// ErrIdle: the client sent nothing for the server's ReceiveTimeout.
	ErrIdle Code = "idle"
	// ErrNoClient: no client came within the server's FirstConnTimeout.
	ErrNoClient Code = "no_client"
	// ErrSlowReader: the peer did not read for as long as the write timeout.
	ErrSlowReader Code = "slow_reader"
	// ErrSessionLost: the server does not hold the client's session any more: it was
	// restarted, is another one, or the session's time was over. Or it does not let this
	// client resume it: then ErrUnauthorized is in the error's tree, too.
	ErrSessionLost Code = "session_lost"
	// ErrStaleEpoch: the session has gone on over a newer connection.
	ErrStaleEpoch Code = "stale_epoch"

	// ErrBusy: too many commands are running already.
	ErrBusy Code = "busy"
	// ErrDeadline: the command's deadline passed. It matches
	// context.DeadlineExceeded too.
	ErrDeadline Code = "deadline_exceeded"
	// ErrCanceled: the caller gave the command up. It matches context.Canceled
	// too.
	ErrCanceled Code = "canceled"
	// ErrTooLargeCmd: the command is larger than the server's MaxCmdSize.
	ErrTooLargeCmd Code = "too_large_cmd"
	// ErrTooLargeResult: a result is larger than the client's MaxResultSize.
	ErrTooLargeResult Code = "too_large_result"
	// ErrUnknownCmd: the peer, or the set of commands, has no such command.
	ErrUnknownCmd Code = "unknown_cmd"
	// ErrNilCmd: the command was nil.
	ErrNilCmd Code = "nil_cmd"
	// ErrNilResults: the results channel was nil.
	ErrNilResults Code = "nil_results"
	// ErrEncode: a codec could not encode.
	ErrEncode Code = "encode"
	// ErrDecode: a codec could not decode.
	ErrDecode Code = "decode"
	// ErrExec: Exec, or the Invoker, returned an error; its text is the message.
	ErrExec Code = "exec"
	// ErrPanic: the command's own code panicked.
	ErrPanic Code = "panic"
	// ErrNoResult: Exec returned nil without having sent a last result.
	ErrNoResult Code = "no_result"
	// ErrSeveralResults: Do was used for a command that sends several results.
	ErrSeveralResults Code = "several_results"
	// ErrCommandEnded: a Proxy was used after its command had ended.
	ErrCommandEnded Code = "command_ended"
	// ErrUnsupported: the transport in use, or the peer, can't do this.
	ErrUnsupported Code = "unsupported"
)

// Error returns the code's words.
func (c Code) Error() string {
	return strings.ReplaceAll(string(c), "_", " ")
}

// Error is the error that ends a command or a connection.
//
// errors.Is finds its Code, and whatever Err wraps; errors.As finds the Error.
type Error struct {
	// Outcome is what is known about the command.
	Outcome Outcome
	// Code is the cause in one word.
	Code Code
	// Message says in words what happened. Of a remote error it is the peer's
	// text, unchanged.
	Message string
	// Remote is true where the peer said so, false where this side found out.
	Remote bool
	// Seq is the command; 0 where it got no number, or where no command is meant.
	Seq Seq
	// Cmd is the command's Go type, where known.
	Cmd string
	// ID is the command's ID of an error with outcome Unknown, where the client has
	// a session: who can ask what became of the command can do so by it.
	ID ID
	// RetryAfter is how long the peer asks to wait before trying again; 0 where
	// it did not say.
	RetryAfter time.Duration
	// Err is the cause that this one wraps, or nil.
	Err error
}

// Error returns, for a remote error with a message, exactly that message. For a
// local one it is a sentence: what happened, to which command, and the outcome.
func (e *Error) Error() string {
	if e == nil {
		return "an *Error that is nil"
	}
	if e.Remote && e.Message != "" {
		return e.Message
	}
	var b strings.Builder
	b.WriteString("cmdstream: ")
	switch {
	case e.Cmd != "" && e.Seq != 0:
		fmt.Fprintf(&b, "command %s (seq %d): ", e.Cmd, e.Seq)
	case e.Cmd != "":
		fmt.Fprintf(&b, "command %s: ", e.Cmd)
	case e.Seq != 0:
		fmt.Fprintf(&b, "command seq %d: ", e.Seq)
	}
	if e.Message != "" {
		b.WriteString(e.Message)
	} else {
		b.WriteString(e.Code.Error())
	}
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	if e.Cmd != "" || e.Seq != 0 {
		fmt.Fprintf(&b, " (outcome: %s)", e.Outcome)
	}
	return b.String()
}

// Detailed is an error that has something for the program at the other side, beside its
// text: what Detail returns travels at the end of the failure's message, and stands in no
// log here.
type Detailed interface {
	error
	Detail() string
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error {
	if e == nil { // a codec's mistake, which should end no process
		return nil
	}
	return e.Err
}

// Is reports whether target is e's Code, or the context package's name for it.
func (e *Error) Is(target error) bool {
	if e == nil {
		return false
	}
	switch target {
	case context.DeadlineExceeded:
		return e.Code == ErrDeadline
	case context.Canceled:
		return e.Code == ErrCanceled
	}
	code, ok := target.(Code)
	return ok && code == e.Code
}
