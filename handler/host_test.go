package handler_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"strconv"
	"strings"
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

// host is a handler as a server has it: clients connect to it, and come back.
type host struct {
	*handler.Handler[World]
	t         *testing.T
	pool      *handler.Pool
	log       log
	transport transport.Factory
	wrap      func(net.Conn) net.Conn // the server's end of a connection; nil: it is not wrapped

	mu    sync.Mutex
	conns []*handler.Conn[World]
	ended []error // why connections ended
}

// withHost runs a test in a bubble. change may be nil. Whatever the test does, at its
// end nothing runs, and no memory is held.
func withHost(t *testing.T, c commands, change func(conf *handler.Conf[World]), body func(t *testing.T, h *host)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &host{t: t, pool: handler.NewPool()}
		conf := handler.Conf[World]{
			Codec: inputCodec{codec{commands: c}}, Invoker: handler.NewInvoker(World{"earth"}),
			MaxInFlight: 8, MaxRunning: 1000, MaxQueued: 1000, MaxQueueTime: time.Hour,
			MaxConnBytes: 8 << 20, MaxBytes: 16 << 20, BodyTimeout: time.Minute, MaxCmdSize: 1 << 20, CompressAbove: 1 << 10,
			Sessions: handler.SessionConf{Time: time.Minute, Max: 100, MaxBytes: 1 << 20, TotalBytes: 8 << 20},
			Logger:   slog.New(slog.NewTextHandler(&h.log, nil)),
		}
		if change != nil {
			change(&conf)
		}
		h.Handler = handler.New(conf, h.pool)
		body(t, h)
		h.mu.Lock()
		conns := h.conns
		h.mu.Unlock()
		for _, conn := range conns {
			conn.Close(io.ErrClosedPipe, 0)
		}
		h.EndSessions(io.ErrClosedPipe)
		if n := h.pool.Close(time.Minute); n != 0 {
			t.Errorf("%d goroutines of the pool are left", n)
		}
		h.Close()
		settle()
		if h.Running() != 0 || h.Queued() != 0 || h.Bytes() != 0 || h.KeptBytes() != 0 {
			t.Errorf("at the end %d commands run, %d wait, %d bytes are held, and %d kept", h.Running(), h.Queued(), h.Bytes(), h.KeptBytes())
		}
	})
}

// visitor is a client of a host: one connection after the other, of one session, if
// it has asked for one.
type visitor struct {
	*peer // of the newest connection
	host  *host
	hello wire.ClientHello
	name  string          // the principal's
	ctx   context.Context // the session's; nil: the test's
	far   *memnet.Conn
	conn  *handler.Conn[World]
}

// visit makes a visitor with a hello, that is not connected.
func (h *host) visit(hello wire.ClientHello) *visitor {
	return &visitor{host: h, hello: hello}
}

// open makes a visitor that opens a session, which id names.
func (h *host) open(id byte) *visitor {
	h.t.Helper()
	v := h.visit(wire.ClientHello{Session: &wire.Session{ID: wire.SessionID{id}, Epoch: 1}})
	v.connect()
	return v
}

// guest makes a visitor without a session.
func (h *host) guest() *visitor {
	h.t.Helper()
	v := h.visit(wire.ClientHello{})
	v.connect()
	return v
}

// connect says hello over a new connection, and returns the answer. What was said over
// an old one is lost to the visitor.
func (v *visitor) connect() wire.ServerHello {
	v.host.t.Helper()
	near, far := memnet.Pipe()
	v.far, v.conn = far, nil
	v.peer = newPeer(v.host.t, near, false, v.hello)
	go v.host.accept(v, far)
	settle()
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.answer
}

// cut ends the connection without a word.
func (v *visitor) cut() {
	v.peer.conn.Cut(memnet.RST)
	settle()
}

// again says the hello of a resume, and sends no list.
func (v *visitor) again() wire.ServerHello {
	v.host.t.Helper()
	session := *v.hello.Session
	session.Resume = true
	session.Epoch++
	v.hello.Session = &session
	return v.connect()
}

// resume resumes the session over a new connection, with a list.
func (v *visitor) resume(slots ...wire.ClientSlot) {
	v.host.t.Helper()
	if answer := v.again(); answer.Status != wire.StatusOK {
		v.host.t.Errorf("the session is not resumed: %+v", answer)
	}
	v.list(wire.FlagLast, slots...)
}

func (v *visitor) list(flags wire.Flags, slots ...wire.ClientSlot) {
	v.host.t.Helper()
	var payload []byte
	for _, s := range slots {
		payload = wire.AppendClientSlot(payload, s)
	}
	v.write(frame(wire.KindResume, flags, 0, payload))
}

// stands is what a client says of a slot.
func stands(slot, seq, seen, credit uint64) wire.ClientSlot {
	return wire.ClientSlot{Slot: slot, Seq: seq, Seen: seen, Credit: credit}
}

// send sends a command with its seq, and credit for so many results.
func (v *visitor) send(slot int, seq, credit uint64, name string) {
	v.host.t.Helper()
	v.extras(slot, wire.Extras{Seq: seq, Credit: credit}, name)
}

func (v *visitor) ack(slot int, seen uint64) {
	v.host.t.Helper()
	v.write(frame(wire.KindAck, 0, slot, wire.AppendUvarint(nil, seen)))
}

func (v *visitor) input(slot int, text string) {
	v.host.t.Helper()
	v.write(frame(wire.KindInput, 0, slot, []byte(text)))
}

// accept serves a connection, as a server does.
func (h *host) accept(v *visitor, far *memnet.Conn) {
	var session *handler.Session[World]
	memory := h.NewMemory()
	ctx := v.ctx
	if ctx == nil {
		ctx = h.t.Context()
	}
	var nc net.Conn = far
	if h.wrap != nil {
		nc = h.wrap(far)
	}
	conn, hello, _, err := delegate.Accept(h.t.Context(), nc, delegate.ServerConf{
		ConnConf: delegate.ConnConf{Transport: h.transport, Decode: h.Decode, Budget: memory},
		Settings: transport.ServerSettings{MaxInFlight: h.MaxInFlight, MaxCmdSize: h.MaxCmdSize},
		Admit: func(_ context.Context, hello *transport.Hello, _ *tls.ConnectionState, answer *transport.Hello) {
			var compression transport.Compression
			if len(hello.Compressions) > 0 {
				compression, answer.Compression = runs{}, runs{}.ID()
			}
			if hello.Session != nil && hello.Session.Resume {
				session, answer.Status, answer.Text = h.Resume(context.Background(), hello, v.name, compression, func(*handler.Conn[World]) {})
			} else {
				session, answer.Status, answer.Text = h.Open(ctx, hello, v.name, compression)
			}
		},
	})
	if err != nil {
		if session != nil {
			session.Abandon(&hello)
		}
		return
	}
	c, err := session.Attach(conn, &hello, memory)
	if err != nil {
		conn.Fail(err)
		conn.Join()
		return
	}
	h.mu.Lock()
	v.conn = c
	h.conns = append(h.conns, c)
	h.mu.Unlock()
	c.Start(func(err error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.ended = append(h.ended, err)
	})
}

// broken checks that one connection has ended, by a rule that was broken.
func (h *host) broken(rule string) {
	h.t.Helper()
	settle()
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, err := range h.ended {
		if errors.Is(err, base.ErrProtocol) && strings.Contains(err.Error(), rule) {
			n++
		}
	}
	if n != 1 {
		h.t.Errorf("%d of the connections ended by %q: %v", n, rule, h.ended)
	}
}

// inputCodec is a codec whose commands can be sent inputs: texts.
type inputCodec struct{ codec }

func (inputCodec) DecodeInput(_ base.Cmd[World], r transport.Reader) (any, error) {
	text, err := io.ReadAll(r)
	switch string(text) {
	case "refused":
		return nil, errors.New("refused on purpose")
	case "panic":
		panic("on purpose")
	}
	return string(text), err
}

// receive takes the next input.
func (c call) receive() (any, error) { return c.Proxy.(base.Inputs).Receive(c.seq) }

// runs is a compression of bodies that have one byte only: "x5" is five of them. One
// that begins with a # becomes shorter by that, and all others become longer.
type runs struct{}

func (runs) ID() uint64 { return 64 }

func (runs) Compress(dst, body []byte) ([]byte, error) {
	switch {
	case bytes.HasPrefix(body, []byte("?")):
		return nil, io.ErrNoProgress
	case bytes.HasPrefix(body, []byte("#")):
		return append(dst, body[1:]...), nil
	case len(bytes.Trim(body, string(body[:1]))) > 0:
		return append(append(dst, body...), body...), nil
	}
	return strconv.AppendInt(append(dst, body[0]), int64(len(body)), 10), nil
}

func (runs) Decompress(dst, body []byte, limit int) ([]byte, error) {
	if bytes.HasPrefix(body, []byte("panic")) {
		panic("on purpose")
	}
	n, err := strconv.Atoi(string(body[min(1, len(body)):]))
	switch {
	case err != nil:
		return nil, err
	case n > cmp.Or(limit, math.MaxInt):
		return nil, transport.ErrTooLarge
	}
	return append(dst, bytes.Repeat(body[:1], n)...), nil
}

// handlerHello is a client's hello as a transport has read it.
func handlerHello(s wire.Session) *transport.Hello { return &transport.Hello{Session: &s} }
