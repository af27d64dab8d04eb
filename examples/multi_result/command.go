package main

import (
	"context"
	"time"

	"github.com/cmdstream/cmdstream/base"
)

// Rocket is the receiver.
type Rocket struct{}

// Count waits until one second more has passed. Time is short in an example.
func (Rocket) Count(ctx context.Context) error {
	select {
	case <-time.After(10 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// CountdownCmd counts down to zero.
type CountdownCmd struct{ From uint64 }

// Exec sends each result as soon as it has it. Send waits while the client has
// as many as it can take; ctx ends when the client wants no more.
func (c CountdownCmd) Exec(ctx context.Context, _ time.Time, seq base.Seq, rocket Rocket, proxy base.Proxy) error {
	for left := c.From; left > 0; left-- {
		if err := proxy.Send(seq, Left(left)); err != nil {
			return err
		}
		if err := rocket.Count(ctx); err != nil {
			return err
		}
	}
	return proxy.Send(seq, Left(0))
}

// Left is a result: how many seconds are left.
type Left uint64

// LastOne is false while more results follow.
func (l Left) LastOne() bool { return l == 0 }
