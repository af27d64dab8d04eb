// Package base is the contract of cmdstream: what a command, a result and a
// proxy are, and how an error tells what became of a command.
//
// A command is plain data with an Exec method. A client sends it, a server
// runs it against the user's receiver, and the results that Exec sends through
// its [Proxy] travel back:
//
//	func (c AddCmd) Exec(ctx context.Context, at time.Time, seq base.Seq, calc Calc, proxy base.Proxy) error {
//		return proxy.Send(seq, Sum(calc.Add(c.A, c.B)))
//	}
//
//	func (s Sum) LastOne() bool { return true }
//
// [Runner], [Streamer] and [Exchanger] are the typed form of the same: methods that
// return values instead of sending results.
//
//	func (c Add) Run(ctx context.Context, calc Calc) (int, error) { return calc.Add(c.A, c.B), nil }
//
// What became of a command is told by [OutcomeOf] its error, and why by its [Code]:
//
//	switch base.OutcomeOf(err) {
//	case base.NotSent, base.Rejected:
//		// it did not run: to send it again is safe
//	case base.Unknown:
//		// it may have run
//	}
package base

import (
	"context"
	"net"
	"time"
)

// Seq is the sequence number of a command: 1, 2, 3 … in the order in which one
// client sent its commands, across all its connections. 0 is no command.
type Seq int64

// Cmd is a command for a receiver of type T.
//
// The server calls Exec in a goroutine of the command's own. ctx ends when the
// client cancels the command, when its deadline passes, or when its connection
// is lost; at is when the server read the command; seq goes into every
// proxy.Send. Exec sends one result or many; the last must say so by LastOne.
// An error that it returns ends the command as [Failed], with the error's text.
//
// ctx is for the time until Exec returns. A server uses a ctx again for a later command
// of the same client if nobody has called a method of it by then: a goroutine that Exec
// leaves behind is to take what it needs, such as metadata, before. The same holds for
// a ctx that was derived from it.
type Cmd[T any] interface {
	Exec(ctx context.Context, at time.Time, seq Seq, receiver T, proxy Proxy) error
}

// Result is what a command sends back. LastOne is false while more results of
// the same command follow.
type Result interface{ LastOne() bool }

// Proxy is a running command's way back to its client. It may be used from many
// goroutines at once, and only until the command has ended: after that Send
// returns [ErrCommandEnded].
type Proxy interface {
	// Send sends one result of the command seq. It waits while the client has
	// given no credit for a further result, until the command's ctx ends. The
	// result has been encoded when Send returns, and may be changed again.
	Send(seq Seq, result Result) error
	// LocalAddr is the server's address of the connection.
	LocalAddr() net.Addr
	// RemoteAddr is the client's address.
	RemoteAddr() net.Addr
}

// AsyncResult is a result, or the error that ended the command, as it arrives
// in the channel that was handed to a client's Send. With a nil Err, Result is
// set, and more follow unless Result.LastOne() is true; an Err is always the
// last of its command.
type AsyncResult struct {
	Seq    Seq
	Result Result
	Err    error
}
