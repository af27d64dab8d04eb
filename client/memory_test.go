package client_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/compress/flate"
	"github.com/cmdstream/cmdstream/internal/memnet"
	"github.com/cmdstream/cmdstream/transport"
	"github.com/cmdstream/cmdstream/wire"
)

// A client of these tests holds up to maxBytes, and maxResult of one result.
const (
	maxBytes  = 1 << 20
	maxResult = 256 << 10
)

var bounded = client.Conf{MaxBytes: maxBytes, MaxResultSize: maxResult}

// holds checks how many bytes of results the client holds.
func holds(t *testing.T, c *client.Client[receiver], want int) {
	t.Helper()
	synctest.Wait()
	if got := client.HeldBytes(c); got != want {
		t.Errorf("%d bytes are held, want %d", got, want)
	}
}

// encoded is a last result with a body of so many bytes in all.
func encoded(size int) []byte {
	b := encodeResult(result{N: 7, Last: true, Body: make([]byte, size)})
	return encodeResult(result{N: 7, Last: true, Body: make([]byte, 2*size-len(b))})
}

// chunks sends the first bytes of a last result, and says that the rest is to come.
func (p *peer) chunks(slot uint64, body []byte, first int) {
	piece := body[:min(first, 60<<10)]
	p.send(kindResult, wire.FlagMore, slot, append(wire.AppendUvarint(nil, uint64(len(body))), piece...))
	for sent := len(piece); sent < first; sent += len(piece) {
		piece = body[sent:min(first, sent+60<<10)]
		p.send(kindResult, wire.FlagMore, slot, piece)
	}
}

// A server that sends large results of all commands at once can't make the client hold
// more than it will. A small command beside them goes on, and those that had room end
// well.
func TestMemoryOfResultsIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const commands = 200
		conf := bounded
		conf.MaxInFlight = commands + 1
		c, p := newPeer(t, conf)
		var done []<-chan outcome
		for n := range commands {
			done = append(done, start(t.Context(), c, command{N: n}))
		}
		for range commands {
			p.expect(kindCommand)
		}
		before := heap()
		body, first := encoded(maxResult), maxResult-10
		for slot := range uint64(commands) {
			p.chunks(slot, body, first)
		}
		holds(t, c, maxBytes)
		// What the client holds beside is its buffers and the peer's.
		if grown := heap() - before; grown > 2*maxBytes {
			t.Errorf("the heap has grown by %d bytes", grown)
		}
		neighbour := start(t.Context(), c, command{N: 1})
		p.answer(p.expect(kindCommand).Slot, 9)
		if o := <-neighbour; o.n != 9 || o.err != nil {
			t.Errorf("the neighbour got %+v", o)
		}
		for slot := range uint64(commands) {
			p.send(kindResult, wire.FlagLast, slot, body[first:])
		}
		well := 0
		for _, done := range done {
			if o := <-done; o.err == nil {
				well++
			} else {
				want(t, o.err, base.Failed, base.ErrBusy)
			}
		}
		if well != maxBytes/maxResult {
			t.Errorf("%d commands have ended well, want %d", well, maxBytes/maxResult)
		}
		holds(t, c, 0)
		// And now there is room again, for the largest that there is.
		again := start(t.Context(), c, command{})
		slot := p.expect(kindCommand).Slot
		p.chunks(slot, body, first)
		p.send(kindResult, wire.FlagLast, slot, body[first:])
		if o := <-again; o.n != 7 || o.err != nil {
			t.Errorf("got %+v", o)
		}
	})
}

// Results of which a part has come when the connection ends are gone with it, while the session looks
// for another.
func TestAHalfResultIsGoneWithItsConnection(t *testing.T) {
	const size, parts, commands = 60_000, 15, 4
	bubble(t, func(t *testing.T) {
		c, p, _, _ := openSession(t, client.Conf{})
		for n := range commands {
			start(t.Context(), c, command{N: n})
			p.expect(kindCommand)
		}
		before := heap()
		for slot := range uint64(commands) {
			p.send(kindResult, wire.FlagMore, slot, append(wire.AppendUvarint(nil, 1<<20), 'x'))
			for range parts {
				p.send(kindResult, wire.FlagMore, slot, make([]byte, size))
			}
		}
		holds(t, c, commands<<20)
		if grown := heap() - before; grown < commands*parts*size {
			t.Errorf("%d bytes have come: this test shows nothing", grown)
		}
		p.nc.Cut(memnet.RST)
		holds(t, c, 0)
		if grown := heap() - before; grown > 1<<20 {
			t.Errorf("%d bytes are still there", grown)
		}
	})
}

// heap returns how many bytes are in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // for what was in a pool
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// What waits for its user counts, in whatever way it is to be taken, until it is.
func TestMemoryIsHeldUntilAResultIsTaken(t *testing.T) {
	const size = 50 << 10 // in one frame
	item := func(last bool) []byte {
		b := encoded(size)
		if !last {
			b[0] = 0
		}
		return b
	}
	for name, test := range map[string]func(t *testing.T, c *client.Client[receiver], p *peer){
		"Results": func(t *testing.T, c *client.Client[receiver], p *peer) {
			gate := make(chan struct{})
			go func() {
				for range c.Results(t.Context(), command{}) {
					<-gate
				}
				close(gate)
			}()
			slot := p.expect(kindCommand).Slot
			for n := range 3 {
				p.send(kindResult, 0, slot, item(false))
				holds(t, c, n*size) // the first is its user's
			}
			gate <- struct{}{}
			holds(t, c, size)
			p.send(kindResult, wire.FlagLast, slot, item(true))
			for range 3 {
				gate <- struct{}{}
			}
			<-gate
		},
		"Send": func(t *testing.T, c *client.Client[receiver], p *peer) {
			results := make(chan base.AsyncResult, 2)
			mustSend(t, c, command{}, results)
			slot := p.expect(kindCommand).Slot
			for range 2 {
				p.send(kindResult, 0, slot, item(false))
			}
			holds(t, c, 0) // they are in the channel
			p.expect(kindCredit)
			p.send(kindResult, 0, slot, item(false))
			p.send(kindResult, wire.FlagLast, slot, item(true))
			holds(t, c, 2*size)
			<-results
			holds(t, c, size)
			<-results
		},
		"Send and Forget": func(t *testing.T, c *client.Client[receiver], p *peer) {
			seq := mustSend(t, c, command{}, make(chan base.AsyncResult))
			slot := p.expect(kindCommand).Slot
			p.send(kindResult, 0, slot, item(false))
			holds(t, c, size)
			c.Forget(seq)
			holds(t, c, size) // it is what the callback waits in
			time.Sleep(2 * time.Second)
			p.fail(slot, wireFailure(base.Failed, base.ErrExec))
		},
		"Do that is given up": func(t *testing.T, c *client.Client[receiver], p *peer) {
			ctx, cancel := context.WithCancel(t.Context())
			done := start(ctx, c, command{})
			slot := p.expect(kindCommand).Slot
			cancel()
			<-done
			p.send(kindResult, wire.FlagLast, slot, item(true))
			holds(t, c, size)
			time.Sleep(2 * time.Second)
		},
		"Results that are given up": func(t *testing.T, c *client.Client[receiver], p *peer) {
			go func() {
				for range c.Results(t.Context(), command{}) {
					time.Sleep(time.Second)
					break
				}
			}()
			slot := p.expect(kindCommand).Slot
			for range 3 {
				p.send(kindResult, 0, slot, item(false))
				synctest.Wait() // the first is taken before more comes
			}
			for range 20 {
				p.send(kindResult, 0, slot, encoded(4000))
			}
			holds(t, c, 2*size+19*4000)
			time.Sleep(time.Second)
			holds(t, c, 2*size+19*4000) // the callback has them
			p.fail(slot, wireFailure(base.Unknown, base.ErrCanceled))
			time.Sleep(time.Minute)
		},
		"Results that were taken": func(t *testing.T, c *client.Client[receiver], p *peer) {
			go func() {
				n := 0
				for range c.Results(t.Context(), command{}) {
					if n++; n == 8 {
						time.Sleep(time.Second)
						break
					}
				}
			}()
			slot := p.expect(kindCommand).Slot
			small := encoded(1000)
			small[0] = 0
			p.write(bytes.Repeat(appendFrame(nil, kindResult, 0, slot, small), 8)) // at once
			synctest.Wait()
			if n := client.HeldBytes(c); n > 4*1000 { // less, where the user was quick to take some
				t.Errorf("%d bytes are held", n)
			}
			time.Sleep(2 * time.Second)
		},
		"Do of several results": func(t *testing.T, c *client.Client[receiver], p *peer) {
			done := start(t.Context(), c, command{})
			p.send(kindResult, 0, p.expect(kindCommand).Slot, item(false))
			want(t, (<-done).err, base.Unknown, base.ErrSeveralResults)
		},
		"Open": func(t *testing.T, c *client.Client[receiver], p *peer) {
			call := open(t, c, command{})
			p.send(kindResult, 0, p.expect(kindCommand).Slot, item(false))
			holds(t, c, size)
			if _, err := call.Receive(); err != nil {
				t.Error(err)
			}
		},
		"Send of what can't be decoded": func(t *testing.T, c *client.Client[receiver], p *peer) {
			seq := mustSend(t, c, command{}, make(chan base.AsyncResult))
			p.send(kindResult, 0, p.expect(kindCommand).Slot, bytes.Repeat([]byte{0xff}, size))
			holds(t, c, size)
			c.Forget(seq)
		},
		"a stranger's result": func(t *testing.T, c *client.Client[receiver], p *peer) {
			p.send(kindResult, 0, 0, item(false))
			holds(t, c, size)
			time.Sleep(2 * time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				conf := bounded
				conf.UnexpectedResultCallback = func(base.Seq, base.Result) { time.Sleep(time.Second) }
				c, p := newPeer(t, conf)
				test(t, c, p)
				holds(t, c, 0)
			})
		})
	}
}

// A stream for which there is no room ends alone: it has failed, and is canceled.
func TestAStreamWithoutMemory(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newPeer(t, bounded)
		for n := range 20 { // of 1000 kibibytes
			mustSend(t, c, command{}, make(chan base.AsyncResult))
			p.send(kindResult, 0, p.expect(kindCommand).Slot, encoded(50_000+n))
			synctest.Wait()
		}
		results := make(chan base.AsyncResult, 1)
		mustSend(t, c, command{}, results)
		slot := p.expect(kindCommand).Slot
		p.send(kindResult, 0, slot, encoded(60_000))
		want(t, (<-results).Err, base.Failed, base.ErrBusy)
		if f := p.expect(kindCancel); f.Slot != slot {
			t.Errorf("the command on slot %d is canceled", f.Slot)
		}
		p.fail(slot, wireFailure(base.Unknown, base.ErrCanceled))
		mustSend(t, c, command{}, results)
		p.send(kindResult, wire.FlagLast, p.expect(kindCommand).Slot, encoded(3000)) // as small ones it always fits
		if r := <-results; r.Err != nil {
			t.Error(r.Err)
		}
	})
}

// Small results of one stream count where they become many.
func TestManySmallResultsAreCounted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newPeer(t, bounded)
		gate := make(chan struct{})
		go func() {
			for _, err := range c.Results(t.Context(), command{}) {
				if err == nil {
					<-gate
				}
			}
		}()
		slot := p.expect(kindCommand).Slot
		small := encoded(1000)
		small[0] = 0
		for range 64 {
			p.send(kindResult, 0, slot, small)
			synctest.Wait()
		}
		holds(t, c, 59*1000) // one is its user's, four are not counted
		for range 63 {
			gate <- struct{}{}
		}
		holds(t, c, 59*1000) // all are in one piece of memory, until the last one is taken
		gate <- struct{}{}
		holds(t, c, 0)
		p.fail(slot, wireFailure(base.Failed, base.ErrExec))
		synctest.Wait()
	})
}

// What a small result becomes by decompression counts while it waits for its channel.
func TestDecompressedResultsAreCounted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		conf := bounded
		conf.Compressions = []transport.Compression{flate.New(flate.DefaultLevel)}
		conn, p := newPipe(t)
		go p.hello(wire.ServerHello{Compression: flate.ID})
		c := over(t, conn, codec{}, conf)
		packed, err := flate.New(flate.DefaultLevel).Compress(nil, encoded(maxResult))
		if err != nil || len(packed) > 2000 {
			t.Fatalf("%d bytes, %v", len(packed), err)
		}
		results := make(chan base.AsyncResult)
		busy := 0
		for range 6 {
			mustSend(t, c, command{}, results)
			p.send(kindResult, wire.FlagLast|wire.FlagCompressed, p.expect(kindCommand).Slot, packed)
			synctest.Wait()
			if n := client.HeldBytes(c); n > maxBytes {
				t.Errorf("%d bytes are held", n)
			}
		}
		for range 6 {
			if r := <-results; r.Err != nil {
				want(t, r.Err, base.Failed, base.ErrBusy)
				busy++
			}
		}
		if busy != 2 {
			t.Errorf("%d of 6 commands ended for want of memory, want 2", busy)
		}
		holds(t, c, 0)
	})
}

// What was on its way is given back when the connection is cut, or its sender gives it
// up; and a result that comes again after a resume is counted once.
func TestMemoryOfResultsThatDoNotComeWhole(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p, l, session := openSession(t, bounded)
		done := start(t.Context(), c, command{})
		p.sendBody(p.expect(kindCommand).Slot, encoded(200_000))
		<-done
		p.expect(wire.KindAck)
		done = start(t.Context(), c, command{N: 1})
		p.expect(kindCommand)
		body := encoded(maxResult)
		p.chunks(0, body, 100_000)
		holds(t, c, maxResult)
		p.nc.Cut(memnet.RST)
		holds(t, c, 0)
		p, _ = resumed(t, l, session, 2)
		p.stand(wire.ServerSlot{Slot: 0, Seen: true})
		p.chunks(0, body, 100_000)
		p.send(kindResult, wire.FlagLast, 0, nil) // given up
		holds(t, c, 0)
		p.fail(0, wireFailure(base.Failed, base.ErrExec))
		want(t, (<-done).err, base.Failed)
		holds(t, c, 0)
	})
}

// A failed command has acknowledged its result all the same: the server lets go of it.
// asks is a codec that asks each server for its commands, while on.
type asks struct {
	codec
	on *bool
}

func (a asks) Agree([]byte) (func(base.Cmd[receiver]) error, base.Cmd[receiver], error) {
	if !*a.on {
		return nil, nil, nil
	}
	return nil, command{}, nil
}

// Nor does that which a server does not send whole of what it was asked before all else.
func TestMemoryOfAnAnswerThatDoesNotComeWhole(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := memnet.Listen()
		accepted := acceptLater(t, l)
		on := false
		c, err := client.NewReconnect(t.Context(), asks{on: &on}, l.Dial, client.Conf{Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		p := <-accepted
		on = true
		p.nc.Cut(memnet.RST)
		for range 3 {
			p := accept(t, l)
			f := p.expect(kindCommand)
			chunk := wire.AppendUvarint(nil, 200_000)
			chunk = append(chunk, make([]byte, wire.MaxPayload-len(chunk))...)
			p.send(kindResult, wire.FlagLast|wire.FlagMore, f.Slot, chunk)
			synctest.Wait()
			if client.HeldBytes(c) == 0 {
				t.Error("nothing is held while it comes: this test shows nothing")
			}
			p.nc.Cut(memnet.FIN)
			time.Sleep(10 * time.Second)
		}
		holds(t, c, 0)
	})
}

func TestAResultWithoutMemoryIsAcknowledged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p, _, _ := openSession(t, bounded)
		var done []<-chan outcome
		for n := range 5 {
			done = append(done, start(t.Context(), c, command{N: n}))
			p.chunks(p.expect(kindCommand).Slot, encoded(maxResult), maxResult-10)
		}
		p.send(kindResult, wire.FlagLast, 4, make([]byte, 10))
		if f := p.expect(wire.KindAck); f.Slot != 4 {
			t.Errorf("slot %d is acknowledged", f.Slot)
		}
		want(t, (<-done[4]).err, base.Failed, base.ErrBusy)
	})
}

func TestMaxBytesHasRoomForOneResult(t *testing.T) {
	conn, _ := memnet.Pipe()
	_, err := client.New(t.Context(), codec{}, conn, client.Conf{MaxBytes: 99, MaxResultSize: 100})
	want(t, err, base.NotSent, base.ErrConf)
	if !strings.Contains(fmt.Sprint(err), "MaxBytes is 99, and MaxResultSize 100") {
		t.Errorf("got %v", err)
	}
	bubble(t, func(t *testing.T) { // the default has, too
		c, p := newPeer(t, client.Conf{MaxResultSize: 300 << 20})
		done := start(t.Context(), c, command{})
		p.expect(kindCommand)
		p.send(kindResult, wire.FlagMore, 0, wire.AppendUvarint(nil, 300<<20))
		holds(t, c, 300<<20)
		p.fail(0, wireFailure(base.Failed, base.ErrExec)) // between chunks
		<-done
	})
}

// A callback that ends its goroutine gives the memory back of what it was told.
func TestMemoryWhereTheCallbackEndsItsGoroutine(t *testing.T) {
	bubble(t, func(t *testing.T) {
		conf, told := bounded, 0
		conf.UnexpectedResultCallback = func(base.Seq, base.Result) {
			told++
			runtime.Goexit()
		}
		c := both(t, nil, func(_ context.Context, cmd command, seq base.Seq, proxy base.Proxy) error {
			for n := range cmd.N {
				if err := proxy.Send(seq, result{N: n, Last: n+1 == cmd.N, Body: make([]byte, 50_000)}); err != nil {
					return err
				}
			}
			return nil
		}, conf)
		c.Forget(mustSend(t, c, command{N: 4}, make(chan base.AsyncResult)))
		if holds(t, c, 0); told != 4 {
			t.Errorf("the callback was told %d results", told)
		}
	})
}
