package transport

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// maxBody is the limit of bodies in most tests.
const maxBody = 4 << 20

func framedClient() Transport { return Framed(Options{MaxBody: maxBody, MaxSlots: 300}) }

// framedIdle is framedClient where no command is open.
func framedIdle() Transport {
	return Framed(Options{MaxBody: maxBody, MaxSlots: 300, Open: func(int) bool { return false }})
}

func framedServer() Transport { return Framed(Options{Server: true, MaxBody: maxBody, MaxSlots: 300}) }

// encode returns the bytes of messages, large ones whole.
func encode(wire Transport, messages ...Message) []byte {
	var b []byte
	for _, m := range messages {
		for more := true; more; {
			var tail []byte
			b, tail, more = wire.Append(b, &m)
			b = append(b, tail...)
		}
	}
	return b
}

// readAll returns the messages in b, and the error that ended the reading. The
// bodies are copies.
func readAll(wire Transport, b []byte) ([]Message, error) {
	return readFrom(wire, bufio.NewReaderSize(bytes.NewReader(b), readBuffer))
}

func readFrom(wire Transport, r *bufio.Reader) (messages []Message, err error) {
	for {
		var m Message
		if err := wire.Read(r, &m); err != nil {
			return messages, err
		}
		messages = append(messages, ownBody(m))
	}
}

// ownBody returns m with a body of its own, in one piece.
func ownBody(m Message) Message {
	if m.Body = bytes.Clone(m.Body); m.Pieces != nil {
		var body Body
		body.SetPieces(m.Pieces)
		m.Body, m.Pieces, m.Reserved = body.Bytes(), nil, 0
	}
	return m
}

// pattern returns n bytes that differ from those near them, and whose pieces of
// any usual size differ from one another.
func pattern(n int) []byte {
	const period = 65_521
	b := make([]byte, n)
	for i := range min(n, period) {
		b[i] = byte(i*7 + i>>8)
	}
	for done := period; done < n; {
		done += copy(b[done:], b[:done])
	}
	return b
}

// wantRule wants err to be of a broken rule, in words that hold part.
func wantRule(t *testing.T, err error, part string) {
	t.Helper()
	if asError(err).Code != base.ErrProtocol || !strings.Contains(err.Error(), part) {
		t.Errorf("got %v, want a broken rule with %q in it", err, part)
	}
}

// wantCode wants err to be an *Error with the code.
func wantCode(t *testing.T, err error, code base.Code) {
	t.Helper()
	if !errors.Is(err, code) {
		t.Errorf("got %v, want the code %q", err, string(code))
	}
}

// wantRefusal wants m to be a body that can't be taken.
func wantRefusal(t *testing.T, m Message, slot int, outcome base.Outcome, code base.Code) {
	t.Helper()
	switch {
	case m.Err == nil:
		t.Errorf("slot %d: the message %+v has no error", slot, m)
	case m.Slot != slot || m.Err.Outcome != outcome || m.Err.Code != code:
		t.Errorf("slot %d was refused as %v, %v: %v; want slot %d as %v, %v", m.Slot, m.Err.Outcome, m.Err.Code, m.Err, slot, outcome, code)
	}
}

// wantEnd wants err to be the end of the bytes, between two messages.
func wantEnd(t *testing.T, err error) {
	t.Helper()
	if err != io.EOF {
		t.Errorf("the reading ended with %v", err)
	}
}
