package faults

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/transport"
)

// op is what a command does.
type op byte

const (
	echo    op = iota // answers with its own body
	grow              // answers with a body of N bytes
	count             // sends N results, the numbers from 1 on
	sum               // takes inputs, and sends each sum so far
	block             // waits for the end of its ctx
	dally             // answers after N milliseconds
	fail              // returns an error
	shed              // is rejected before it runs
	explode           // panics
	read              // the register
	write             // N to the register
	swap              // N for Number, if that is what the register holds
)

// command is the one type of command. Number tells it from all others.
type command struct {
	Op     op
	Number int
	N      int
	Body   []byte
}

// result is the one type of result.
type result struct {
	N    int
	Last bool
	Body []byte
}

func (r result) LastOne() bool { return r.Last }

// effects is the receiver: it counts what commands do to it.
type effects struct {
	mu     sync.Mutex // protects what follows
	starts map[int]int
	ends   map[int]int
	inputs map[int][]int
	labels map[int]string // what came as metadata

	register int
	before   int  // what it was before
	stale    bool // reads are answered with that, now and then
	reads    int
}

// access does what a command wants of the register.
func (e *effects) access(c command) result {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := result{N: e.register, Last: true}
	switch c.Op {
	case read:
		if e.reads++; e.stale && e.reads%5 == 0 {
			r.N = e.before
		}
	case write:
		e.before, e.register = e.register, c.N
	case swap:
		if e.register == c.Number {
			e.before, e.register = e.register, c.N
			r.Body = []byte{1}
		}
	}
	return r
}

func newEffects() *effects {
	return &effects{starts: map[int]int{}, ends: map[int]int{}, inputs: map[int][]int{}, labels: map[int]string{}}
}

func (e *effects) begin(number int, label string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.starts[number]++
	e.labels[number] = label
}

func (e *effects) end(number int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ends[number]++
}

func (e *effects) take(number, input int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.inputs[number] = append(e.inputs[number], input)
}

func (c command) Exec(ctx context.Context, _ time.Time, seq base.Seq, e *effects, proxy base.Proxy) error {
	e.begin(c.Number, base.MetadataOf(ctx).Get("number"))
	defer e.end(c.Number)
	switch c.Op {
	case echo:
		return proxy.Send(seq, result{N: c.Number, Last: true, Body: c.Body})
	case grow:
		return proxy.Send(seq, result{N: c.Number, Last: true, Body: pattern(c.N)})
	case count:
		for n := range c.N {
			if err := proxy.Send(seq, result{N: n + 1, Last: n+1 == c.N}); err != nil {
				return err
			}
		}
		return nil
	case sum:
		total := 0
		for input, err := range base.Receive[int](seq, proxy) {
			if err != nil {
				return err
			}
			e.take(c.Number, input)
			total += input
			if err := proxy.Send(seq, result{N: total}); err != nil {
				return err
			}
		}
		return proxy.Send(seq, result{N: total, Last: true})
	case block:
		<-ctx.Done()
		return ctx.Err()
	case dally:
		time.Sleep(time.Duration(c.N) * time.Millisecond)
		return proxy.Send(seq, result{N: c.Number, Last: true})
	case explode:
		panic("on purpose")
	case read, write, swap:
		return proxy.Send(seq, e.access(c))
	default:
		return errors.New("failed on purpose")
	}
}

// pattern is n bytes in which no two neighbouring pieces are the same.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * i >> 7)
	}
	return b
}

// invoker rejects what is to be shed.
type invoker struct{ effects *effects }

func (i invoker) Invoke(ctx context.Context, at time.Time, seq base.Seq, cmd base.Cmd[*effects], proxy base.Proxy) error {
	if cmd.(command).Op == shed {
		return &base.Error{Outcome: base.Rejected, Code: base.ErrBusy, Message: "shed on purpose", RetryAfter: time.Second}
	}
	return cmd.Exec(ctx, at, seq, i.effects, proxy)
}

// clientCodec and serverCodec write numbers as uvarints, and bodies behind their
// length.
type clientCodec struct{}

func (clientCodec) Encode(cmd base.Cmd[*effects], w transport.Writer) error {
	if h, is := cmd.(harmless); is {
		cmd = h.command
	}
	c := cmd.(command)
	b := []byte{byte(c.Op)}
	for _, n := range []int{c.Number, c.N, len(c.Body)} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	_, err := w.Write(append(b, c.Body...))
	return err
}

func (clientCodec) Decode(r transport.Reader) (base.Result, error) {
	last, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	body, err := readBody(r)
	return result{N: int(n), Last: last == 1, Body: body}, err
}

func (clientCodec) Size(base.Cmd[*effects]) int { return 0 }

func (clientCodec) EncodeInput(_ base.Cmd[*effects], input any, w transport.Writer) error {
	_, err := w.Write(binary.AppendUvarint(nil, uint64(input.(int))))
	return err
}

type serverCodec struct{}

func (serverCodec) Encode(r base.Result, w transport.Writer) error {
	v := r.(result)
	b := []byte{0}
	if v.Last {
		b[0] = 1
	}
	b = binary.AppendUvarint(b, uint64(v.N))
	b = binary.AppendUvarint(b, uint64(len(v.Body)))
	_, err := w.Write(append(b, v.Body...))
	return err
}

func (serverCodec) Decode(r transport.Reader) (base.Cmd[*effects], error) {
	kind, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	number, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	body, err := readBody(r)
	return command{Op: op(kind), Number: int(number), N: int(n), Body: body}, err
}

func (serverCodec) DecodeInput(_ base.Cmd[*effects], r transport.Reader) (any, error) {
	n, err := binary.ReadUvarint(r)
	return int(n), err
}

func readBody(r transport.Reader) ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil || n == 0 {
		return nil, err
	}
	body := make([]byte, min(n, 1<<20))
	_, err = io.ReadFull(r, body)
	return body, err
}
