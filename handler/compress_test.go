package handler_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/cmdstream/cmdstream/handler"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/wire"
)

// packer makes a visitor with whom the compression runs is agreed upon.
func (h *host) packer() *visitor {
	h.t.Helper()
	v := h.visit(wire.ClientHello{Compressions: []uint64{64}})
	v.connect()
	return v
}

func compressing(c commands) func(conf *handler.Conf[World]) {
	return func(conf *handler.Conf[World]) {
		conf.Codec = inputCodec{codec{commands: c}}
		conf.MaxCmdSize, conf.CompressAbove = 1000, 10
	}
}

// Z1, Z2: bodies in both directions may be compressed, each by itself.
func TestCompressedBodies(t *testing.T) {
	c := commands{
		"aaaaa": echo,
		"above": func(c call) error { return c.last(strings.Repeat("x", 11)) },
		"up to": func(c call) error { return c.last(strings.Repeat("x", 10)) },
		"mixed": func(c call) error { return c.last("no use to compress") },
		"then":  func(c call) error { c.send(strings.Repeat("x", 11)); return c.last("no use to compress") },
		"input": func(c call) error {
			input, err := c.receive()
			if err != nil {
				return err
			}
			return c.last(input.(string))
		},
		"fails": func(c call) error { return c.last(strings.Repeat("?", 11)) },
	}
	withHost(t, nil, compressing(c), func(t *testing.T, h *host) {
		v := h.packer()
		v.write(frame(wire.KindCommand, wire.FlagCompressed, 0, []byte("a5")))
		v.command(1, "above")
		v.command(2, "up to")
		v.command(3, "mixed")
		v.extras(4, wire.Extras{Credit: 2}, "then")
		v.command(5, "input")
		v.write(frame(wire.KindInput, wire.FlagCompressed, 5, []byte("y4")))
		v.command(6, "fails")
		v.expect("0: echo.", "1: x11 compressed.", "2: xxxxxxxxxx.", "3: no use to compress.",
			"4: x11 compressed", "4: no use to compress.", "5: yyyy.", "6: failed, encode: a result can't be compressed: multiple Read calls return no data or error")
	})
	withHost(t, nil, compressing(c), func(t *testing.T, h *host) {
		v := h.guest()
		v.command(0, "above")
		v.expect("0: xxxxxxxxxxx.") // nothing was agreed upon
	})
}

// Z3: a bomb, or garbage, is refused like a body that the codec refuses.
func TestBodiesThatCannotBeDecompressed(t *testing.T) {
	withHost(t, nil, compressing(commands{"input": repeat}), func(t *testing.T, h *host) {
		v := h.packer()
		tooLarge := "the body has more than 1000 bytes once it is decompressed, the server's MaxCmdSize"
		for slot, body := range []string{"x1001", "x1000000000", "garbage"} {
			v.write(frame(wire.KindCommand, wire.FlagCompressed, slot, []byte(body)))
		}
		for slot, body := range map[int]string{3: "x1001", 4: "garbage"} {
			v.command(slot, "input")
			v.write(frame(wire.KindInput, wire.FlagCompressed, slot, []byte(body)))
		}
		v.expect(
			"0: rejected, too_large_cmd: "+tooLarge, "1: rejected, too_large_cmd: "+tooLarge,
			`2: rejected, decode: the body can't be decompressed: strconv.Atoi: parsing "arbage": invalid syntax`,
			"3: failed, too_large_cmd: "+tooLarge,
			`4: failed, decode: the body can't be decompressed: strconv.Atoi: parsing "arbage": invalid syntax`,
		)
	})
}

// Z1: without an agreement it costs the connection, or, where the wire does not look,
// the command.
func TestACompressedBodyThatNobodyAgreedUpon(t *testing.T) {
	withHost(t, commands{"echo": echo}, nil, func(t *testing.T, h *host) {
		v := h.guest()
		v.write(frame(wire.KindCommand, wire.FlagCompressed, 0, []byte("x5")))
		h.broken("compress")
	})
}

// What a session keeps is kept compressed, and goes out so again.
func TestCompressedResultsComeAgain(t *testing.T) {
	withHost(t, nil, compressing(commands{"big": func(c call) error {
		c.send(strings.Repeat("x", 100_000))
		return c.last(strings.Repeat("y", 11))
	}}), func(t *testing.T, h *host) {
		v := h.visit(wire.ClientHello{Session: &wire.Session{ID: wire.SessionID{1}, Epoch: 1}, Compressions: []uint64{64}})
		v.connect()
		v.send(0, 1, 2, "big")
		v.expect("0: x100000 compressed", "0: y11 compressed.")
		v.cut()
		v.resume(stands(0, 1, 0, 2))
		v.inOrder("list 0:seen,0+8", "0: x100000 compressed", "0: y11 compressed.")
	})
}

// A large result goes out by reference: what is compressed after it is elsewhere.
func TestALargeCompressedResultIsNotOverwritten(t *testing.T) {
	withHost(t, nil, compressing(commands{"big": func(c call) error {
		c.send("#" + strings.Repeat("a", 500_000))
		return c.last("#" + strings.Repeat("b", 500_000))
	}}), func(t *testing.T, h *host) {
		v := h.visit(wire.ClientHello{Session: &wire.Session{ID: wire.SessionID{1}, Epoch: 1}, Compressions: []uint64{64}})
		v.connect()
		v.far.Cut(memnet.Stall)
		v.send(0, 1, 2, "big")
		settle()
		v.far.Cut(memnet.None)
		v.resultBytes()
		if a, b := bytes.Count(v.results, []byte("a")), bytes.Count(v.results, []byte("b")); a != 500_000 || b != 500_000 {
			t.Errorf("%d and %d bytes came of the two results", a, b)
		}
	})
}
