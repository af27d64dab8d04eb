package replaceable

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/cmdstream/cmdstream/base"
)

// scribe is the receiver of the commands.
type scribe struct{ cancelled chan error }

func newScribe() scribe { return scribe{make(chan error, 10)} }

// upper has one result.
type upper struct{ text string }

func (c upper) Exec(_ context.Context, _ time.Time, seq base.Seq, _ scribe, proxy base.Proxy) error {
	return proxy.Send(seq, word{strings.ToUpper(c.text), true})
}

// split has a result for each word.
type split struct{ text string }

func (c split) Exec(_ context.Context, _ time.Time, seq base.Seq, _ scribe, proxy base.Proxy) error {
	words := strings.Split(c.text, " ")
	for i, text := range words {
		if err := proxy.Send(seq, word{text, i == len(words)-1}); err != nil {
			return err
		}
	}
	return nil
}

// fail ends in an error.
type fail struct{ text string }

func (c fail) Exec(context.Context, time.Time, base.Seq, scribe, base.Proxy) error {
	return errors.New(c.text)
}

// wait runs until it is cancelled, and tells the receiver.
type wait struct{}

func (wait) Exec(ctx context.Context, _ time.Time, _ base.Seq, scribe scribe, _ base.Proxy) error {
	<-ctx.Done()
	scribe.cancelled <- ctx.Err()
	return ctx.Err()
}

// word is the result of all commands.
type word struct {
	text string
	last bool
}

func (w word) LastOne() bool { return w.last }
