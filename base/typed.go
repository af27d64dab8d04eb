package base

import (
	"context"
	"iter"
	"reflect"
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

// Exchanger is a typed command that is sent inputs while it runs, and sends any
// number of results, none included. The inputs end after the last; an error among
// them is their end, too. send is as for a [Streamer].
type Exchanger[T, I, R any] interface {
	Exchange(ctx context.Context, receiver T, inputs iter.Seq2[I, error], send func(R) error) error
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
	return sendAll(seq, proxy, func(send func(R) error) error {
		return s.Cmd.Stream(ctx, receiver, send)
	})
}

// Exchange makes a [Cmd] of the typed command C.
type Exchange[T, I, R any, C Exchanger[T, I, R]] struct{ Cmd C }

// Exec runs the command, sends an [Item] for each of its results, and an [End].
func (e Exchange[T, I, R, C]) Exec(ctx context.Context, _ time.Time, seq Seq, receiver T, proxy Proxy) error {
	return sendAll(seq, proxy, func(send func(R) error) error {
		return e.Cmd.Exchange(ctx, receiver, Receive[I](seq, proxy), send)
	})
}

// sendAll sends what run sends as items, and an End.
func sendAll[R any](seq Seq, proxy Proxy, run func(send func(R) error) error) error {
	var lost atomic.Bool
	err := run(func(r R) error {
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

// Named is a command that has a name of its own, for instance the one that it had before
// its Go type was renamed. It is the same for all values of the type.
type Named interface{ CommandName() string }

// NameOf returns the name of a command, as errors tell it: its own, if it is [Named], or else
// its Go type; of a typed command, those of the command itself. It is "" for nil.
func NameOf(cmd any) (name string) {
	defer func() {
		if recover() != nil { // it is a nil pointer, or has one embedded
			name = typeName(cmd)
		}
	}()
	cmd = innermost(cmd)
	if named, ok := cmd.(Named); ok {
		return named.CommandName()
	}
	return typeName(cmd)
}

// typeName is what %T prints, for which less stack is enough.
func typeName(v any) string {
	if v == nil {
		return ""
	}
	return reflect.TypeOf(v).String()
}

// Wrapper is a command that stands for another, as [Unary] stands for a typed command:
// names, keys and the like are the other's.
type Wrapper interface{ Inner() any }

// Inner returns the typed command.
func (u Unary[T, R, C]) Inner() any { return u.Cmd }

// Inner returns the typed command.
func (s Stream[T, R, C]) Inner() any { return s.Cmd }

// Inner returns the typed command.
func (e Exchange[T, I, R, C]) Inner() any { return e.Cmd }

// innermost returns the command that cmd stands for, in the end.
func innermost(cmd any) any {
	for {
		wrapper, ok := cmd.(Wrapper)
		if !ok {
			return cmd
		}
		cmd = wrapper.Inner()
	}
}

// Idempotent is a command that may say so of itself: that to run it twice is as
// good as once. Such a command is sent again by the client when its connection, or
// its session, is lost and none of its results has come yet.
type Idempotent interface{ Idempotent() bool }

// IsIdempotent tells whether a command says that it is [Idempotent]; of a typed one,
// the command itself.
func IsIdempotent(cmd any) bool {
	i, ok := innermost(cmd).(Idempotent)
	return ok && i.Idempotent()
}

// Keyed is a command that belongs to a key, such as that of the data it works on. A
// group that is sticky sends the commands of one key to one server.
type Keyed interface{ Key() string }

// KeyOf returns the key of a command that is [Keyed]; of a typed one, that of the command
// itself. ok is false for any other command.
func KeyOf(cmd any) (key string, ok bool) {
	k, ok := innermost(cmd).(Keyed)
	if !ok {
		return "", false
	}
	return k.Key(), true
}

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
