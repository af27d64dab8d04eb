package client_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/compress/flate"
	"github.com/cmdstream/cmdstream/internal/deck"
	"github.com/cmdstream/cmdstream/internal/frugal"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/transport"
	"github.com/cmdstream/cmdstream/wire"
)

// The limits of the client that is fuzzed: they are small, so that they are met.
const (
	liarSlots  = 4
	liarResult = 8 << 10
	liarBytes  = 20 << 10
)

// packed is the compression of all; its buffers are not counted with the client's.
var packed = flate.New(flate.DefaultLevel)

// liar is a server that does what a fuzzer wants, and the users of the client that is
// connected to it.
type liar struct {
	deck.Deck
	t     *testing.T
	c     *client.Client[receiver]
	l     *memnet.Listener
	users sync.WaitGroup

	wrong    bool // the next thing that it says is what no honest server does
	commands int
	cancels  []func()
	seqs     []base.Seq
	calls    []liarCall

	mu        sync.Mutex
	tainted   bool // it has sent what nobody knows
	dishonest bool // it has broken a rule, or tried to
	ends      []*liarEnd
	sessions  map[wire.SessionID]*liarTable
}

// liarCall is a command that is sent inputs, by a goroutine of its own: their sizes.
type liarCall struct {
	base.Call
	inputs chan int
}

// liarEnd is the liar's end of a connection.
type liarEnd struct {
	nc       *memnet.Conn
	hello    transport.Hello
	heard    bool // the client's hello
	answered bool
	far      *memnet.Conn // the client's end
	deaf     bool         // what the client says does not come any more
	late     bool         // what it says does not, or not at once
	table    *liarTable
	list     []transport.SlotState // the client's, to be answered
	listed   bool
	stood    bool // it was answered
}

// liarTable is what the liar knows of the slots of a link.
type liarTable struct {
	slots [liarSlots]struct {
		id            int
		open, ends    bool // ends: with the result that is on its way
		sent, granted int
		seq           base.Seq
		inputs, taken int
		partial       []byte // what is to come of a result
	}
}

// lie runs a fuzzer's program against a client.
func lie(t *testing.T, b []byte, program func(x *liar)) {
	frugal.Check(t, 8<<20+200_000*len(b), func() { lieFreely(t, b, program) })
}

func lieFreely(t *testing.T, b []byte, program func(x *liar)) {
	stacks := make([]byte, 1<<20)
	hangs := time.AfterFunc(20*time.Second, func() {
		panic(fmt.Sprintf("it hangs:\n%s", stacks[:runtime.Stack(stacks, true)]))
	})
	defer hangs.Stop()
	synctest.Test(t, func(t *testing.T) {
		x := &liar{Deck: deck.Deck{B: b}, t: t, l: memnet.Listen(), sessions: make(map[wire.SessionID]*liarTable)}
		x.l.OnDial(func(client, server *memnet.Conn) {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.ends = append(x.ends, &liarEnd{nc: server, far: client})
		})
		go x.accept()
		conf := client.Conf{
			Logger: quiet, MaxResultSize: liarResult, MaxBytes: liarBytes, MaxInFlight: liarSlots, CompressAbove: 1 << 20,
			Compressions: []transport.Compression{packed}, StateCallback: x.heard,
		}
		flags := x.Byte()
		conf.Session = flags&1 == 0
		if flags&2 != 0 {
			conf.UnexpectedResultCallback = func(base.Seq, base.Result) { time.Sleep(time.Second) }
		}
		if flags&4 != 0 {
			conf.Timeout = 10 * time.Second
		}
		made := make(chan error, 1)
		go func() {
			var err error
			x.c, err = client.NewReconnect(context.Background(), codec{}, x.l.Dial, conf)
			made <- err
		}()
		synctest.Wait()
		first, _ := x.end(0)
		x.answerHello(first, wire.StatusOK)
		if err := <-made; err != nil {
			t.Fatal(err)
		}
		program(x)
		x.c.Close()
		for _, cancel := range x.cancels {
			cancel()
		}
		x.users.Wait()
		x.l.Close()
		x.mu.Lock()
		for _, end := range x.ends {
			end.nc.Close()
		}
		x.mu.Unlock()
		time.Sleep(time.Minute) // the callback hears of what is left
		synctest.Wait()
		if n := client.HeldBytes(x.c); n != 0 {
			t.Errorf("%d bytes of results are held at the end", n)
		}
	})
}

// end returns the end of the newest connection, or of one that is older, and of the one
// after that, if there is one.
func (x *liar) end(back int) (end, newer *liarEnd) {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := max(len(x.ends)-1-back, 0)
	if n < len(x.ends)-1 {
		newer = x.ends[n+1]
	}
	return x.ends[n], newer
}

// bounded checks that the client holds no more than it may.
func (x *liar) bounded() {
	x.t.Helper()
	if n := client.HeldBytes(x.c); n < 0 || n > liarBytes {
		x.t.Errorf("%d bytes of results are held", n)
	}
}

func (x *liar) accept() {
	for {
		nc, err := x.l.Accept()
		if err != nil {
			return
		}
		x.mu.Lock()
		for _, end := range x.ends {
			if end.nc == nc {
				go x.hear(end)
			}
		}
		x.mu.Unlock()
	}
}

// hear reads what the client says.
func (x *liar) hear(end *liarEnd) {
	in := bufio.NewReaderSize(end.nc, 4<<10)
	of := transport.Framed(transport.Options{Server: true, MaxBody: 1 << 20, MaxSlots: liarSlots})
	var hello transport.Hello
	if err := of.ReadHello(in, &hello); err != nil {
		return
	}
	x.mu.Lock()
	end.hello, end.heard, end.table = hello, true, new(liarTable)
	if s := hello.Session; s != nil {
		if s.Resume && x.sessions[s.ID] != nil {
			end.table = x.sessions[s.ID]
		}
		x.sessions[s.ID] = end.table
	}
	x.mu.Unlock()
	for {
		var m transport.Message
		if err := of.Read(in, &m); err != nil {
			x.mu.Lock()
			defer x.mu.Unlock()
			end.deaf = true
			if rule := new(wire.RuleError); errors.As(err, &rule) && !x.dishonest {
				x.t.Errorf("the client has broken a rule: %v", err)
			}
			return
		}
		if m.Pieces != nil {
			var body transport.Body
			body.SetPieces(m.Pieces)
			m.Body = body.Bytes()
		}
		x.mu.Lock()
		k := &end.table.slots[m.Slot]
		switch m.Kind {
		case transport.Command:
			if m.Err == nil {
				id, _ := binary.Uvarint(m.Body)
				k.id, k.seq, k.sent, k.inputs, k.taken, k.partial = int(id), m.Seq, 0, 0, 0, nil
				k.open, k.granted = true, max(m.Credit, 1)
			}
		case transport.Input:
			k.inputs++
			if number := binary.LittleEndian.Uint32(append(slices.Clip(m.Body), 0, 0, 0, 0)); !m.Last && m.Err == nil && int(number) != k.inputs && !x.dishonest && !x.tainted {
				x.t.Errorf("input %d of command %d came as the one with number %d", number, k.id, k.inputs)
			}
		case transport.Credit:
			k.granted += m.Credit
		case transport.Resume:
			end.list, end.listed = m.Slots, true
			for _, state := range m.Slots {
				k := &end.table.slots[state.Slot]
				k.sent, k.granted, k.partial, k.open = state.Seen, state.Seen+state.Credit, nil, k.seq == state.Seq
			}
		}
		x.mu.Unlock()
	}
}

// heard hears how connections ended: an honest server's never by a rule.
func (x *liar) heard(change client.StateChange) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if errors.Is(change.Err, base.ErrProtocol) && !x.dishonest && !x.tainted {
		x.t.Errorf("an honest server's connection has ended: %v", change.Err)
	}
}

// answerHello answers a client.
func (x *liar) answerHello(end *liarEnd, status wire.Status) {
	end.answered = true
	hello := wire.ServerHello{Status: status, Info: []byte("default"), MaxInFlight: liarSlots, SessionTime: sessionTime, Compression: flate.ID}
	b, err := wire.AppendServerHello(nil, hello)
	if err != nil {
		x.t.Fatal(err)
	}
	x.say(end, b)
	if status != wire.StatusOK {
		end.nc.Close()
	}
}

func (x *liar) say(end *liarEnd, b []byte) {
	if len(b) > 0 {
		end.nc.SetWriteDeadline(time.Now().Add(time.Second)) // the client may have stopped to read
		end.nc.Write(b)
	}
	synctest.Wait()
}

// user runs what a user does, to its end.
func (x *liar) user(do func(ctx context.Context, id int)) {
	ctx, cancel := context.WithCancel(context.Background())
	x.cancels = append(x.cancels, cancel)
	x.commands++
	id := x.commands
	x.users.Go(func() {
		defer cancel()
		do(ctx, id)
	})
}

// check holds a result against the command whose user has got it, and tells whether it
// is the last.
func (x *liar) check(id, item int, r base.Result) (last bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	got := r.(result)
	if !x.tainted && (got.N != id || int(binary.LittleEndian.Uint32(got.Body)) != item) {
		x.t.Errorf("command %d got result %d of command %d, where result %d is due", id, binary.LittleEndian.Uint32(got.Body), got.N, item)
	}
	return got.Last && !x.tainted
}

func (x *liar) do(ctx context.Context, id int) {
	if r, err := x.c.Do(ctx, command{N: id}); err == nil {
		x.check(id, 1, r)
	}
}

func (x *liar) large(ctx context.Context, id int) {
	if r, err := x.c.Do(ctx, command{N: id, Body: make([]byte, 80<<10)}); err == nil {
		x.check(id, 1, r)
	}
}

func (x *liar) stream(ctx context.Context, id int) {
	item, over := 0, false
	for r, err := range x.c.Results(ctx, command{N: id}) {
		if over {
			x.t.Errorf("command %d goes on after its end: %v, %v", id, r, err)
		}
		if over = err != nil; !over {
			item++
			over = x.check(id, item, r)
		}
		if item%5 == 4 {
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// send runs a command of Send. Its channel is read for so long as the ctx lives.
func (x *liar) send(capacity int) {
	x.commands++
	id := x.commands
	results := make(chan base.AsyncResult, capacity)
	ctx, cancel := context.WithCancel(context.Background())
	x.cancels = append(x.cancels, cancel)
	seqs := make(chan base.Seq, 1)
	x.users.Go(func() {
		seq, err := x.c.Send(command{N: id}, results)
		seqs <- seq
		if err != nil {
			return
		}
		item, over := 0, false
		for {
			select {
			case r := <-results:
				if over || r.Seq != seq {
					x.t.Errorf("command %d, whose end has come: %v, got %+v", seq, over, r)
				}
				if over = r.Err != nil; !over {
					item++
					over = x.check(id, item, r.Result)
				}
			case <-ctx.Done():
				return
			}
		}
	})
	synctest.Wait()
	select {
	case seq := <-seqs:
		x.seqs = append(x.seqs, seq)
	default:
	}
}

// open opens a command that is sent inputs.
func (x *liar) open() {
	opened := make(chan liarCall, 1)
	x.user(func(ctx context.Context, id int) {
		call, err := x.c.Open(ctx, command{N: id})
		if err != nil {
			return
		}
		defer call.Close()
		inputs := make(chan int, 100)
		opened <- liarCall{call, inputs}
		x.users.Go(func() {
			number := uint32(0)
			for {
				select {
				case size := <-inputs:
					if number++; size < 0 {
						call.CloseSend()
					} else {
						call.Send(append(binary.LittleEndian.AppendUint32(nil, number), make([]byte, size)...))
					}
				case <-ctx.Done():
					return
				}
			}
		})
		for item := 1; ; item++ {
			r, err := call.Receive()
			if err != nil {
				if err == io.EOF && item == 1 {
					x.t.Errorf("command %d ended without a result", id)
				}
				return
			}
			x.check(id, item, r)
		}
	})
	synctest.Wait()
	select {
	case call := <-opened:
		x.calls = append(x.calls, call)
	default:
	}
}

// input sends an input of a size, or with -1 their end.
func (x *liar) input(size int) {
	if len(x.calls) == 0 {
		return
	}
	select {
	case x.calls[x.Pick(len(x.calls))].inputs <- size:
	default:
	}
	synctest.Wait()
}
