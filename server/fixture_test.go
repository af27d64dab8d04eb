package server_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
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

// World is the receiver.
type World struct{}

// cmd is a command that is looked up by its name at the server.
type cmd string

// commands are what commands do, by their names. Of one that is not there the
// codec knows nothing.
type commands map[string]func(ctx context.Context, send func(text string, last bool) error) error

// found is a cmd that was looked up.
type found struct {
	cmd
	exec func(ctx context.Context, send func(text string, last bool) error) error
}

func (c cmd) Exec(context.Context, time.Time, base.Seq, World, base.Proxy) error {
	return errors.New("it is executed at the server only")
}

func (f found) Exec(ctx context.Context, _ time.Time, seq base.Seq, _ World, proxy base.Proxy) error {
	return f.exec(ctx, func(text string, last bool) error { return proxy.Send(seq, result{text, last}) })
}

type result struct {
	text string
	last bool
}

func (r result) LastOne() bool { return r.last }

// serverCodec and clientCodec write commands and results with a line feed, so
// that they do on the plain wire too.
type serverCodec struct{ commands }

func (serverCodec) Encode(r base.Result, w transport.Writer) error {
	mark := "+"
	if r.LastOne() {
		mark = "."
	}
	_, err := w.WriteString(r.(result).text + mark + "\n")
	return err
}

func (c serverCodec) Decode(r transport.Reader) (base.Cmd[World], error) {
	name, err := line(r)
	if err != nil {
		return nil, err
	}
	if exec, ok := c.commands[name]; ok {
		return found{cmd(name), exec}, nil
	}
	return nil, errors.New("no command " + name)
}

type clientCodec struct{}

func (clientCodec) Encode(c base.Cmd[World], w transport.Writer) error {
	_, err := w.WriteString(string(c.(cmd)) + "\n")
	return err
}

func (clientCodec) Decode(r transport.Reader) (base.Result, error) {
	text, err := line(r)
	if err != nil {
		return nil, err
	}
	n := len(text) - 1
	return result{text[:n], text[n] == '.'}, nil
}

func (clientCodec) Size(base.Cmd[World]) int { return 0 }

func line(r io.ByteReader) (string, error) {
	var text []byte
	for {
		b, err := r.ReadByte()
		if err != nil {
			return "", err
		}
		if b == '\n' {
			return string(text), nil
		}
		text = append(text, b)
	}
}

func echo(_ context.Context, send func(string, bool) error) error { return send("echo", true) }

// wait runs until its ctx ends.
func wait(ctx context.Context, _ func(string, bool) error) error {
	<-ctx.Done()
	return ctx.Err()
}

// house is a server that serves in memory.
type house struct {
	*server.Server
	t      *testing.T
	l      *memnet.Listener
	served chan error                  // what Serve has returned
	far    atomic.Pointer[memnet.Conn] // the server's end of the last connection
	log    *log
}

// start starts a server in a bubble. At its end it is closed.
func start(t *testing.T, conf server.Conf[World], c commands) *house {
	t.Helper()
	if c == nil {
		c = commands{}
	}
	c["echo"] = echo
	return startWith(t, conf, serverCodec{c})
}

// startWith is start with a codec.
func startWith(t *testing.T, conf server.Conf[World], codec server.Codec[World]) *house {
	t.Helper()
	h := &house{t: t, l: memnet.Listen(), served: make(chan error, 1), log: new(log)}
	if conf.Logger == nil {
		conf.Logger = slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	s, err := server.New[World](codec, World{}, conf)
	if err != nil {
		t.Fatal(err)
	}
	h.Server = s
	h.l.OnDial(func(_, far *memnet.Conn) { h.far.Store(far) })
	go func() { h.served <- s.Serve(h.l) }()
	t.Cleanup(func() { s.Close() })
	settle()
	return h
}

// dial makes a connection on which nothing is said yet.
func (h *house) dial() *memnet.Conn {
	h.t.Helper()
	conn, err := h.l.Dial(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	return conn.(*memnet.Conn)
}

// connect makes a client over a connection of its own.
func (h *house) connect(conf client.Conf) (*client.Client[World], error) {
	conf.Logger = slog.New(slog.DiscardHandler)
	c, err := client.New[World](h.t.Context(), clientCodec{}, h.dial(), conf)
	if err == nil {
		h.t.Cleanup(func() { c.Close() })
	}
	return c, err
}

// client is connect without an error.
func (h *house) client() *client.Client[World] {
	h.t.Helper()
	c, err := h.connect(client.Conf{})
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// echoes checks that c's commands are run.
func (h *house) echoes(c *client.Client[World]) {
	h.t.Helper()
	if r, err := c.Do(h.t.Context(), cmd("echo")); err != nil || r.(result).text != "echo" {
		h.t.Errorf("got %v, %v", r, err)
	}
}

// Stats are the server's once nothing happens any more: a client may have its result a
// moment before the server has done with the command.
func (h *house) Stats() server.Stats {
	settle()
	return h.Server.Stats()
}

// run has c run a command, and returns where its end will be told.
func (h *house) run(c *client.Client[World], name string) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := c.Do(context.Background(), cmd(name))
		done <- err
	}()
	settle()
	return done
}

// expectServed checks what Serve has returned, and that it has.
func (h *house) expectServed(want error) {
	h.t.Helper()
	settle()
	select {
	case err := <-h.served:
		if !errors.Is(err, want) {
			h.t.Errorf("Serve returned %v, want %v", err, want)
		}
	default:
		h.t.Error("Serve has not returned")
	}
}

// expectLog checks that a line of the log, and one only, has all the words.
func (h *house) expectLog(words ...string) {
	h.t.Helper()
	settle()
	n := 0
lines:
	for line := range strings.Lines(h.log.String()) {
		for _, word := range words {
			if !strings.Contains(line, word) {
				continue lines
			}
		}
		n++
	}
	if n != 1 {
		h.t.Errorf("%d lines with %q in the log:\n%s", n, words, h.log)
	}
}

// sayHello says hello on nc, and returns the server's.
func sayHello(t *testing.T, nc net.Conn) wire.ServerHello {
	t.Helper()
	b, err := wire.AppendClientHello(nil, wire.ClientHello{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Write(b); err != nil {
		t.Fatal(err)
	}
	return hearHello(t, nc)
}

func hearHello(t *testing.T, nc net.Conn) wire.ServerHello {
	t.Helper()
	b := make([]byte, 16<<10)
	for n := 0; ; {
		m, err := nc.Read(b[n:])
		if err != nil {
			t.Fatal(err)
		}
		n += m
		_, length, begin, err := wire.ParsePrefix(b[:n])
		if err != nil || n < begin+length {
			continue
		}
		h, err := wire.ParseServerHello(b[begin : begin+length])
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
}

// isClosed reads what is left on nc, and reports whether it ends in order.
func isClosed(nc net.Conn) bool {
	_, err := io.Copy(io.Discard, nc)
	return err == nil
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

func countLines(l *log, word string) (n int) {
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, word) {
			n++
		}
	}
	return n
}

// settle waits until nothing happens any more: at most one command can have held up
// others, and only for a moment.
func settle() {
	time.Sleep(2 * time.Millisecond)
	synctest.Wait()
}
