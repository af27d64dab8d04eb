package mus_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/mus-format/mus-stream-go/ord"
	"github.com/mus-format/mus-stream-go/varint"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/cmdstreamtest"
	"github.com/cmdstream/cmdstream/codec/mus"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/transport"
)

var (
	_ client.Codec[calc] = (*mus.ClientCodec[calc])(nil)
	_ server.Codec[calc] = (*mus.ServerCodec[calc])(nil)
)

// echoCmd is a command with a pointer and a text of any length.
type echoCmd struct{ Text string }

func (c *echoCmd) Exec(_ context.Context, _ time.Time, seq base.Seq, _ calc, proxy base.Proxy) error {
	return proxy.Send(seq, echo(c.Text))
}

type echo string

func (echo) LastOne() bool { return true }

// textOf is the serializer of what is nothing but a text.
type textOf[T any] struct {
	to   func(T) string
	from func(string) T
}

func (s textOf[T]) Marshal(v T, w mus.Writer) (int, error) { return mus.String.Marshal(s.to(v), w) }
func (s textOf[T]) Size(v T) int                           { return mus.String.Size(s.to(v)) }
func (s textOf[T]) Skip(r mus.Reader) (int, error)         { return mus.String.Skip(r) }
func (s textOf[T]) Unmarshal(r mus.Reader) (T, int, error) {
	text, n, err := mus.String.Unmarshal(r)
	return s.from(text), n, err
}

var (
	echoSer    = textOf[echo]{func(e echo) string { return string(e) }, func(s string) echo { return echo(s) }}
	echoCmdSer = ord.NewPtrSer[echoCmd](textOf[echoCmd]{func(c echoCmd) string { return c.Text }, func(s string) echoCmd { return echoCmd{s} }})
)

func newCodec() *mus.Codec[calc] {
	return mus.NewCodec(
		mus.Command[calc](1, addCmdSer{}),
		mus.Command[calc](300, echoCmdSer),
		mus.Result[calc](1, sumSer{}),
		mus.Result[calc](2, echoSer),
	)
}

// Over both wires, one with bodies in memory and one that is a mere stream.
func TestCodec(t *testing.T) {
	for name, wire := range map[string]transport.Factory{"framed": nil, "plain": transport.Plain} {
		t.Run(name, func(t *testing.T) {
			codec := newCodec()
			c := cmdstreamtest.New(t, codec.Client(), codec.Server(), calc{}, cmdstreamtest.Conf[calc]{
				Client: client.Conf{Transport: wire}, Server: server.Conf[calc]{Transport: wire},
			})
			if got, err := c.Do(t.Context(), addCmd{2, 3}); got != sum(5) || err != nil {
				t.Errorf("got %v, %v", got, err)
			}
			for _, n := range []int{0, 100, 70_000, 1 << 20} {
				text := strings.Repeat("x", n)
				if got, err := c.Do(t.Context(), &echoCmd{text}); got != echo(text) || err != nil {
					t.Errorf("%d bytes: %v", n, err)
				}
			}
			if got, err := c.Do(t.Context(), addCmd{-2, -3}); got != sum(-5) || err != nil {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

// unknown is no command of the codec.
type unknown struct{ addCmd }

// What can't be sent is one clear error, and nothing is received of it.
func TestCommandsThatCantBeSent(t *testing.T) {
	codec := newCodec()
	c := cmdstreamtest.New(t, codec.Client(), codec.Server(), calc{})
	for name, test := range map[string]struct {
		cmd     base.Cmd[calc]
		code    base.Code
		outcome base.Outcome
		want    string
	}{
		"unknown":   {unknown{}, base.ErrUnknownCmd, base.NotSent, "the codec has no serializer for it"},
		"nil":       {(*echoCmd)(nil), base.ErrNilCmd, base.NotSent, "it is a nil pointer"},
		"too large": {&echoCmd{strings.Repeat("x", 5<<20)}, base.ErrTooLargeCmd, base.Rejected, "it has 5242887 bytes, the server's MaxCmdSize is 4194304"},
	} {
		_, err := c.Do(t.Context(), test.cmd)
		if !errors.Is(err, test.code) || base.OutcomeOf(err) != test.outcome || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := codec.Client().Encode(nil, new(transport.Buffer)); !errors.Is(err, base.ErrNilCmd) {
		t.Errorf("no command: %v", err)
	}
	if err := codec.Server().Encode(base.End{}, new(transport.Buffer)); !errors.Is(err, base.ErrUnknownCmd) || base.OutcomeOf(err) != base.Failed {
		t.Errorf("another result: %v", err)
	}
}

// A writer's error is returned as one of encoding.
func TestAWriterThatFails(t *testing.T) {
	for room := range 3 {
		err := newCodec().Client().Encode(addCmd{1, 2}, &narrow{room})
		if !errors.Is(err, base.ErrEncode) || !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("room for %d bytes: %v", room, err)
		}
	}
	if err := newCodec().Client().Encode(addCmd{1, 2}, &narrow{3}); err != nil {
		t.Error(err)
	}
}

// narrow takes so many bytes.
type narrow struct{ room int }

func (w *narrow) WriteByte(byte) error {
	if w.room--; w.room < 0 {
		return io.ErrShortWrite
	}
	return nil
}

func (w *narrow) Write(p []byte) (int, error) {
	for i := range p {
		if err := w.WriteByte(0); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

func (w *narrow) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

// Commands that are wrong, as a body and from a stream: one clear error each, and no
// memory is taken for what they announce.
func TestRefusedCommands(t *testing.T) {
	huge := binary.AppendUvarint([]byte{0xac, 2, 0}, 1<<40) // the tag 300, not nil, and a length
	for name, test := range map[string]struct {
		data []byte
		code base.Code
		want string
	}{
		"nothing":        {nil, "", "the tag can't be read: EOF"},
		"a cut tag":      {[]byte{0xac}, "", "the tag can't be read: EOF"},
		"a wrong tag":    {bytes.Repeat([]byte{0xff}, 11), "", "the tag can't be read: mus: overflow"},
		"an unknown tag": {[]byte{9, 0}, base.ErrUnknownCmd, "the codec has nothing with the tag 9"},
		"a cut value":    {[]byte{1, 1}, base.ErrDecode, "command mus_test.addCmd: it (tag 1) can't be decoded: mus: mus_test.addCmd: the data ends within the value: unexpected EOF"},
		"a long text":    {huge, base.ErrDecode, "the data ends within the value: unexpected EOF"},
		"a nil pointer":  {[]byte{0xac, 2, 1}, base.ErrNilCmd, "what came (tag 300) stands for a nil pointer"},
	} {
		for kind, r := range map[string]transport.Reader{
			"body": transport.NewBody(test.data), "stream": bufio.NewReader(iotest.OneByteReader(bytes.NewReader(test.data))),
		} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			cmd, err := newCodec().Server().Decode(r)
			runtime.ReadMemStats(&after)
			if cmd != nil || err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s, %s: got %v, %v", name, kind, cmd, err)
			}
			if test.code != "" && (!errors.Is(err, test.code) || base.OutcomeOf(err) != base.Rejected) {
				t.Errorf("%s, %s: got %v, outcome %v", name, kind, err, base.OutcomeOf(err))
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
				t.Errorf("%s, %s: %d bytes were allocated", name, kind, n)
			}
		}
	}
	// A body holds one command, a stream goes on.
	two := []byte{1, 2, 4, 1, 6, 8}
	if _, err := newCodec().Server().Decode(transport.NewBody(two)); !errors.Is(err, base.ErrDecode) {
		t.Errorf("a body of two: %v", err)
	}
	stream := bytes.NewReader(two)
	for _, want := range []addCmd{{1, 2}, {3, 4}} {
		if got, err := newCodec().Server().Decode(stream); got != want || err != nil {
			t.Errorf("got %v, %v", got, err)
		}
	}
}

func TestRefusedResults(t *testing.T) {
	if result, err := newCodec().Client().Decode(transport.NewBody([]byte{1})); result != nil || !errors.Is(err, base.ErrDecode) || base.OutcomeOf(err) != base.Failed {
		t.Errorf("got %v, %v", result, err)
	}
	cut := errors.New("cut")
	_, err := newCodec().Client().Decode(bufio.NewReader(io.MultiReader(strings.NewReader("\x02\x05ab"), iotest.ErrReader(cut))))
	if !errors.Is(err, cut) {
		t.Errorf("an error of the reader became %v", err)
	}
}

// forest is a command that nests in itself.
type forest struct{ tree }

func (forest) Exec(context.Context, time.Time, base.Seq, calc, base.Proxy) error { return nil }

type forestSer struct{ treeSer }

func (s forestSer) Marshal(v forest, w mus.Writer) (int, error) { return s.treeSer.Marshal(v.tree, w) }
func (s forestSer) Size(v forest) int                           { return s.treeSer.Size(v.tree) }
func (s forestSer) Unmarshal(r mus.Reader) (forest, int, error) {
	v, n, err := s.treeSer.Unmarshal(r)
	return forest{v}, n, err
}

func TestADeepCommand(t *testing.T) {
	codec := mus.NewCodec(mus.Command[calc](1, forestSer{}))
	for _, test := range []struct {
		max, depth int
		ok         bool
	}{{0, 100, true}, {0, 500, false}, {30, 100, false}, {5000, 1000, true}} {
		codec.MaxDepth = test.max
		data := append([]byte{1}, nested(test.depth)...)
		for kind, r := range map[string]transport.Reader{"body": transport.NewBody(data), "stream": bytes.NewReader(data)} {
			_, err := codec.Server().Decode(r)
			if (err == nil) != test.ok || err != nil && !strings.Contains(err.Error(), "MaxDepth") {
				t.Errorf("%+v, %s: %v", test, kind, err)
			}
		}
	}
}

func TestSize(t *testing.T) {
	c := newCodec().Client()
	for _, cmd := range []base.Cmd[calc]{addCmd{1, 1000}, &echoCmd{"text"}} {
		var w transport.Buffer
		if err := c.Encode(cmd, &w); err != nil || len(w.B) != c.Size(cmd) {
			t.Errorf("%T has the size %d, and %d bytes, %v", cmd, c.Size(cmd), len(w.B), err)
		}
	}
	for _, cmd := range []base.Cmd[calc]{nil, unknown{}, (*echoCmd)(nil)} {
		if got := c.Size(cmd); got != 0 {
			t.Errorf("%T has the size %d", cmd, got)
		}
	}
}

func TestCodecsThatCantBe(t *testing.T) {
	for want, make := range map[string]func(){
		"mus: mus_test.addCmd and *mus_test.echoCmd have the same tag 1": func() { mus.NewCodec(mus.Command[calc](1, addCmdSer{}), mus.Command[calc](1, echoCmdSer)) },
		"mus: mus_test.sum has two tags, 1 and 2":                        func() { mus.NewCodec(mus.Result[calc](1, sumSer{}), mus.Result[calc](2, sumSer{})) },
		"mus: the serializer of mus_test.addCmd is nil":                  func() { mus.NewCodec(mus.Command[calc, addCmd](1, nil)) },
	} {
		if got := panicOf(make); got != want {
			t.Errorf("got  %v\nwant %s", got, want)
		}
	}
}

// The tag is what mus-format calls a DTM.
func TestTheWire(t *testing.T) {
	var w transport.Buffer
	if err := newCodec().Client().Encode(&echoCmd{"ab"}, &w); err != nil || string(w.B) != "\xac\x02\x00\x02ab" {
		t.Errorf("got %q, %v", w.B, err)
	}
	if dtm, n, err := varint.PositiveInt.Unmarshal(bytes.NewReader(w.B)); dtm != 300 || n != 2 || err != nil {
		t.Errorf("got %d, %d bytes, %v", dtm, n, err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, cmd := range []base.Cmd[calc]{addCmd{1, -1}, &echoCmd{"text"}} {
		var w transport.Buffer
		if err := newCodec().Client().Encode(cmd, &w); err != nil {
			f.Fatal(err)
		}
		f.Add(w.B)
	}
	codec := mus.NewCodec(
		mus.Command[calc](1, addCmdSer{}), mus.Command[calc](300, echoCmdSer), mus.Command[calc](2, forestSer{}),
		mus.Result[calc](1, sumSer{}), mus.Result[calc](2, echoSer),
	)
	f.Fuzz(func(t *testing.T, data []byte) {
		whole, failed := codec.Server().Decode(transport.NewBody(data))
		rest := bytes.NewReader(data)
		if cmd, err := codec.Server().Decode(rest); err == nil {
			var w transport.Buffer
			if err := codec.Client().Encode(cmd, &w); err != nil || len(w.B) != codec.Client().Size(cmd) {
				t.Errorf("%T: %d bytes, size %d, %v", cmd, len(w.B), codec.Client().Size(cmd), err)
			}
			if (failed == nil) != (rest.Len() == 0) {
				t.Errorf("as a body: %v, %v; %d bytes are left of the stream", whole, failed, rest.Len())
			}
		} else if failed == nil {
			t.Errorf("as a body: %v; as a stream: %v", whole, err)
		}
		codec.Client().Decode(transport.NewBody(data)) // it may be a result, too
	})
}
