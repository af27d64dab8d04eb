package cmdstream

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"time"

	"github.com/cmdstream/cmdstream/base"
)

// Log returns a [Middleware] that writes one record for each command, when it has ended; nil:
// to slog.Default(). The record's message is "command sent", and its attributes are
//
//	cmd       the command's name, as of base.NameOf
//	duration  from the call to its end
//	results   how many came, of a loop of Results
//	outcome   base.OutcomeOf(err)
//	seq, code of the *base.Error that ended the command, where it has them
//	error     the error
//
// Its level is Debug for a command that has succeeded and for a loop that was left; Warn for
// one that did not run, NotSent or Rejected, and for one that its caller gave up; Error for one
// that has failed, or of which nothing is known. The record is made with the command's ctx.
// Package handler has the same for a server.
func Log[T any](logger *slog.Logger) Middleware[T] {
	return func(next Client[T]) Client[T] {
		return Calls[T]{
			DoFunc: func(ctx context.Context, cmd base.Cmd[T]) (base.Result, error) {
				began := time.Now()
				result, err := next.Do(ctx, cmd)
				logEnd(ctx, logger, cmd, began, err)
				return result, err
			},
			ResultsFunc: func(ctx context.Context, cmd base.Cmd[T]) iter.Seq2[base.Result, error] {
				return func(yield func(base.Result, error) bool) {
					began, n, end := time.Now(), 0, errLeft
					defer func() { logEnd(ctx, logger, cmd, began, end, slog.Int("results", n)) }()
					for result, err := range next.Results(ctx, cmd) {
						if err != nil {
							end = err
							yield(nil, err)
							return
						}
						if n++; !yield(result, nil) {
							return
						}
					}
					end = nil
				}
			},
		}
	}
}

// errLeft is the end of a loop that was left.
var errLeft error = &base.Error{Code: base.ErrCanceled, Message: "the loop was left"}

// logEnd writes the record of a command that has ended by err.
func logEnd(ctx context.Context, logger *slog.Logger, cmd any, began time.Time, err error, more ...slog.Attr) {
	if logger == nil {
		logger = slog.Default()
	}
	var e *base.Error
	errors.As(err, &e)
	level := slog.LevelError
	switch outcome := base.OutcomeOf(err); {
	case err == nil || err == errLeft:
		level = slog.LevelDebug
	case outcome == base.NotSent || outcome == base.Rejected || e != nil && e.Code == base.ErrCanceled:
		level = slog.LevelWarn
	}
	if !logger.Enabled(ctx, level) {
		return
	}
	attrs := append([]slog.Attr{slog.String("cmd", base.NameOf(cmd)), slog.Duration("duration", time.Since(began))}, more...)
	attrs = append(attrs, slog.String("outcome", base.OutcomeOf(err).String()))
	if e != nil && e.Seq != 0 {
		attrs = append(attrs, slog.Int64("seq", int64(e.Seq)))
	}
	if e != nil {
		attrs = append(attrs, slog.String("code", string(e.Code)))
	}
	if err != nil {
		attrs = append(attrs, slog.Any("error", err))
	}
	logger.LogAttrs(ctx, level, "command sent", attrs...)
}
