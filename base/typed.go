package base

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// Runner is a typed command with one result:
//
//	func (c Add) Run(ctx context.Context, calc Calc) (int, error)
type Runner[T, R any] interface {
	Run(ctx context.Context, receiver T) (R, error)
}

// Streamer is a typed command with any number of results, none included. Each
// send sends one; it returns an error once nobody wants more, and Stream should
// then return. send may be used from many goroutines, until Stream returns.
type Streamer[T, R any] interface {
	Stream(ctx context.Context, receiver T, send func(R) error) error
}

// Unary makes a [Cmd] of the typed command C.
type Unary[T, R any, C Runner[T, R]] struct{ Cmd C }

// Exec runs the command and sends its one result, a [Value].
func (u Unary[T, R, C]) Exec(ctx context.Context, _ time.Time, seq Seq, receiver T, proxy Proxy) error {
	r, err := u.Cmd.Run(ctx, receiver)
	if err != nil {
		return err
	}
	return proxy.Send(seq, Value[R]{r})
}

// Stream makes a [Cmd] of the typed command C.
type Stream[T, R any, C Streamer[T, R]] struct{ Cmd C }

// Exec runs the command, sends an [Item] for each of its results, and an [End].
func (s Stream[T, R, C]) Exec(ctx context.Context, _ time.Time, seq Seq, receiver T, proxy Proxy) error {
	var lost atomic.Bool
	err := s.Cmd.Stream(ctx, receiver, func(r R) error {
		err := proxy.Send(seq, Item[R]{r})
		if err != nil {
			lost.Store(true)
		}
		return err
	})
	if err != nil {
		return err
	}
	if lost.Load() {
		return &Error{Outcome: Failed, Code: ErrExec, Message: "a result could not be sent, and the command returned no error"}
	}
	return proxy.Send(seq, End{})
}

// NameOf returns the Go type of a command, as errors tell it: of a typed one,
// that of the command itself. It is "" for nil.
func NameOf(cmd any) string {
	switch cmd := cmd.(type) {
	case nil:
		return ""
	case interface{ inner() any }:
		return fmt.Sprintf("%T", cmd.inner())
	default:
		return fmt.Sprintf("%T", cmd)
	}
}

func (u Unary[T, R, C]) inner() any  { return u.Cmd }
func (s Stream[T, R, C]) inner() any { return s.Cmd }

// Value is the only result of a typed command.
type Value[R any] struct{ V R }

// LastOne is true.
func (Value[R]) LastOne() bool { return true }

// Item is one of the results of a typed stream.
type Item[R any] struct{ V R }

// LastOne is false: an [End] follows.
func (Item[R]) LastOne() bool { return false }

// End is the last result of a typed stream; it carries no value.
type End struct{}

// LastOne is true.
func (End) LastOne() bool { return true }
