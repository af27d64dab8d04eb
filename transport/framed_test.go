package transport

import (
	"bufio"
	"bytes"
	"io"
	"math"
	"reflect"
	"testing"
	"testing/iotest"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/wire"
)

// every has one message of each kind and of each shape, by direction.
var everyToServer = []Message{
	{Kind: Ping},
	{Kind: Command, Slot: 0, Seq: 1, Body: []byte("first")},
	{Kind: Command, Slot: 1, Seq: 2},
	{Kind: Command, Slot: 299, Seq: 3, Timeout: 1500 * time.Millisecond, Credit: 16, Body: pattern(LargeBody + 1)},
	{Kind: Command, Slot: 2, Seq: 300, Body: []byte{0, 0, 0}},
	{Kind: Command, Slot: 3, Seq: 301, Body: pattern(200_000)},
	{Kind: Cancel, Slot: 299},
	{Kind: Credit, Slot: 1, Credit: 128},
	{Kind: Goaway, Reason: "closed"},
}

var everyToClient = []Message{
	{Kind: Ping},
	{Kind: Result, Slot: 0, Body: []byte("one of many")},
	{Kind: Result, Slot: 0, Last: true, Body: []byte("the last")},
	{Kind: Result, Slot: 299, Last: true},
	{Kind: Result, Slot: 1, Body: pattern(300_000)},
	{Kind: Result, Slot: 1, Last: true, Body: pattern(70_000)},
	{Kind: Failure, Slot: 2, Err: &base.Error{Outcome: base.Failed, Code: base.ErrExec, Message: "no such file"}},
	{Kind: Failure, Slot: 2, Err: &base.Error{Outcome: base.Rejected, Code: base.ErrBusy, RetryAfter: 250 * time.Millisecond}},
	{Kind: Goaway, RetryAfter: time.Second, Reason: "restart"},
}

// simplify leaves of a message what its sender said.
func simplify(m Message) Message {
	if len(m.Body) == 0 {
		m.Body = nil
	}
	if m.Err != nil {
		e := *m.Err
		e.Remote = false
		m.Err = &e
	}
	return m
}

func TestFramedCarriesEveryMessage(t *testing.T) {
	for _, test := range []struct {
		name     string
		from, to func() Transport
		messages []Message
	}{
		{"to the server", framedClient, framedServer, everyToServer},
		{"to the client", framedServer, framedClient, everyToClient},
	} {
		b := encode(test.from(), test.messages...)
		for how, r := range map[string]*bufio.Reader{
			"at once":                     bufio.NewReaderSize(bytes.NewReader(b), readBuffer),
			"byte by byte":                bufio.NewReaderSize(iotest.OneByteReader(bytes.NewReader(b)), readBuffer),
			"in halves":                   bufio.NewReaderSize(iotest.HalfReader(bytes.NewReader(b)), readBuffer),
			"at once, a small buffer":     bufio.NewReaderSize(bytes.NewReader(b), idleBuffer),
			"in halves of a small buffer": bufio.NewReaderSize(iotest.HalfReader(bytes.NewReader(b)), idleBuffer),
		} {
			t.Run(test.name+"/"+how, func(t *testing.T) {
				got, err := readFrom(test.to(), r)
				wantEnd(t, err)
				if len(got) != len(test.messages) {
					t.Fatalf("%d messages came, want %d", len(got), len(test.messages))
				}
				for i, m := range got {
					if m.Kind == Failure && !m.Err.Remote {
						t.Errorf("message %d is not marked as remote", i)
					}
					if m := simplify(m); !reflect.DeepEqual(m, simplify(test.messages[i])) {
						t.Errorf("message %d came as %.200v, want %.200v", i, m, test.messages[i])
					}
				}
			})
		}
		for _, m := range test.messages {
			if !test.from().Supports(m.Kind) {
				t.Errorf("%s: kind %d is said not to be supported", test.name, m.Kind)
			}
		}
	}
}

// What has come whole is told to have, and nothing else; what is longer than the buffer
// never is.
func TestFramedAwaits(t *testing.T) {
	for _, m := range everyToClient {
		b := encode(framedServer(), m)
		h, n, err := wire.ParseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		frame := n + h.Length // the first of several
		for come := 0; come <= frame; come += 1 + come/64 {
			r := bufio.NewReaderSize(bytes.NewReader(b[:come]), readBuffer)
			whole, err := framedClient().(*framed).await(r)
			switch {
			case frame > readBuffer && come >= n:
				if whole || err != nil {
					t.Errorf("%d bytes of %d of a long message: %v, %v", come, frame, whole, err)
				}
			case whole != (come == frame), !whole && err == nil, come == 0 && err != io.EOF, come > 0 && !whole && err != io.ErrUnexpectedEOF:
				t.Errorf("%d bytes of %d: %v, %v", come, frame, whole, err)
			}
			if rest, _ := io.ReadAll(r); !bytes.Equal(rest, b[:come]) {
				t.Fatalf("%d bytes of %d: something was taken", come, frame)
			}
		}
	}
}

// A body has the same bytes whether it fits into a frame or not.
func TestFramedBodySizes(t *testing.T) {
	for _, size := range []int{0, 1, 127, 128, LargeBody, LargeBody + 1, readBuffer, readBuffer + 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 128 << 10, 128<<10 + 1, 1 << 20} {
		body := pattern(size)
		command := Message{Kind: Command, Slot: 3, Seq: 9, Timeout: time.Second, Credit: 2, Body: body}
		result := Message{Kind: Result, Slot: 3, Last: true, Body: body}
		commands, err := readAll(framedServer(), encode(framedClient(), command, command))
		wantEnd(t, err)
		results, err := readAll(framedClient(), encode(framedServer(), result, result))
		wantEnd(t, err)
		for _, m := range append(commands, results...) {
			if m.Err != nil || !bytes.Equal(m.Body, body) {
				t.Errorf("a body of %d bytes comes as %d bytes, %v", size, len(m.Body), m.Err)
			}
		}
		if len(commands) != 2 || len(results) != 2 {
			t.Errorf("with %d bytes, %d commands and %d results of 2 have come", size, len(commands), len(results))
		}
	}
}

// A large body is not copied.
func TestFramedBodyByReference(t *testing.T) {
	for size, want := range map[int]int{LargeBody: 0, LargeBody + 1: LargeBody + 1, 100_000: 64<<10 - 3} {
		m := Message{Kind: Command, Seq: 1, Body: pattern(size)}
		out, tail, more := framedClient().Append(nil, &m)
		if len(tail) != want || want > 0 && &tail[0] != &m.Body[0] || more != (size > 64<<10) {
			t.Errorf("of %d bytes, %d go by reference behind %d others, more: %v", size, len(tail), len(out), more)
		}
	}
}

func TestFramedSeqIsSaidOnlyWhereItJumps(t *testing.T) {
	client := framedClient()
	for _, test := range []struct {
		seq  base.Seq
		want []byte
	}{
		{1, []byte{0x10, 5, 1, 'x'}},
		{2, []byte{0x10, 5, 1, 'x'}},
		{300, []byte{0x12, 5, 4, 1, 0xac, 2, 'x'}},
		{301, []byte{0x10, 5, 1, 'x'}},
		{300, []byte{0x12, 5, 4, 1, 0xac, 2, 'x'}},
	} {
		got := encode(client, Message{Kind: Command, Slot: 5, Seq: test.seq, Body: []byte("x")})
		if !bytes.Equal(got, test.want) {
			t.Errorf("seq %d: % x, want % x", test.seq, got, test.want)
		}
	}
	// The reader counts by first chunks: a large command between two others takes
	// one number, though its last chunk comes after the second's frame.
	sender := framedClient()
	large := Message{Kind: Command, Slot: 1, Seq: 7, Body: pattern(100_000)}
	b, tail, _ := sender.Append(nil, &large)
	b = append(b, tail...)
	b = append(b, encode(sender, Message{Kind: Command, Slot: 2, Seq: 8})...)
	b, tail, _ = sender.Append(b, &large)
	got, err := readAll(framedServer(), append(b, tail...))
	wantEnd(t, err)
	if len(got) != 2 || got[0].Seq != 8 || got[1].Seq != 7 {
		t.Errorf("%.200v came", got)
	}
}

func TestFramedCutAtEveryByte(t *testing.T) {
	for _, test := range []struct {
		from, to func() Transport
		messages []Message
	}{
		{framedClient, framedServer, []Message{
			{Kind: Command, Slot: 200, Seq: 300, Timeout: time.Second, Credit: 2, Body: []byte("body")},
			{Kind: Cancel, Slot: 200},
			{Kind: Credit, Slot: 200, Credit: 300},
			{Kind: Goaway, Reason: "x"},
		}},
		{framedServer, framedClient, []Message{
			{Kind: Result, Slot: 200, Body: []byte("body")},
			{Kind: Result, Slot: 200, Last: true},
			{Kind: Failure, Slot: 1, Err: &base.Error{Outcome: base.Failed, Code: "x", Message: "y"}},
		}},
	} {
		ends := map[int]bool{0: true} // where a message ends
		var b []byte
		sender := test.from()
		for _, m := range test.messages {
			b = append(b, encode(sender, m)...)
			ends[len(b)] = true
		}
		for cut := range len(b) {
			_, err := readAll(test.to(), b[:cut])
			if want := map[bool]error{true: io.EOF, false: io.ErrUnexpectedEOF}[ends[cut]]; err != want {
				t.Errorf("% x cut after %d bytes: %v, want %v", b, cut, err, want)
			}
		}
	}
	// Between two chunks nothing is cut: the connection has ended while a command
	// was half there, which is dropped with it.
	b := encode(framedClient(), Message{Kind: Command, Seq: 1, Body: pattern(70_000)})
	for _, cut := range []int{1, 100, 20_000, 65_541, len(b) - 1} {
		if got, err := readAll(framedServer(), b[:cut]); len(got) != 0 || err == nil {
			t.Errorf("a large command cut after %d bytes: %d messages, %v", cut, len(got), err)
		}
	}
}

func TestFramedOverflows(t *testing.T) {
	overflow := func(m Message, from, to Transport) Message {
		t.Helper()
		got, err := readAll(to, encode(from, m))
		wantEnd(t, err)
		if len(got) != 1 {
			t.Fatalf("%d messages came", len(got))
		}
		return got[0]
	}
	m := overflow(Message{Kind: Command, Seq: 1, Timeout: math.MaxInt64, Credit: math.MaxInt32}, framedClient(), framedServer())
	if m.Timeout <= 0 || m.Credit != math.MaxInt32 {
		t.Errorf("came as %+v", m)
	}
	if m = overflow(Message{Kind: Command, Seq: 1, Timeout: 1}, framedClient(), framedServer()); m.Timeout != time.Microsecond {
		t.Errorf("a timeout below the unit came as %v, which must not mean none", m.Timeout)
	}
	if m = overflow(Message{Kind: Goaway, RetryAfter: math.MaxInt64 - time.Hour}, framedServer(), framedClient()); m.RetryAfter <= 0 {
		t.Errorf("came as %+v", m)
	}
	if m = overflow(Message{Kind: Goaway, RetryAfter: 1}, framedServer(), framedClient()); m.RetryAfter != time.Millisecond {
		t.Errorf("a retry-after below the unit came as %v, which must not mean none", m.RetryAfter)
	}
}

// What became of a command only that side may say that can know it.
func TestFramedOutcomes(t *testing.T) {
	for number, want := range map[byte]base.Outcome{
		0: base.Unknown, 1: base.Unknown, 2: base.Rejected, 3: base.Failed, 4: base.Unknown, 200: base.Unknown,
	} {
		got, err := readAll(framedClient(), []byte{0x30, 1, 3, number, 0, 0})
		wantEnd(t, err)
		if len(got) != 1 || got[0].Err.Outcome != want {
			t.Errorf("outcome %d came as %+v, want %v", number, got, want)
		}
	}
}
