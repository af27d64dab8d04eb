package client_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/transport"
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

// within fails unless f returns in time.
func within(t *testing.T, what string, f func()) bool {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
		return true
	case <-time.After(3 * time.Second):
		t.Errorf("%s waits for ever", what)
		return false
	}
}

// curious is an error whose Is asks the client.
type curious struct{ ask func() }

func (curious) Error() string { return "curious" }

func (c curious) Is(error) bool {
	c.ask()
	return false
}

// failingConn has an error of its own.
type failingConn struct {
	net.Conn
	err error
}

func (f failingConn) Read(b []byte) (int, error) {
	n, err := f.Conn.Read(b)
	if err != nil {
		err = f.err
	}
	return n, err
}

// The error of a net.Conn may call the client when it is asked what it is.
func TestAnErrorMayCallTheClient(t *testing.T) {
	t.Run("about a command", func(t *testing.T) {
		testErrorAsks(t, func(c *client.Client[receiver]) { c.Has(1) })
	})
	t.Run("about connections", func(t *testing.T) {
		testErrorAsks(t, func(c *client.Client[receiver]) { c.Connections() })
	})
}

func testErrorAsks(t *testing.T, ask func(c *client.Client[receiver])) {
	var c atomic.Pointer[client.Client[receiver]]
	conn, p := newPipe(t)
	go p.hello(wire.ServerHello{})
	cl, err := client.New(context.Background(), codec{}, net.Conn(failingConn{conn, curious{func() {
		if c := c.Load(); c != nil {
			ask(c)
		}
	}}}), client.Conf{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	c.Store(cl)
	ended := make(chan struct{})
	go func() { cl.Do(context.Background(), command{}); close(ended) }()
	p.expect(kindCommand)
	p.nc.Close()
	within(t, "Do", func() { <-ended })
	within(t, "Close", func() { cl.Close() })
}

// So may the error of CheckServerInfo, where a session is resumed.
func TestTheErrorOfCheckServerInfoMayCallTheClient(t *testing.T) {
	var c atomic.Pointer[client.Client[receiver]]
	cl, p, l, _ := openSession(t, client.Conf{CheckServerInfo: func([]byte) error {
		if c.Load() != nil {
			return curious{func() { c.Load().Has(1) }}
		}
		return nil
	}})
	c.Store(cl)
	ended := make(chan struct{})
	go func() { cl.Do(context.Background(), command{}); close(ended) }()
	p.expect(kindCommand)
	go func() {
		p := acceptRaw(t, l)
		p.hello(wire.ServerHello{SessionTime: sessionTime})
	}()
	p.nc.Close()
	within(t, "Do", func() { <-ended })
	within(t, "Close", func() { cl.Close() })
}

// The Logger may send a command, also where it hears of what the reader has found.
func TestTheLoggerMaySend(t *testing.T) {
	var c atomic.Pointer[client.Client[receiver]]
	did := make(chan error, 1)
	var once sync.Once
	ask := func(m string) {
		if m == "the server sent a result or failure for no open command" {
			once.Do(func() {
				_, err := c.Load().Do(context.Background(), command{})
				did <- err
			})
		}
	}
	cl, p := newPeer(t, client.Conf{Logger: slog.New(asking{slog.NewTextHandler(io.Discard, nil), ask})})
	c.Store(cl)
	p.answer(9, 1)
	p.answer(p.expect(kindCommand).Slot, 1)
	within(t, "Do by the Logger", func() { <-did })
}

// After Close no command is open, also while a Dialer does not look at its ctx, and a session needs it.
func TestCloseEndsCommandsBesideADialerThatWaits(t *testing.T) {
	l := memnet.Listen()
	stop := make(chan struct{})
	defer close(stop)
	dials := 0
	accepted := make(chan *peer, 1)
	go func() {
		p := acceptRaw(t, l)
		p.hello(wire.ServerHello{SessionTime: sessionTime})
		accepted <- p
	}()
	dialing := make(chan struct{})
	c := redial(t, func(ctx context.Context) (net.Conn, error) {
		if dials++; dials > 1 {
			close(dialing)
			<-stop // as net.Dial to a host that does not answer: two minutes
			return nil, errors.New("no")
		}
		return l.Dial(ctx)
	}, client.Conf{Session: true})
	p := <-accepted
	ended := make(chan error, 1)
	go func() { _, err := c.Do(context.Background(), command{}); ended <- err }()
	results := make(chan base.AsyncResult, 1)
	mustSend(t, c, command{}, results)
	p.expect(kindCommand)
	p.expect(kindCommand)
	p.nc.Close()
	<-dialing
	within(t, "Close", func() { c.Close() })
	within(t, "Do, after Close,", func() {
		want(t, <-ended, base.Unknown, base.ErrClosed)
	})
	within(t, "the channel of Send, after Close,", func() {
		want(t, (<-results).Err, base.Unknown, base.ErrClosed)
	})
}

// Nor while the codec waits that a plain wire's reader has called.
func TestCloseEndsCommandsBesideACodecThatWaits(t *testing.T) {
	l := serve(t, echo, serverConf{Transport: transport.Plain})
	conn, err := l.Dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	stop, in := make(chan struct{}), make(chan struct{}, 10)
	defer close(stop)
	c := over(t, conn, codec{decode: func(result) error { in <- struct{}{}; <-stop; return nil }}, client.Conf{Transport: transport.Plain})
	go c.Do(context.Background(), command{})
	<-in
	did := make(chan struct{})
	go func() { c.Do(context.Background(), command{}); close(did) }()
	time.Sleep(100 * time.Millisecond)
	within(t, "Close", func() { c.Close() })
	within(t, "another Do, after Close", func() { <-did })
}

// asksOnClose is a net.Conn that tells of its Close, and of the end of the hello.
type asksOnClose struct {
	net.Conn
	deadlineGone, closes func()
}

func (c asksOnClose) SetDeadline(d time.Time) error {
	err := c.Conn.SetDeadline(d)
	if d.IsZero() {
		c.deadlineGone()
	}
	return err
}

func (c asksOnClose) Close() error { c.closes(); return c.Conn.Close() }

// A net.Conn may call the client when it is closed, since the client was while a session got it.
func TestANetConnMayCallTheClient(t *testing.T) {
	var c atomic.Pointer[client.Client[receiver]]
	l := memnet.Listen()
	closed := make(chan struct{})
	dials := 0
	accepted := make(chan *peer, 2)
	go func() {
		for range 2 {
			p := acceptRaw(t, l)
			p.hello(wire.ServerHello{SessionTime: sessionTime})
			accepted <- p
		}
	}()
	cl, err := client.NewReconnect(context.Background(), codec{}, func(ctx context.Context) (net.Conn, error) {
		nc, err := l.Dial(ctx)
		if dials++; dials == 2 {
			return asksOnClose{nc, func() {
				go func() { c.Load().Close(); close(closed) }()
				<-c.Load().Done()
			}, func() { c.Load().State() }}, err
		}
		return nc, err
	}, client.Conf{Session: true, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	c.Store(cl)
	p := <-accepted
	go cl.Do(context.Background(), command{})
	p.expect(kindCommand)
	p.nc.Close()
	within(t, "Close", func() { <-closed })
	within(t, "State", func() { cl.State() })
}

// A nil *base.Error in an error is a mistake of the codec that ends its command, and nothing else.
func TestANilErrorOfTheCodec(t *testing.T) {
	broken := codec{decode: func(result) error { return (*base.Error)(nil) }}
	t.Run("Do", func(t *testing.T) {
		conn, p := newPipe(t)
		go p.hello(wire.ServerHello{})
		c := over(t, conn, broken, client.Conf{})
		go func() { p.answer(p.expect(kindCommand).Slot, 1) }()
		_, err := c.Do(t.Context(), command{})
		want(t, err, base.Failed, base.ErrDecode)
	})
	t.Run("Send", func(t *testing.T) {
		conn, p := newPipe(t)
		go p.hello(wire.ServerHello{})
		c := over(t, conn, broken, client.Conf{})
		results := make(chan base.AsyncResult, 1)
		mustSend(t, c, command{}, results)
		p.answer(p.expect(kindCommand).Slot, 1)
		want(t, (<-results).Err, base.Failed, base.ErrDecode)
	})
	t.Run("Encode", func(t *testing.T) {
		conn, p := newPipe(t)
		go p.hello(wire.ServerHello{})
		c := over(t, conn, codec{encode: func(command) error { return (*base.Error)(nil) }}, client.Conf{})
		_, err := c.Do(t.Context(), command{})
		want(t, err, base.NotSent, base.ErrEncode)
	})
	t.Run("over the plain wire", func(t *testing.T) {
		l := serve(t, echo, serverConf{Transport: transport.Plain})
		conn, _ := l.Dial(t.Context())
		c := over(t, conn, broken, client.Conf{Transport: transport.Plain})
		if _, err := c.Do(t.Context(), command{}); err == nil {
			t.Error("it has no error")
		}
	})
	for name, factory := range map[string]transport.Factory{"the server's": nil, "the server's, plain": transport.Plain} {
		t.Run(name, func(t *testing.T) {
			s, err := server.New(nilServerCodec{}, echo, serverConf{Transport: factory, Logger: quiet})
			if err != nil {
				t.Fatal(err)
			}
			l := memnet.Listen()
			go s.Serve(l)
			t.Cleanup(func() { s.Close() })
			conn, _ := l.Dial(t.Context())
			c := over(t, conn, codec{}, client.Conf{Transport: factory})
			if _, err := c.Do(t.Context(), command{}); err == nil {
				t.Error("it has no error")
			}
		})
	}
}

// nilServerCodec makes no commands, and a nil error.
type nilServerCodec struct{ serverCodec }

func (nilServerCodec) Decode(transport.Reader) (base.Cmd[receiver], error) {
	return nil, (*base.Error)(nil)
}
