package handler_test

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/wire"
)

// peer is a client made of bytes: it says what the test wants, and notes what it
// hears.
type peer struct {
	t    *testing.T
	conn *memnet.Conn

	mu      sync.Mutex
	answer  wire.ServerHello
	heard   []string
	failure wire.Failure // the last one
	results []byte       // the payloads of all results, one behind the other
	err     error
}

// newPeer says hello, and reads. On the plain wire there is no client's hello, and
// what comes is noted as it is.
func newPeer(t *testing.T, conn *memnet.Conn, plain bool, said wire.ClientHello) *peer {
	p := &peer{t: t, conn: conn}
	t.Cleanup(func() { conn.Close() })
	if plain {
		go func() {
			b, err := io.ReadAll(conn)
			p.mu.Lock()
			defer p.mu.Unlock()
			p.heard, p.err = []string{string(b)}, cmp.Or(err, io.EOF)
		}()
		return p
	}
	hello, err := wire.AppendClientHello(nil, said)
	if err != nil {
		t.Fatal(err)
	}
	p.write(hello)
	go p.read()
	return p
}

func (p *peer) write(b []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(b); err != nil {
		p.t.Error(err)
	}
}

// command sends a command. Its seq is the next one.
func (p *peer) command(slot int, name string) {
	p.t.Helper()
	p.write(frame(wire.KindCommand, 0, slot, []byte(name)))
}

// extras sends a command with extras.
func (p *peer) extras(slot int, e wire.Extras, name string) {
	p.t.Helper()
	p.write(frame(wire.KindCommand, wire.FlagExtras, slot, append(wire.AppendExtras(nil, e), name...)))
}

func (p *peer) cancel(slot int) {
	p.t.Helper()
	p.write(frame(wire.KindCancel, 0, slot, nil))
}

func (p *peer) credit(slot int, n uint64) {
	p.t.Helper()
	p.write(frame(wire.KindCredit, 0, slot, wire.AppendUvarint(nil, n)))
}

func frame(kind wire.Kind, flags wire.Flags, slot int, payload []byte) []byte {
	b := wire.AppendHeader(nil, wire.Header{Kind: kind, Flags: flags, Slot: uint64(slot), Length: len(payload)})
	return append(b, payload...)
}

// expect checks what has come since the last time, in any order.
func (p *peer) expect(want ...string) {
	p.t.Helper()
	got := p.take()
	slices.Sort(got)
	slices.Sort(want)
	p.compare(got, want)
}

// inOrder checks what has come since the last time, in the order in which it came.
func (p *peer) inOrder(want ...string) {
	p.t.Helper()
	p.compare(p.take(), want)
}

func (p *peer) compare(got, want []string) {
	p.t.Helper()
	if !slices.Equal(got, want) {
		p.t.Errorf("heard\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// take returns what has come since the last time.
func (p *peer) take() []string {
	settle()
	p.mu.Lock()
	defer p.mu.Unlock()
	got := p.heard
	p.heard = nil
	return got
}

// resultBytes returns how many bytes of results have come.
func (p *peer) resultBytes() int {
	settle()
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.results)
}

// end returns how the connection has ended.
func (p *peer) end() error {
	settle()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *peer) read() {
	err := p.readAll()
	p.mu.Lock()
	p.err = err
	p.mu.Unlock()
}

func (p *peer) readAll() error {
	r := bufio.NewReader(p.conn)
	for b := []byte(nil); ; {
		_, length, _, err := wire.ParsePrefix(b)
		if err == nil {
			fields := make([]byte, length)
			if _, err := io.ReadFull(r, fields); err != nil {
				return err
			}
			answer, err := wire.ParseServerHello(fields)
			if err != nil {
				return err
			}
			p.mu.Lock()
			p.answer = answer
			p.mu.Unlock()
			break
		}
		c, err := r.ReadByte()
		if err != nil {
			return err
		}
		b = append(b, c)
	}
	for b := []byte(nil); ; {
		c, err := r.ReadByte()
		if err != nil {
			return err
		}
		b = append(b, c)
		h, _, err := wire.ParseHeader(b)
		if err == wire.ErrShort {
			continue
		}
		if err != nil {
			return err
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(r, payload); err != nil {
			return err
		}
		b = nil
		p.mu.Lock()
		p.heard = append(p.heard, describe(h, payload))
		switch h.Kind {
		case wire.KindFailure:
			p.failure, _ = wire.ParseFailure(payload)
		case wire.KindResult:
			p.results = append(p.results, payload...)
		}
		p.mu.Unlock()
	}
}

// describe is a frame in words.
func describe(h wire.Header, payload []byte) string {
	switch h.Kind {
	case wire.KindPing:
		return "pong"
	case wire.KindFailure:
		f, err := wire.ParseFailure(payload)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%d: %s, %s: %s", h.Slot, base.Outcome(f.Outcome), f.Code, f.Message)
	case wire.KindResult:
		text := string(payload)
		if h.Flags&wire.FlagMore != 0 || len(text) > 100 {
			text = fmt.Sprintf("%d bytes", len(text))
		}
		if h.Flags&wire.FlagCompressed != 0 {
			text += " compressed"
		}
		if h.Flags&wire.FlagMore != 0 {
			text += " …"
		}
		if h.Flags&wire.FlagLast != 0 {
			text += "."
		}
		return fmt.Sprintf("%d: %s", h.Slot, text)
	case wire.KindCredit:
		n, err := wire.ParseCredit(payload)
		return fmt.Sprintf("%d: credit %d%s", h.Slot, n, inWords(err))
	case wire.KindResume:
		text := "list"
		for len(payload) > 0 {
			s, rest, err := wire.CutServerSlot(payload)
			switch {
			case err != nil:
				return err.Error()
			case s.Seen:
				text += fmt.Sprintf(" %d:seen,%d+%d", s.Slot, s.Inputs, s.Credit)
			default:
				text += fmt.Sprintf(" %d:unseen", s.Slot)
			}
			payload = rest
		}
		return text
	}
	return h.Kind.String()
}

// inWords is nothing, of no error.
func inWords(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
