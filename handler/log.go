package handler

import (
	"context"
	"log/slog"
	"time"

	"github.com/cmdstream/cmdstream/base"
)

// Log returns a [Middleware] that writes one record for each command, when it has returned;
// nil: to slog.Default(). The record's message is "command run", and its attributes are
//
//	cmd          the command's name, as of base.NameOf
//	seq          its number, of its client
//	remote       the client's address
//	duration     how long it ran
//	outcome      what its client will be told
//	code, error  of the error that it has returned
//
// Its level is Debug for a command that has returned no error; Warn for one that further
// middleware has rejected, and for one whose client gave it up; Error for one that has
// failed. A panic is a failure, and goes on its way. What the server finds out later, such as
// a last result that is missing, is not in it. The record is made with the command's ctx.
func Log[T any](logger *slog.Logger) Middleware[T] {
	return func(next Invoker[T]) Invoker[T] {
		return InvokerFunc[T](func(ctx context.Context, at time.Time, seq base.Seq, cmd base.Cmd[T], proxy base.Proxy) error {
			began := time.Now()
			var err error = &base.Error{Outcome: base.Failed, Code: base.ErrPanic, Message: "the command panicked"}
			defer func() { logEnd(ctx, logger, seq, cmd, proxy, began, err) }()
			err = next.Invoke(ctx, at, seq, cmd, proxy)
			return err
		})
	}
}

// logEnd writes the record of a command that has ended by err.
func logEnd(ctx context.Context, logger *slog.Logger, seq base.Seq, cmd any, proxy base.Proxy, began time.Time, err error) {
	if logger == nil {
		logger = slog.Default()
	}
	level, outcome, failure := slog.LevelDebug, base.Succeeded, (*base.Error)(nil)
	if err != nil {
		failure = failureOf(err)
		level, outcome = slog.LevelError, failure.Outcome
		if outcome == base.Rejected || ctx.Err() == context.Canceled {
			level = slog.LevelWarn
		}
	}
	if !logger.Enabled(ctx, level) {
		return
	}
	remote := ""
	if addr := proxy.RemoteAddr(); addr != nil {
		remote = addr.String()
	}
	attrs := []slog.Attr{
		slog.String("cmd", base.NameOf(cmd)), slog.Int64("seq", int64(seq)), slog.String("remote", remote),
		slog.Duration("duration", time.Since(began)), slog.String("outcome", outcome.String()),
	}
	if err != nil {
		attrs = append(attrs, slog.String("code", string(failure.Code)), slog.String("error", failure.Message))
	}
	logger.LogAttrs(ctx, level, "command run", attrs...)
}
