package handler_test

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/delegate"
	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/transport"
	"github.com/cmdstream/cmdstream/wire"
)

// World is the receiver.
type World struct{ Name string }

// call is what Exec was called with.
type call struct {
	ctx   context.Context
	at    time.Time
	seq   base.Seq
	world World
	base.Proxy
}

// send sends a result that is not the last one.
func (c call) send(text string) error { return c.Send(c.seq, result{text: text}) }

// last sends the last result.
func (c call) last(text string) error { return c.Send(c.seq, result{text: text, last: true}) }

// cmd is a command that the test has written. Its name is its body on the wire.
type cmd struct {
	name string
	exec func(c call) error
}

func (c cmd) Exec(ctx context.Context, at time.Time, seq base.Seq, world World, proxy base.Proxy) error {
	return c.exec(call{ctx, at, seq, world, proxy})
}

type result struct {
	text   string
	last   bool
	encode func() error // instead of encoding
	asked  func() bool  // instead of last
}

func (r result) LastOne() bool {
	if r.asked != nil {
		return r.asked()
	}
	return r.last
}

type commands map[string]func(c call) error

// codec is the server's. Commands that it does not have, it refuses.
type codec struct {
	commands commands
	decode   func(name string) (base.Cmd[World], error) // of names that commands hasn't
}

func (c codec) Encode(r base.Result, w transport.Writer) error {
	if r := r.(result); r.encode != nil {
		return r.encode()
	}
	_, err := w.WriteString(r.(result).text)
	return err
}

func (c codec) Decode(r transport.Reader) (base.Cmd[World], error) {
	name, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	if exec, ok := c.commands[string(name)]; ok {
		return cmd{string(name), exec}, nil
	}
	if c.decode != nil {
		return c.decode(string(name))
	}
	return nil, &base.Error{Outcome: base.Rejected, Code: base.ErrUnknownCmd, Message: "no command " + string(name)}
}

// setup is a handler with one connection, and what came of it.
type setup struct {
	*peer
	conf   handler.Conf[World]
	pool   *handler.Pool
	conn   *handler.Conn[World]
	server *memnet.Conn
	panics []handler.Panic
	log    log
	ctx    context.Context

	decode    func(name string) (base.Cmd[World], error)
	transport transport.Factory
	wrap      func(net.Conn) net.Conn // the server's end; nil: it is not
	plain     bool                    // transport is the plain wire
	maxResult int

	mu    sync.Mutex
	ended []error
}

// test runs a test in a bubble. change may be nil.
func test(t *testing.T, c commands, change func(s *setup), body func(t *testing.T, s *setup)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &setup{pool: handler.NewPool(), ctx: t.Context()}
		s.conf = handler.Conf[World]{
			Invoker: handler.NewInvoker(World{"earth"}), MaxInFlight: 8,
			Logger: slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		}
		s.conf.OnPanic = func(p handler.Panic) { s.panics = append(s.panics, p) }
		if change != nil {
			change(s)
		}
		if s.conf.Codec == nil {
			s.conf.Codec = codec{c, s.decode}
		}
		s.conf.MaxRunning = cmp.Or(s.conf.MaxRunning, 1000)
		s.conf.MaxConnBytes = cmp.Or(s.conf.MaxConnBytes, 8<<20)
		s.conf.BodyTimeout = cmp.Or(s.conf.BodyTimeout, time.Minute)
		s.conf.MaxBytes = cmp.Or(s.conf.MaxBytes, 16<<20)
		h := handler.New(s.conf, s.pool)
		client, server := memnet.Pipe()
		s.server = server
		s.peer = newPeer(t, client, s.plain, wire.ClientHello{MaxResultSize: uint64(s.maxResult)})
		var near net.Conn = server
		if s.wrap != nil {
			near = s.wrap(server)
		}
		conn, hello, _, err := delegate.Accept(t.Context(), near, delegate.ServerConf{
			ConnConf: delegate.ConnConf{Transport: s.transport, Decode: h.Decode},
			Settings: transport.ServerSettings{MaxInFlight: s.conf.MaxInFlight, MaxCmdSize: 1 << 20},
		})
		if err != nil {
			t.Fatal(err)
		}
		session, _, _ := h.Open(s.ctx, &hello, "", nil)
		s.conn, _ = session.Attach(conn, &hello, h.NewMemory())
		s.conn.Start(func(err error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.ended = append(s.ended, err)
		})
		body(t, s)
		s.conn.Close(io.ErrClosedPipe, 0)
		if n := s.pool.Close(time.Minute); n != 0 {
			t.Errorf("%d goroutines of the pool are left", n)
		}
		h.Close()
		settle()
		if ends := s.ends(); len(ends) != 1 {
			t.Errorf("the end of the connection was told %d times", len(ends))
		}
	})
}

// ends returns why the connection has ended, if it has.
func (s *setup) ends() []error {
	settle()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// log is a log in memory.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// settle waits until nothing happens any more: at most one command can have held up
// others, and only for a moment.
func settle() {
	time.Sleep(2 * time.Millisecond)
	synctest.Wait()
}
