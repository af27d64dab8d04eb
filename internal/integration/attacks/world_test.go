package attacks

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/transport"
)

// op is what a command does.
type op byte

const (
	echo     op = iota // answers with its own body
	grow               // answers with a body of N bytes
	count              // sends N results, each with its number
	block              // waits for the end of its ctx
	stubborn           // takes N milliseconds, whatever its ctx says
	explode            // panics
	poison             // the server's codec panics when it decodes it
	spoiled            // the server's codec panics when it encodes its result
	sum                // takes inputs, and answers with how many came
	nested             // its body is JSON
	tardy              // answers as grow does, after 30 milliseconds
)

// command is the one type of command. Number tells it from all others.
type command struct {
	Op     op
	Number int
	N      int
	Body   []byte
	again  bool // it may be sent again
}

// Idempotent implements base.Idempotent.
func (c command) Idempotent() bool { return c.again }

// result is the one type of result.
type result struct {
	N      int
	Last   bool
	Broken bool // the codec panics
	Body   []byte
}

func (r result) LastOne() bool { return r.Last }

// world is the receiver: it counts how often each command ran.
type world struct {
	mu   sync.Mutex // protects what follows
	ran  map[int]int
	at   time.Time     // when the last command came
	stop chan struct{} // ends the stubborn ones
}

func newWorld() *world { return &world{ran: map[int]int{}, stop: make(chan struct{})} }

func (w *world) times(number int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ran[number]
}

func (c command) Exec(ctx context.Context, at time.Time, seq base.Seq, w *world, proxy base.Proxy) error {
	if c.Number != 0 {
		w.mu.Lock()
		w.ran[c.Number]++
		w.at = at
		w.mu.Unlock()
	}
	r := result{N: c.N, Last: true}
	switch c.Op {
	case echo, nested:
		r.Body = c.Body
	case tardy:
		time.Sleep(30 * time.Millisecond)
		r.Body = make([]byte, min(c.N, 1<<20))
	case grow:
		r.Body = make([]byte, min(c.N, 1<<20)) // N may be a flipped bit's
	case count:
		for n := range c.N {
			if err := proxy.Send(seq, result{N: n + 1, Last: n+1 == c.N}); err != nil {
				return err
			}
		}
		return nil
	case block:
		<-ctx.Done()
		return ctx.Err()
	case stubborn:
		select {
		case <-time.After(time.Duration(c.N) * time.Millisecond):
		case <-w.stop:
		}
	case explode:
		panic("on purpose")
	case spoiled:
		r.Broken = true
	case sum:
		for _, err := range base.Receive[int](seq, proxy) {
			if err != nil {
				return err
			}
			r.N++
		}
	default:
		return fmt.Errorf("no op %d", c.Op)
	}
	return proxy.Send(seq, r)
}

// appendCommand is what clientCodec writes.
func appendCommand(dst []byte, c command) []byte {
	dst = append(dst, byte(c.Op))
	dst = binary.AppendUvarint(dst, uint64(c.Number))
	dst = binary.AppendUvarint(dst, uint64(c.N))
	return append(dst, c.Body...)
}

// appendResult is what serverCodec writes.
func appendResult(dst []byte, r result) []byte {
	last := byte(0)
	if r.Last {
		last = 1
	}
	dst = append(dst, last)
	dst = binary.AppendUvarint(dst, uint64(r.N))
	return append(dst, r.Body...)
}

// poisonous is an N at which the client's codec panics.
const poisonous = 666

type clientCodec struct{}

func (clientCodec) Encode(cmd base.Cmd[*world], w transport.Writer) error {
	_, err := w.Write(appendCommand(nil, cmd.(command)))
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
	if n == poisonous {
		panic("the client's codec, on purpose")
	}
	body, err := io.ReadAll(r)
	return result{N: int(n), Last: last == 1, Body: body}, err
}

func (clientCodec) Size(base.Cmd[*world]) int { return 0 }

func (clientCodec) EncodeInput(_ base.Cmd[*world], input any, w transport.Writer) error {
	_, err := w.Write(binary.AppendUvarint(nil, uint64(input.(int))))
	return err
}

// serverCodec decodes the bodies of nested commands as JSON, format's way.
type serverCodec struct {
	format   json.Format
	anything bool // an unknown command echoes
}

func (serverCodec) Encode(r base.Result, w transport.Writer) error {
	if r.(result).Broken {
		panic("the codec, on purpose")
	}
	_, err := w.Write(appendResult(nil, r.(result)))
	return err
}

func (s serverCodec) Decode(r transport.Reader) (base.Cmd[*world], error) {
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
	body, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	switch op(kind) {
	case poison:
		panic("the codec, on purpose")
	case nested:
		var v any
		if err := s.format.Unmarshal(body, &v); err != nil {
			return nil, err
		}
		body = nil
	}
	if kind > byte(tardy) {
		if !s.anything {
			return nil, errors.New("an unknown command")
		}
		kind = byte(echo)
	}
	return command{Op: op(kind), Number: int(number), N: int(n), Body: body}, nil
}

func (serverCodec) DecodeInput(_ base.Cmd[*world], r transport.Reader) (any, error) {
	n, err := binary.ReadUvarint(r)
	return int(n), err
}
