// Package handler is the server's side of a command: it receives commands from
// a connection, runs each as in a goroutine of its own, and carries their results
// back.
//
// A program meets it where it adds something to how its server runs commands:
//
//	func logged(next handler.Invoker[Calc]) handler.Invoker[Calc] {
//		return handler.InvokerFunc[Calc](func(ctx context.Context, at time.Time, seq base.Seq, cmd base.Cmd[Calc], proxy base.Proxy) error {
//			err := next.Invoke(ctx, at, seq, cmd, proxy)
//			slog.InfoContext(ctx, "a command has run", "cmd", base.NameOf(cmd), "took", time.Since(at), "error", err)
//			return err
//		})
//	}
//
//	s, err := server.New(set.Server(), Calc{}, server.Conf[Calc]{Use: []handler.Middleware[Calc]{logged}})
package handler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/internal/wheel"
	"github.com/cmdstream/cmdstream/transport"
)

// Invoker runs commands. Invoke is called by many goroutines
// at once; it should call cmd.Exec with a receiver and the arguments that it was
// given. What it returns ends the command as if Exec had returned it. An *Error of
// its own with outcome Rejected tells the client that the command was not run.
type Invoker[T any] interface {
	Invoke(ctx context.Context, at time.Time, seq base.Seq, cmd base.Cmd[T], proxy base.Proxy) error
}

// NewInvoker returns the usual Invoker: it executes commands with receiver. An error of Exec
// that says Rejected says Failed then, since the command has run; errors.Is and errors.As find
// in it what they found before.
func NewInvoker[T any](receiver T) Invoker[T] { return &invoker[T]{receiver} }

type invoker[T any] struct{ receiver T }

func (i *invoker[T]) Invoke(ctx context.Context, at time.Time, seq base.Seq, cmd base.Cmd[T], proxy base.Proxy) error {
	if err := cmd.Exec(ctx, at, seq, i.receiver, proxy); err != nil {
		return hasRun(err)
	}
	return nil
}

// hasRun returns the error of a command that has run, and does not say that it has not. What
// it says of another command is left.
func hasRun(err error) error {
	var e *base.Error
	if !errors.As(err, &e) || e == nil || e.Outcome != base.Rejected || e.Remote || e.Cmd != "" {
		return err
	}
	failed := *e
	failed.Outcome = base.Failed
	return &ranError{err, &failed}
}

// ranError is err, but for the *Error that is found in it.
type ranError struct {
	error
	failed *base.Error
}

func (r *ranError) Unwrap() error { return r.error }

// As finds failed.
func (r *ranError) As(target any) bool {
	e, ok := target.(**base.Error)
	if ok {
		*e = r.failed
	}
	return ok
}

// InvokerFunc is a function as an Invoker.
type InvokerFunc[T any] func(ctx context.Context, at time.Time, seq base.Seq, cmd base.Cmd[T], proxy base.Proxy) error

// Invoke calls f.
func (f InvokerFunc[T]) Invoke(ctx context.Context, at time.Time, seq base.Seq, cmd base.Cmd[T], proxy base.Proxy) error {
	return f(ctx, at, seq, cmd, proxy)
}

// Middleware adds something to how a server runs commands: it returns an Invoker that
// calls next, in the manner of net/http.
type Middleware[T any] func(next Invoker[T]) Invoker[T]

// Panic is what a server reports of a panic in a command's own code.
type Panic struct {
	// Seq is the command's number. Cmd is the Go type whose code panicked, the
	// command's or the result's; "" where the codec panicked before there was one.
	Seq base.Seq
	Cmd string
	// Value is what was given to panic; nil after runtime.Goexit.
	Value any
	// Stack is the goroutine's.
	Stack []byte
	// RemoteAddr is the client's address.
	RemoteAddr string
}

// Handler serves the connections of one server. It is safe for concurrent use.
type Handler[T any] struct {
	Conf[T]
	usual    *invoker[T] // nil: Invoker is the user's, which may reject a command without having run it
	pool     *Pool
	wheel    *wheel.Wheel
	watchdog *watchdog
	paces    paces
	sessions *sessions[T]
	admitted admission[T]
	memory   memory
	// Counters count what is out of the ordinary.
	Counters Counters
}

// Conf is what a Handler needs. There are no defaults: the server has set all.
type Conf[T any] struct {
	Codec   transport.Codec[base.Result, base.Cmd[T]]
	Invoker Invoker[T]
	// MaxInFlight is how many commands one connection may have open; as many
	// more may still be running whose client has given them up.
	MaxInFlight int
	// MaxRunning is how many commands run at once, MaxQueued how many wait for that,
	// and MaxQueueTime for how long at most.
	MaxRunning   int
	MaxQueued    int
	MaxQueueTime time.Duration
	// MaxConnBytes and MaxBytes are how many bytes of commands a connection, and all
	// of them, may hold.
	MaxConnBytes, MaxBytes int
	// BodyTimeout is the time within which an eighth of the bodies must come that a
	// client has begun.
	BodyTimeout time.Duration
	// MaxCmdSize is the largest command, in bytes, once it is decompressed.
	MaxCmdSize int
	// CompressAbove is the size in bytes above which a result is compressed.
	CompressAbove int
	// Sessions bounds the sessions that clients ask for.
	Sessions SessionConf
	// Strict closes the connection of a command whose body the codec refuses.
	Strict bool
	// OnPanic hears of panics; it must be safe for concurrent use.
	OnPanic func(Panic)
	Logger  *slog.Logger
}

// New returns a Handler that runs commands in the goroutines of pool.
func New[T any](conf Conf[T], pool *Pool) *Handler[T] {
	usual, _ := conf.Invoker.(*invoker[T])
	h := &Handler[T]{
		Conf: conf, usual: usual, pool: pool, wheel: wheel.New(), watchdog: newWatchdog(),
		memory: memory{limit: int64(conf.MaxBytes)},
		admitted: admission[T]{
			maxRunning: int64(conf.MaxRunning), maxQueued: int64(conf.MaxQueued), maxWait: conf.MaxQueueTime, since: time.Now(),
			run: func(x *command[T]) { pool.run(x) },
		},
	}
	h.admitted.wheel = h.wheel
	h.sessions = &sessions[T]{conf: conf.Sessions, counters: &h.Counters, byID: make(map[transport.SessionID]*Session[T])}
	return h
}

// Running returns how many commands run, and Queued how many wait to.
func (h *Handler[T]) Running() int { return int(h.admitted.running.Load()) }

// Queued returns how many commands wait to run.
func (h *Handler[T]) Queued() int { return int(h.admitted.waiting.Load()) }

// Bytes returns how many bytes of commands are held, and KeptBytes how many of results
// for sessions.
func (h *Handler[T]) Bytes() int { return int(h.memory.used.Load()) }

// KeptBytes returns how many bytes of results are kept for sessions.
func (h *Handler[T]) KeptBytes() int { return h.sessions.kept() }

// SessionCount returns how many sessions there are, and how many of them are without a
// connection.
func (h *Handler[T]) SessionCount() (all, detached int) { return h.sessions.number() }

// EndSessions ends all sessions, for a reason: those without a connection at once.
func (h *Handler[T]) EndSessions(reason error) { h.sessions.close(reason) }

// HasSessions tells whether a client may come back to its session.
func (h *Handler[T]) HasSessions() bool { return h.sessions.exist() }

// Waiting tells whether a session without a connection still has a running command,
// or something that its client has not seen.
func (h *Handler[T]) Waiting() bool { return h.sessions.open() }

// Close stops the Handler's timers. Its connections have ended before.
func (h *Handler[T]) Close() {
	h.wheel.Close()
	h.watchdog.stop()
}

// Decode is for transports that decode themselves. A panic of the codec is an
// error.
func (h *Handler[T]) Decode(_ int, r transport.Reader) (cmd any, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &base.Error{Outcome: base.Rejected, Code: base.ErrPanic, Message: fmt.Sprintf("the codec panicked: %v", v)}
		}
	}()
	command, err := h.Codec.Decode(r)
	if err == nil && command == nil {
		return nil, nilCommand()
	}
	return command, err
}

func nilCommand() *base.Error {
	return &base.Error{Outcome: base.Rejected, Code: base.ErrDecode, Message: "the server's codec decoded a nil command"}
}
