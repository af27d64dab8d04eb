package transport

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/wire"
)

// Plain is the bare wire of the original cmd-stream-go. The server opens with
// its ServerInfo: a uvarint length and as many bytes. Then each command is its
// sequence number as a uvarint, followed by whatever the codec writes, and each
// result likewise; a zero byte is a ping or a pong.
//
// The wire has no cancel, no credit, no failure and no goaway. So a codec or an
// Exec that fails closes the connection, a command that the client gives up
// runs on, and a results channel that is full stops the client's reading.
func Plain(o Options) Transport { return newPlain(o, false) }

// PlainMaxCmdSize is Plain whose server tells MaxCmdSize, as a uvarint, after
// its ServerInfo. Both sides must use it.
func PlainMaxCmdSize(o Options) Transport { return newPlain(o, true) }

func newPlain(o Options, maxCmdSize bool) Transport {
	return &plain{Options: o, tellsMaxCmdSize: maxCmdSize, slots: make(map[base.Seq]int)}
}

type plain struct {
	Options
	tellsMaxCmdSize bool

	mu    sync.Mutex       // protects what follows; the wire has no slots, so they are found here
	slots map[base.Seq]int // the open commands
	free  []int            // at the server: slots that were used and are free
	seqs  []base.Seq       // at the server: the command of each slot that was ever used
}

func (p *plain) Supports(kind Kind) bool {
	return kind == Ping || kind == Command || kind == Result
}

func (p *plain) AppendHello(dst []byte, h *Hello) ([]byte, error) {
	switch {
	case !p.Server && h.Session != nil:
		return dst, unsupported("has no sessions")
	case !p.Server && h.Credentials != nil:
		return dst, unsupported("carries no credentials")
	case !p.Server:
		return dst, nil
	case h.Status != OK:
		return dst, errors.New("transport: the plain wire can't refuse a client but by closing the connection")
	case len(h.Info) > wire.MaxServerInfo:
		return dst, fmt.Errorf("transport: the ServerInfo has %d bytes, the limit is %d", len(h.Info), wire.MaxServerInfo)
	}
	dst = wire.AppendUvarint(dst, uint64(len(h.Info)))
	dst = append(dst, h.Info...)
	if p.tellsMaxCmdSize {
		dst = wire.AppendUvarint(dst, uint64(h.Settings.MaxCmdSize))
	}
	return dst, nil
}

func unsupported(what string) error {
	return &base.Error{Outcome: base.NotSent, Code: base.ErrUnsupported, Message: "the plain wire " + what}
}

func (p *plain) ReadHello(r *bufio.Reader, h *Hello) error {
	if p.Server {
		return nil
	}
	n, err := readUvarint(r)
	if err != nil {
		return err
	}
	if n > wire.MaxServerInfo {
		return BrokenRule("the ServerInfo has %d bytes, the limit is %d: does the server speak the plain wire?", n, wire.MaxServerInfo)
	}
	h.Info = make([]byte, n)
	if _, err := io.ReadFull(r, h.Info); err != nil {
		return unexpected(err)
	}
	if p.tellsMaxCmdSize {
		size, err := readUvarint(r)
		if err != nil {
			return unexpected(err)
		}
		h.Settings.MaxCmdSize = toInt(size)
	}
	return nil
}

func (p *plain) Append(dst []byte, m *Message) (out, tail []byte, more bool) {
	if m.Kind == Ping {
		return append(dst, 0), nil, false
	}
	p.mu.Lock()
	if m.Kind == Command {
		p.slots[m.Seq] = m.Slot
	} else if m.Seq = p.seqs[m.Slot]; m.Last {
		delete(p.slots, m.Seq)
		p.free = append(p.free, m.Slot)
	}
	p.mu.Unlock()
	dst = wire.AppendUvarint(dst, uint64(m.Seq))
	if len(m.Body) > LargeBody {
		return dst, m.Body, false
	}
	return append(dst, m.Body...), nil, false
}

func (p *plain) Read(r *bufio.Reader, m *Message) error {
	seq, err := readUvarint(r)
	if err != nil {
		return err
	}
	if seq == 0 {
		m.Kind = Ping
		return nil
	}
	m.Seq = base.Seq(seq)
	if m.Seq < 0 {
		return BrokenRule("a sequence number overflows")
	}
	if p.Server {
		m.Kind = Command
		m.Slot, err = p.open(m.Seq)
	} else {
		m.Kind = Result
		m.Slot = p.lookup(m.Seq)
	}
	if err != nil {
		return err
	}
	m.Value, err = p.Decode(m.Slot, &limited{r: r, left: p.MaxBody})
	if err != nil {
		return unexpected(err)
	}
	if result, ok := m.Value.(base.Result); ok && m.Kind == Result {
		if m.Last, err = isLast(result); err != nil {
			return err
		}
	}
	if m.Last {
		p.mu.Lock()
		delete(p.slots, m.Seq)
		p.mu.Unlock()
	}
	return nil
}

// isLast asks a result whether it is the last one. A panic of its LastOne is an
// error.
func isLast(result base.Result) (last bool, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &base.Error{Code: base.ErrPanic, Message: fmt.Sprintf("LastOne of a %T panicked: %v", result, v)}
		}
	}()
	return result.LastOne(), nil
}

// open gives a command that came to the server a slot.
func (p *plain) open(seq base.Seq) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.slots[seq]; ok {
		return 0, BrokenRule("two open commands have the seq %d", seq)
	}
	var slot int
	if n := len(p.free); n > 0 {
		slot, p.free = p.free[n-1], p.free[:n-1]
	} else if slot = len(p.seqs); slot >= p.MaxSlots {
		return 0, BrokenRule("more than %d commands are open", p.MaxSlots)
	} else {
		p.seqs = append(p.seqs, 0)
	}
	p.seqs[slot], p.slots[seq] = seq, slot
	return slot, nil
}

func (p *plain) lookup(seq base.Seq) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slot, ok := p.slots[seq]; ok {
		return slot
	}
	return -1
}

func readUvarint(r *bufio.Reader) (uint64, error) {
	var b [10]byte // a varint has no more: the parser refuses the tenth byte at the latest
	for n := 0; ; n++ {
		c, err := r.ReadByte()
		if err != nil {
			if n > 0 {
				err = unexpected(err)
			}
			return 0, err
		}
		b[n] = c
		v, _, err := wire.ParseUvarint(b[:n+1])
		if !errors.Is(err, wire.ErrShort) {
			return v, err
		}
	}
}

// limited is a Reader of no more than left bytes.
type limited struct {
	r    *bufio.Reader
	left int
}

var errTooLong = BrokenRule("a body goes on beyond its size limit")

func (l *limited) Read(b []byte) (int, error) {
	if l.left <= 0 {
		return 0, errTooLong
	}
	n, err := l.r.Read(b[:min(len(b), l.left)])
	l.left -= n
	return n, err
}

func (l *limited) ReadByte() (byte, error) {
	if l.left <= 0 {
		return 0, errTooLong
	}
	l.left--
	return l.r.ReadByte()
}
