package base

import (
	"fmt"
	"io"
	"iter"
)

// Inputs is what a [Proxy] is as well, where the wire carries inputs: what a
// client sends to a command that is running.
type Inputs interface {
	// Receive returns the next input of the command seq, as the codec decoded it,
	// and io.EOF after the last, once the client has said that it was. It waits until
	// one has come, or the command's ctx ends. It is for one goroutine at a time.
	Receive(seq Seq) (any, error)
}

// Receive yields the inputs of the command seq, as they come. An error is the last
// pair: of the codec, of the command's end, or because an input is no I.
func Receive[I any](seq Seq, proxy Proxy) iter.Seq2[I, error] {
	return func(yield func(I, error) bool) {
		var none I
		inputs, ok := proxy.(Inputs)
		if !ok {
			yield(none, &Error{Outcome: Failed, Code: ErrUnsupported, Seq: seq, Message: "the wire carries no inputs"})
			return
		}
		for {
			v, err := inputs.Receive(seq)
			if err == io.EOF { // itself: what wraps it is the end of something else
				return
			}
			input, ok := v.(I)
			if err == nil && !ok {
				err = &Error{Outcome: Failed, Code: ErrDecode, Seq: seq, Message: fmt.Sprintf("an input is a %T, not a %T", v, none)}
			}
			if !yield(input, err) || err != nil {
				return
			}
		}
	}
}

// Call is an open command that is sent inputs while it runs. A client's Open makes
// it. Send and CloseSend are for one goroutine at a time, and Receive for one, which
// may be another; Close may be called at any time.
type Call interface {
	// Seq returns the command's number.
	Seq() Seq
	// Send sends an input. It waits while the command has not taken enough of
	// those before, or the connection has no room; it returns io.EOF once the
	// command has ended, and Receive tells how. The input has been encoded when Send
	// returns.
	Send(input any) error
	// CloseSend says that no input follows.
	CloseSend() error
	// Receive returns the next result, io.EOF after the last, or the error that
	// ended the command.
	Receive() (Result, error)
	// Close gives the command up, if it has not ended, and lets go of it. It must
	// be called once the Call is not needed any more.
	Close() error
}
