package attacks

import (
	"bufio"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/wire"
)

// peer is a client made of bytes: it says whatever it likes, and notes what it hears.
type peer struct {
	nc   net.Conn
	done chan struct{} // closed when the connection has ended

	mu       sync.Mutex // protects what follows
	answer   *wire.ServerHello
	results  map[uint64]int // by slot
	ended    map[uint64]int // ending frames, by slot
	bytes    int            // of results
	failures []error
}

// peer dials, says hello, and reads until the connection ends. A server that is shut
// down may not let it in: then its connection has ended.
func (a *arena) peer(hello wire.ClientHello) *peer {
	return a.peerOver(a.dial, hello)
}

// peerOver is a peer on another network.
func (a *arena) peerOver(dial client.Dialer, hello wire.ClientHello) *peer {
	p := a.mute(dial, hello)
	if p.nc != nil {
		go func() {
			defer close(p.done)
			p.read(a)
		}()
	}
	return p
}

// mute is a peer that does not read.
func (a *arena) mute(dial client.Dialer, hello wire.ClientHello) *peer {
	p := &peer{done: make(chan struct{}), results: map[uint64]int{}, ended: map[uint64]int{}}
	nc, err := dial(a.t.Context())
	if err != nil {
		close(p.done)
		return p
	}
	p.nc = nc
	a.atEnd(func() { nc.Close() })
	b, err := wire.AppendClientHello(nil, hello)
	if err != nil {
		a.t.Error(err)
	}
	p.write(b)
	return p
}

// write writes, for a second at most: the server may not read any more.
func (p *peer) write(b []byte) bool {
	if p.nc == nil {
		return false
	}
	p.nc.SetWriteDeadline(time.Now().Add(patience))
	_, err := p.nc.Write(b)
	return err == nil
}

// send sends a frame.
func (p *peer) send(kind wire.Kind, flags wire.Flags, slot int, payload []byte) bool {
	return p.write(frame(kind, flags, slot, payload))
}

// command sends a command, whose Seq is the next one.
func (p *peer) command(slot int, c command) bool {
	return p.send(wire.KindCommand, 0, slot, appendCommand(nil, c))
}

// extras sends a command with extras.
func (p *peer) extras(slot int, e wire.Extras, c command) bool {
	return p.send(wire.KindCommand, wire.FlagExtras, slot, appendCommand(wire.AppendExtras(nil, e), c))
}

func frame(kind wire.Kind, flags wire.Flags, slot int, payload []byte) []byte {
	b := wire.AppendHeader(nil, wire.Header{Kind: kind, Flags: flags, Slot: uint64(slot), Length: len(payload)})
	return append(b, payload...)
}

// over tells whether the connection has ended.
func (p *peer) over() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// heard returns how many results and ending frames have come for a slot.
func (p *peer) heard(slot uint64) (results, ends int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.results[slot], p.ended[slot]
}

// failed returns the failures that have come.
func (p *peer) failed() []error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.failures)
}

// status returns the status of the server's hello; 255: none has come.
func (p *peer) status() wire.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.answer == nil {
		return 255
	}
	return p.answer.Status
}

// read reads until the end. The failures of commands are seen as a client sees them.
func (p *peer) read(a *arena) {
	r := bufio.NewReader(p.nc)
	fields, err := readHello(r)
	if err != nil {
		return
	}
	answer, err := wire.ParseServerHello(fields)
	if err != nil {
		a.fail("the server's hello: %v", err)
		return
	}
	p.mu.Lock()
	p.answer = &answer
	p.mu.Unlock()
	for {
		h, payload, err := readFrame(r)
		if err != nil {
			return
		}
		p.mu.Lock()
		switch {
		case h.Kind == wire.KindResult:
			p.results[h.Slot]++
			p.bytes += len(payload)
			if h.Flags&wire.FlagLast != 0 && h.Flags&wire.FlagMore == 0 {
				p.ended[h.Slot]++
			}
		case h.Kind == wire.KindFailure:
			p.ended[h.Slot]++
			f, err := wire.ParseFailure(payload)
			if err != nil {
				a.fail("a failure: %v", err)
			}
			failure := &base.Error{Outcome: base.Outcome(f.Outcome), Code: base.Code(f.Code), Message: f.Message, Remote: true}
			p.failures = append(p.failures, failure)
			a.saw(atClient, failure)
		}
		p.mu.Unlock()
	}
}

// readHello returns the fields of a hello.
func readHello(r *bufio.Reader) ([]byte, error) {
	for b := []byte(nil); ; {
		c, err := r.ReadByte()
		if err != nil {
			return nil, err
		}
		b = append(b, c)
		_, length, _, err := wire.ParsePrefix(b)
		if err == wire.ErrShort {
			continue
		}
		if err != nil {
			return nil, err
		}
		fields := make([]byte, length)
		_, err = io.ReadFull(r, fields)
		return fields, err
	}
}

func readFrame(r *bufio.Reader) (wire.Header, []byte, error) {
	for b := []byte(nil); ; {
		c, err := r.ReadByte()
		if err != nil {
			return wire.Header{}, nil, err
		}
		b = append(b, c)
		h, _, err := wire.ParseHeader(b)
		if err == wire.ErrShort {
			continue
		}
		if err != nil {
			return h, nil, err
		}
		payload := make([]byte, h.Length)
		_, err = io.ReadFull(r, payload)
		return h, payload, err
	}
}
