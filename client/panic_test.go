package client_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/transport"
	"github.com/cmdstream/cmdstream/wire"
)

// sink keeps a log.
type sink struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

func (s *sink) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lines.Write(b)
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lines.String()
}

func (s *sink) logger() *slog.Logger { return slog.New(slog.NewTextHandler(s, nil)) }

// explosive is a compression that panics.
type explosive struct{}

func (explosive) ID() uint64 { return 64 }

func (explosive) Compress(_, body []byte) ([]byte, error) { panic("on purpose") }

func (explosive) Decompress(_, _ []byte, _ int) ([]byte, error) { panic("on purpose") }

// A panic of a compression ends its command alone, whoever was to get the result.
func TestACompressionThatPanics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		conn, p := newPipe(t)
		go p.hello(wire.ServerHello{Compression: 64})
		var log sink
		c := over(t, conn, codec{}, client.Conf{
			Compressions: []transport.Compression{explosive{}}, UnexpectedResultCallback: new(unexpected).callback, Logger: log.logger(),
		})
		answer := func() {
			p.send(kindResult, wire.FlagLast|wire.FlagCompressed, p.expect(kindCommand).Slot, []byte("x"))
		}
		done := start(t.Context(), c, command{N: 1})
		answer()
		want(t, (<-done).err, base.Failed, base.ErrPanic)

		results := make(chan base.AsyncResult, 1)
		mustSend(t, c, command{N: 2}, results)
		answer()
		want(t, (<-results).Err, base.Failed, base.ErrPanic)

		c.Forget(mustSend(t, c, command{N: 3}, results))
		answer()
		synctest.Wait()
		if !strings.Contains(log.String(), "on purpose") {
			t.Errorf("of a result that nobody waits for it is logged: %s", log.String())
		}

		_, err := c.Do(t.Context(), command{N: 4, Body: body(8000)})
		want(t, err, base.NotSent, base.ErrPanic)

		done = start(t.Context(), c, command{N: 5})
		p.answer(p.expect(kindCommand).Slot, 5)
		if o := <-done; o.n != 5 {
			t.Errorf("got %+v", o)
		}
	})
}

// moody is a command that panics when it is asked whether it may run twice.
type moody struct{ command }

func (moody) Idempotent() bool { panic("on purpose") }

type moodyCodec struct{ codec }

func (c moodyCodec) Encode(cmd base.Cmd[receiver], w transport.Writer) error {
	if m, ok := cmd.(moody); ok {
		cmd = m.command
	}
	return c.codec.Encode(cmd, w)
}

// A panic of Idempotent is no permission to send the command again.
func TestAnIdempotentThatPanics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := memnet.Listen()
		accepted := acceptLater(t, l)
		var log sink
		c, err := client.NewReconnect(t.Context(), moodyCodec{}, l.Dial, client.Conf{Logger: log.logger()})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		p := <-accepted
		done := make(chan error, 1)
		go func() {
			_, err := c.Do(t.Context(), moody{command{N: 1}})
			done <- err
		}()
		p.expect(kindCommand)
		results := make(chan base.AsyncResult, 1)
		if _, err := c.Send(moody{command{N: 2}}, results); err != nil {
			t.Fatal(err)
		}
		p.expect(kindCommand)
		p.nc.Cut(memnet.RST)
		for _, err := range []error{<-done, (<-results).Err} {
			want(t, err, base.Unknown, base.ErrConnLost)
		}
		if n := strings.Count(log.String(), "on purpose"); n != 2 {
			t.Errorf("%d panics are logged: %s", n, log.String())
		}
		p = accept(t, l)
		last := start(t.Context(), c, command{N: 3})
		f := p.expect(kindCommand)
		p.answer(f.Slot, 3)
		if o := <-last; o.n != 3 || f.Payload[0] != 3 || errors.Is(c.Err(), base.ErrPanic) {
			t.Errorf("command %d was sent: %+v", f.Payload[0], o)
		}
	})
}
