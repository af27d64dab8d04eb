package client_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/client"
	"github.com/cmdstream/cmdstream/wire"
)

// A server that breaks the rules ends the connection, with the rule in the error,
// and the open command with it.
func TestAServerThatBreaksTheRules(t *testing.T) {
	for name, test := range map[string]struct {
		bytes []byte
		rule  string
	}{
		"garbage":           {[]byte{0xff, 0xff, 0xff, 0xff}, "unknown kind"},
		"unknown kind":      {[]byte{0xf0, 0, 0}, "unknown kind"},
		"unknown flag":      {[]byte{byte(kindResult)<<4 | 2, 0, 0}, "flags"},
		"overlong varint":   {[]byte{byte(kindResult) << 4, 0x80, 0x00, 0}, "longer than it need be"},
		"varint overflow":   {append([]byte{byte(kindResult) << 4}, strings.Repeat("\xff", 10)...), "overflows"},
		"too long a frame":  {[]byte{byte(kindResult) << 4, 0, 0x81, 0x80, 0x04}, "limit"},
		"a command":         {[]byte{byte(kindCommand) << 4, 0, 0}, "a server sent a frame of kind command"},
		"a cancel":          {[]byte{byte(kindCancel) << 4, 0, 0}, "a server sent a frame of kind cancel"},
		"a resume":          {[]byte{byte(wire.KindResume)<<4 | 4, 0, 0}, "list"},
		"an empty failure":  {[]byte{byte(kindFailure) << 4, 0, 0}, "failure is empty"},
		"a slot too far":    {[]byte{byte(kindResult) << 4, 0xff, 0x01, 0}, "beyond the limit"},
		"an HTTP response":  {[]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), ""},
		"a chunk too large": {[]byte{byte(kindResult)<<4 | 1, 0, 2, 1, 'x', byte(kindResult) << 4, 0, 1, 'y'}, "first declared"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c, p := newPeer(t, client.Conf{MaxInFlight: 100})
				done := start(t.Context(), c, command{})
				p.expect(kindCommand)
				p.write(test.bytes)
				err := (<-done).err
				want(t, err, base.Unknown, base.ErrConnLost, base.ErrProtocol)
				if !strings.Contains(err.Error(), test.rule) {
					t.Errorf("%q does not name the rule, %q", err, test.rule)
				}
				p.ended()
				<-c.Done()
				want(t, c.Err(), base.Unknown, base.ErrProtocol)
			})
		})
	}
}

// Wherever the server's bytes end, the open commands end with them.
func TestTheConnectionIsCutAtEveryByte(t *testing.T) {
	whole := appendFrame(nil, kindResult, 0, 0, encodeResult(result{N: 1, Body: []byte("some")}))
	whole = appendFrame(whole, kindFailure, 0, 1, wire.AppendFailure(nil, wireFailure(base.Failed, base.ErrExec)))
	whole = append(whole, wire.Ping)
	whole = appendFrame(whole, kindResult, wire.FlagMore, 0, wire.AppendUvarint(nil, 9))
	whole = appendFrame(whole, kindResult, wire.FlagLast, 0, encodeResult(result{N: 2, Last: true, Body: []byte("chunk.")}))
	for at := range whole {
		bubble(t, func(t *testing.T) {
			c, p := newPeer(t, client.Conf{})
			results := make(chan base.AsyncResult, 10)
			mustSend(t, c, command{}, results)
			mustSend(t, c, command{}, results)
			p.expect(kindCommand)
			p.expect(kindCommand)
			p.write(whole[:at])
			p.nc.CloseWrite() // and reads on, so that no write of the client fails first
			<-c.Done()
			synctest.Wait()
			ends := map[base.Seq]int{}
			for len(results) > 0 {
				if r := <-results; r.Err != nil {
					ends[r.Seq]++
				}
			}
			if ends[1] != 1 || ends[2] != 1 {
				t.Errorf("cut at byte %d: the commands ended %v times", at, ends)
			}
			if err := c.Err(); !isEOF(err) {
				t.Errorf("cut at byte %d: the client ended with %v", at, err)
			}
		})
	}
}

func isEOF(err error) bool {
	return err != nil && strings.Contains(err.Error(), io.EOF.Error())
}

// A result for a command that the client does not know goes to the callback.
func TestAResultForNoSlot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var told unexpected
		c, p := newPeer(t, client.Conf{UnexpectedResultCallback: told.callback})
		p.answer(0, 1)
		p.item(900, 2)
		p.fail(3, wireFailure(base.Failed, base.ErrExec))
		p.send(kindResult, 0, 5, nil) // can't be decoded
		synctest.Wait()
		done := start(t.Context(), c, command{})
		f := p.expect(kindCommand)
		p.answer(f.Slot, 3)
		p.answer(f.Slot, 4) // after the last
		if o := <-done; o.n != 3 {
			t.Errorf("got %+v", o)
		}
		synctest.Wait()
		if got := told.numbers(); fmt.Sprint(got) != "[1 2 4]" || told.seqs[0] != 0 {
			t.Errorf("the callback heard of %v, of the commands %v", got, told.seqs)
		}
		if c.Err() != nil {
			t.Error(c.Err())
		}
	})
}

func TestAResultForNoSlotOnThePlainWire(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var told unexpected
		conn, p := newPipe(t)
		go p.write([]byte("\x07default"))
		c := over(t, conn, codec{}, client.Conf{Transport: wires["plain"], UnexpectedResultCallback: told.callback})
		p.write(append([]byte{99}, encodeResult(result{N: 5, Last: true})...))
		synctest.Wait()
		if got := told.numbers(); fmt.Sprint(got) != "[5]" || told.seqs[0] != 99 || c.Err() != nil {
			t.Errorf("the callback heard of %v of %v; %v", got, told.seqs, c.Err())
		}
	})
}

// A server that goes on like that is given up.
func TestTooManyResultsForNoSlot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newPeer(t, client.Conf{})
		for range 1000 {
			p.answer(0, 1)
		}
		synctest.Wait()
		if c.Err() != nil {
			t.Errorf("the client has ended after 1000: %v", c.Err())
		}
		p.fail(0, wireFailure(base.Failed, base.ErrExec))
		<-c.Done()
		want(t, c.Err(), base.Unknown, base.ErrProtocol)
	})
}

// Only the command whose result is too large fails.
func TestAResultThatIsTooLarge(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newPeer(t, client.Conf{MaxResultSize: 100})
		for _, size := range []int{101, 70 << 10} {
			done := start(t.Context(), c, command{})
			f := p.expect(kindCommand)
			payload := make([]byte, size)
			flags := wire.FlagLast
			if size > wire.MaxPayload {
				payload = append(wire.AppendUvarint(nil, uint64(size)), payload[:1000]...)
				flags = wire.FlagMore
			}
			p.send(kindResult, flags, f.Slot, payload)
			for flags == wire.FlagMore && size > 1000 {
				size -= 1000
				flags := wire.FlagMore
				if size <= 1000 {
					flags = wire.FlagLast
				}
				p.send(kindResult, flags, f.Slot, make([]byte, min(size, 1000)))
			}
			want(t, (<-done).err, base.Failed, base.ErrTooLargeResult)
		}
		// The server may give up a result half-way, and say why.
		done := start(t.Context(), c, command{})
		f := p.expect(kindCommand)
		p.send(kindResult, wire.FlagMore, f.Slot, append(wire.AppendUvarint(nil, 50), 0))
		p.send(kindResult, wire.FlagLast, f.Slot, nil)
		p.fail(f.Slot, wireFailure(base.Failed, "gave_up"))
		want(t, (<-done).err, base.Failed, base.Code("gave_up"))
		done = start(t.Context(), c, command{})
		p.answer(p.expect(kindCommand).Slot, 2)
		if o := <-done; o.n != 2 || o.err != nil {
			t.Errorf("got %+v", o)
		}
	})
}

// A server that ignores the credit is cut with the first result too many, before
// it can fill the client's memory.
func TestAServerThatIgnoresTheCredit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newPeer(t, client.Conf{})
		hold := make(chan bool)
		ended := make(chan error, 1)
		go func() {
			for _, err := range c.Results(context.Background(), command{}) {
				if err != nil {
					ended <- err
				}
				<-hold
			}
		}()
		f := p.expect(kindCommand)
		for n := range f.Extras.Credit {
			p.item(f.Slot, int(n))
		}
		synctest.Wait()
		if err := c.Err(); err != nil {
			t.Errorf("the client ended within the credit: %v", err)
		}
		p.item(f.Slot, 0)
		<-c.Done()
		want(t, c.Err(), base.Unknown, base.ErrProtocol)
		close(hold)
		want(t, <-ended, base.Unknown, base.ErrConnLost, base.ErrProtocol)
	})
}

// A codec can't refuse a result on the plain wire: where it ends is not known then.
func TestAResultThatCantBeDecodedOnThePlainWire(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := both(t, wires["plain"], echo, client.Conf{})
		conn := newPlainConn(t)
		bad := over(t, conn, codec{decode: func(result) error { panic("decode") }}, client.Conf{Transport: wires["plain"]})
		_, err := bad.Do(t.Context(), command{})
		want(t, err, base.Unknown, base.ErrConnLost, base.ErrPanic)
		<-bad.Done()
		mustDo(t, c, 1)
	})
}

// A server that answers before the whole command has come confuses nobody.
func TestAnAnswerBeforeTheEndOfTheCommand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := slowly(t, client.Conf{MaxInFlight: 1})
		done := start(t.Context(), c, command{Body: body(200 << 10)})
		f := p.expect(kindCommand)
		p.answer(f.Slot, 1)
		for f.Flags&wire.FlagMore != 0 {
			f = p.expect(kindCommand)
		}
		if o := <-done; o.n != 1 || o.err != nil {
			t.Errorf("got %+v", o)
		}
		done = start(t.Context(), c, command{})
		p.answer(p.expect(kindCommand).Slot, 2)
		if o := <-done; o.n != 2 || o.err != nil {
			t.Errorf("got %+v", o)
		}
	})
}

// Garbage instead of a hello, or none at all, is told by New.
func TestABadHello(t *testing.T) {
	for name, test := range map[string]struct {
		bytes string
		want  string
		is    error
	}{
		"HTTP":            {"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP server", base.ErrProtocol},
		"a TLS alert":     {"\x15\x03\x03\x00\x02\x02\x28", "TLS", base.ErrProtocol},
		"a plain server":  {"\x07default", "another protocol", base.ErrProtocol},
		"another version": {"\xC5cmd\x09\x04\x01\x02\x00\x00", "version 9", base.ErrVersion},
		"nothing":         {"", "", base.ErrHello},
		"a part of it":    {"\xC5cm", "", base.ErrHello},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				conn, p := newPipe(t)
				p.write([]byte(test.bytes))
				begin := time.Now()
				c, err := client.New(t.Context(), codec{}, conn, client.Conf{SysDataReceiveTimeout: 3 * time.Second})
				if c != nil || err == nil || !strings.Contains(err.Error(), test.want) {
					t.Fatalf("got %v, want an error about %q", err, test.want)
				}
				want(t, err, base.NotSent, test.is)
				if test.is == base.ErrHello {
					took(t, begin, 3*time.Second)
				}
				p.hearHello()
				p.ended()
			})
		})
	}
}
