package client_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/wire"
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

// named is a command that gets its name from a function.
type named struct {
	command
	name func() string
}

func (n named) CommandName() string { return n.name() }

// A command may call the client when it is asked for its name: here by the error that ends it.
func TestACommandMayCallTheClientWhenItIsAskedForItsName(t *testing.T) {
	ends := map[string]func(p *peer, slot uint64){
		"by the server":           func(p *peer, slot uint64) { p.fail(slot, wire.Failure{Outcome: uint8(base.Failed), Message: "no"}) },
		"by the connection's end": func(p *peer, _ uint64) { p.nc.Close() },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			c, p := newPeer(t, client.Conf{})
			asks := named{name: func() string {
				c.Has(1)
				c.Has(2)
				return "who asks"
			}}
			ended := make(chan error, 2)
			results := make(chan base.AsyncResult, 1)
			if _, err := c.Send(asks, results); err != nil {
				t.Fatal(err)
			}
			first := p.expect(kindCommand).Slot
			go func() {
				_, err := c.Do(t.Context(), asks)
				ended <- err
			}()
			end(p, p.expect(kindCommand).Slot)
			end(p, first)
			go func() { ended <- (<-results).Err }()
			for range 2 {
				select {
				case err := <-ended:
					var e *base.Error
					if !errors.As(err, &e) || e.Cmd != "who asks" {
						t.Errorf("%v, want the error of the command", err)
					}
				case <-time.After(5 * time.Second):
					t.Fatal("the command waits for the client")
				}
			}
		})
	}
}
