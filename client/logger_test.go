package client_test

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
)

// asking is a Handler of a Logger that calls ask for each line.
type asking struct {
	slog.Handler
	ask func(message string)
}

func (a asking) Handle(ctx context.Context, r slog.Record) error {
	a.ask(r.Message)
	return a.Handler.Handle(ctx, r)
}

// The Logger may call the client about the command that a line is about.
func TestALoggerMayCallTheClientAboutAClosedChannel(t *testing.T) {
	t.Run("closed before a result comes", func(t *testing.T) {
		testLoggerCalls(t, func(results chan base.AsyncResult) { close(results) }, func(chan base.AsyncResult) {})
	})
	t.Run("closed while a result waits", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			testLoggerCalls(t, func(chan base.AsyncResult) {}, func(results chan base.AsyncResult) {
				synctest.Wait()
				close(results)
			})
		})
	})
}

func testLoggerCalls(t *testing.T, before, after func(results chan base.AsyncResult)) {
	var c *client.Client[receiver]
	var seq base.Seq
	sent, called := make(chan struct{}), make(chan struct{})
	ask := func(message string) {
		if message == "a result could not be delivered" {
			<-sent
			c.Has(seq)
			c.Forget(seq)
			close(called)
		}
	}
	c, p := newPeer(t, client.Conf{Logger: slog.New(asking{slog.NewTextHandler(io.Discard, nil), ask})})
	results := make(chan base.AsyncResult)
	before(results)
	seq = mustSend(t, c, command{}, results)
	close(sent)
	p.answer(p.expect(kindCommand).Slot, 1)
	after(results)
	select {
	case <-called:
	case <-time.After(5 * time.Second):
		t.Fatal("the Logger waits for the client")
	}
}
