package client_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/transport"
)

// serverConf is short for the server's Conf.
type serverConf = server.Conf[receiver]

// receiver is what a test wants the server to do with each command.
type receiver func(ctx context.Context, cmd command, seq base.Seq, proxy base.Proxy) error

// command is the one type of command here: the receiver knows what it means.
type command struct {
	N    int
	Body []byte
}

func (c command) Exec(ctx context.Context, _ time.Time, seq base.Seq, r receiver, proxy base.Proxy) error {
	return r(ctx, c, seq, proxy)
}

// content is a method of those that have a command embedded, too.
func (c command) content() command { return c }

// result is the one type of result.
type result struct {
	N    int
	Last bool
	Body []byte
}

func (r result) LastOne() bool { return r.Last }

// Receivers that several tests use.

// echo answers with the command's own content.
func echo(_ context.Context, cmd command, seq base.Seq, proxy base.Proxy) error {
	return proxy.Send(seq, result{N: cmd.N, Last: true, Body: cmd.Body})
}

// count sends the numbers from 1 to N.
func count(_ context.Context, cmd command, seq base.Seq, proxy base.Proxy) error {
	for n := range cmd.N {
		if err := proxy.Send(seq, result{N: n + 1, Last: n+1 == cmd.N}); err != nil {
			return err
		}
	}
	return nil
}

// codec writes N as a uvarint, the length of Body likewise, and Body, so that it
// serves the plain wire too. The functions, where set, do more.
type codec struct {
	encode func(cmd command) error
	decode func(r result) error
	size   func(cmd command) int
}

func (c codec) Encode(cmd base.Cmd[receiver], w transport.Writer) error {
	is, ok := cmd.(interface{ content() command })
	if !ok {
		return &base.Error{Code: base.ErrUnknownCmd, Message: fmt.Sprintf("%T is not a command", cmd)}
	}
	v := is.content()
	if c.encode != nil {
		if err := c.encode(v); err != nil {
			return err
		}
	}
	b := binary.AppendUvarint(nil, uint64(v.N))
	b = binary.AppendUvarint(b, uint64(len(v.Body)))
	_, err := w.Write(append(b, v.Body...))
	return err
}

func (c codec) Decode(r transport.Reader) (base.Result, error) {
	last, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	n, body, err := content(r)
	if err != nil {
		return nil, err
	}
	v := result{N: n, Last: last == 1, Body: body}
	if c.decode != nil {
		err = c.decode(v)
	}
	return v, err
}

func (c codec) Size(cmd base.Cmd[receiver]) int {
	if v, ok := cmd.(command); ok && c.size != nil {
		return c.size(v)
	}
	return 0
}

// EncodeInput writes an input, which is bytes, as it is.
func (c codec) EncodeInput(_ base.Cmd[receiver], input any, w transport.Writer) error {
	_, err := w.Write(input.([]byte))
	return err
}

// serverCodec is the other side's.
type serverCodec struct{}

func (serverCodec) Encode(r base.Result, w transport.Writer) error {
	_, err := w.Write(encodeResult(r.(result)))
	return err
}

func (serverCodec) Decode(r transport.Reader) (base.Cmd[receiver], error) {
	n, body, err := content(r)
	return command{N: n, Body: body}, err
}

func encodeResult(r result) []byte {
	b := []byte{0}
	if r.Last {
		b[0] = 1
	}
	b = binary.AppendUvarint(b, uint64(r.N))
	b = binary.AppendUvarint(b, uint64(len(r.Body)))
	return append(b, r.Body...)
}

func content(r transport.Reader) (n int, body []byte, err error) {
	v, err := binary.ReadUvarint(r)
	if err != nil {
		return 0, nil, err
	}
	size, err := binary.ReadUvarint(r)
	if err != nil {
		return 0, nil, err
	}
	if size > 64<<20 {
		return 0, nil, errors.New("a body of more than 64 MiB")
	}
	if size > 0 { // memory is taken as the body comes
		body, err = io.ReadAll(io.LimitReader(r, int64(size)))
		if err == nil && len(body) < int(size) {
			err = io.ErrUnexpectedEOF
		}
	}
	return int(v), body, err
}

// bubble runs a test in simulated time.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

var quiet = slog.New(slog.DiscardHandler)

// serve runs a server until the test's end.
func serve(t testing.TB, r receiver, conf server.Conf[receiver]) *memnet.Listener {
	t.Helper()
	l, _ := serveOn(t, memnet.Listen(), r, conf)
	return l
}

func serveOn(t testing.TB, l *memnet.Listener, r receiver, conf server.Conf[receiver]) (*memnet.Listener, *server.Server) {
	t.Helper()
	conf.Logger = quiet
	s, err := server.New(serverCodec{}, r, conf)
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return l, s
}

// dial returns a client on one connection to l, until the test's end.
func dial(t testing.TB, l *memnet.Listener, conf client.Conf) *client.Client[receiver] {
	t.Helper()
	conn, err := l.Dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return over(t, conn, codec{}, conf)
}

func over(t testing.TB, conn net.Conn, c codec, conf client.Conf) *client.Client[receiver] {
	t.Helper()
	if conf.Logger == nil {
		conf.Logger = quiet
	}
	cl, err := client.New(context.Background(), c, conn, conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cl.Close() })
	return cl
}

// redial returns a client that reconnects to l, until the test's end.
func redial(t testing.TB, dialer client.Dialer, conf client.Conf) *client.Client[receiver] {
	t.Helper()
	if conf.Logger == nil {
		conf.Logger = quiet
	}
	cl, err := client.NewReconnect(context.Background(), codec{}, dialer, conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cl.Close() })
	return cl
}

// mustDo does a command that echoes.
func mustDo(t testing.TB, c *client.Client[receiver], n int) {
	t.Helper()
	r, err := c.Do(context.Background(), command{N: n})
	if err != nil {
		t.Errorf("command %d: %v", n, err)
	} else if r.(result).N != n {
		t.Errorf("command %d got the result of command %d", n, r.(result).N)
	}
}

// want checks an error's outcome and what errors.Is must find in it.
func want(t testing.TB, err error, outcome base.Outcome, is ...error) {
	t.Helper()
	var e *base.Error
	if !errors.As(err, &e) {
		t.Errorf("got %v (%T), want a *base.Error", err, err)
		return
	}
	if e.Outcome != outcome {
		t.Errorf("got the outcome %v, want %v: %v", e.Outcome, outcome, err)
	}
	for _, target := range is {
		if !errors.Is(err, target) {
			t.Errorf("errors.Is does not find %q in %q", target, err)
		}
	}
}

// took checks how much simulated time has passed since begin.
func took(t testing.TB, begin time.Time, want time.Duration) {
	t.Helper()
	// The wheel's ticks make a Conf.Timeout up to two milliseconds late.
	if got := time.Since(begin); got < want || got > want+2*time.Millisecond {
		t.Errorf("it took %v, want %v", got, want)
	}
}

// unexpected collects what the UnexpectedResultCallback hears.
type unexpected struct {
	mu   sync.Mutex
	seqs []base.Seq
	ns   []int
}

func (u *unexpected) callback(seq base.Seq, r base.Result) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.seqs = append(u.seqs, seq)
	u.ns = append(u.ns, r.(result).N)
}

func (u *unexpected) numbers() []int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]int(nil), u.ns...)
}
