package transport

import (
	"bytes"
	"math"
	"testing"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/internal/frugal"
	"github.com/cmdstream/cmdstream/wire"
)

func TestFramedRules(t *testing.T) {
	huge := wire.AppendUvarint(nil, math.MaxInt32+1)
	maxSeq := wire.AppendExtras(nil, wire.Extras{Seq: math.MaxInt64})
	frame := func(first byte, slot int, payload ...byte) []byte {
		b := wire.AppendUvarint([]byte{first}, uint64(slot))
		return append(wire.AppendUvarint(b, uint64(len(payload))), payload...)
	}
	const command, moreOfCommand, extras = 0x10, 0x11, 0x12
	const result, moreOfResult = 0x20, 0x21
	for name, test := range map[string]struct {
		to    func() Transport
		bytes []byte
		rule  string
	}{
		"chunks where no command is open":    {framedIdle, frame(moreOfResult, 7, 5, 'a'), "chunks of a result came on slot 7, where no command is open"},
		"an overlong slot":                   {framedServer, []byte{command, 0x80, 0, 0}, "longer than it need be"},
		"an overflowing length":              {framedServer, append([]byte{command, 0}, bytes.Repeat([]byte{0xff}, 10)...), "overflows"},
		"an unknown kind":                    {framedServer, []byte{0xa0, 0, 0}, "unknown kind"},
		"an unknown flag":                    {framedServer, []byte{0x14, 0, 0}, "flags"},
		"a flag of another kind":             {framedServer, []byte{0x48, 0, 0}, "flags"},
		"a compressed command":               {framedServer, []byte{0x18, 0, 0}, "no compression was agreed upon"},
		"a compressed result":                {framedClient, []byte{0x28, 0, 0}, "no compression was agreed upon"},
		"a length above the limit":           {framedServer, []byte{command, 0, 0x81, 0x80, 4}, "the limit is 65536"},
		"a slot beyond the limit":            {framedServer, frame(command, 300), "slot 300 is beyond the limit of 300"},
		"a slot beyond the client's limit":   {framedClient, frame(result, 300), "slot 300 is beyond the limit"},
		"an enormous slot":                   {framedServer, append(wire.AppendUvarint([]byte{command}, math.MaxUint64), 0), "is beyond the limit"},
		"an input from the server":           {framedClient, frame(0x60, 0), "a server sent a frame of kind input"},
		"an ack from the server":             {framedClient, frame(0x70, 0, 1), "a server sent a frame of kind ack"},
		"an ack of nothing":                  {framedServer, frame(0x70, 0, 0), "an ack frame holds no count"},
		"an ack that ends early":             {framedServer, frame(0x70, 0), "in the middle of the ack"},
		"a list that ends early":             {framedServer, frame(0x84, 0, 1), "in the middle of the list"},
		"a server's list that ends early":    {framedClient, frame(0x84, 0, 1), "in the middle of the list"},
		"a list of a slot too far":           {framedServer, frame(0x84, 0, 0xac, 2, 1, 0, 0, 0, 0), "slot 300 in a list is beyond the limit"},
		"a list that falls":                  {framedServer, frame(0x84, 0, 1, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0), "slot 0 comes after slot 1"},
		"a list that falls, in two frames":   {framedServer, append(frame(0x80, 0, 1, 1, 0, 0, 0, 0), frame(0x84, 0, 1, 2, 0, 0, 0, 0)...), "slot 1 comes after slot 1"},
		"a list with the seq 0":              {framedServer, frame(0x84, 0, 1, 0, 0, 0, 0, 0), "has the seq 0"},
		"a command between chunks of input":  {framedServer, append(frame(0x61, 0, 3, 'a'), frame(command, 0, 'b')...), "between the chunks of another body"},
		"an input between chunks":            {framedServer, append(frame(moreOfCommand, 0, 3, 'a'), frame(0x60, 0, 'b')...), "between the chunks of another body"},
		"a command from the server":          {framedClient, frame(command, 0), "a server sent a frame of kind command"},
		"a cancel from the server":           {framedClient, frame(0x40, 0), "a server sent a frame of kind cancel"},
		"a result from the client":           {framedServer, frame(result, 0), "a client sent a frame of kind result"},
		"a failure from the client":          {framedServer, frame(0x30, 0, 0, 0, 0), "a client sent a frame of kind failure"},
		"a credit of nothing":                {framedServer, frame(0x50, 0, 0), "no count"},
		"a credit beyond all":                {framedServer, frame(0x50, 0, huge...), "the limit is 2147483647"},
		"empty extras":                       {framedServer, frame(extras, 0), "cut off"},
		"extras that end early":              {framedServer, frame(extras, 0, 1), "in the middle of the extras"},
		"a seq of 64 bits":                   {framedServer, frame(extras, 0, wire.AppendExtras(nil, wire.Extras{Seq: math.MaxInt64 + 1})...), "seq overflows"},
		"the seq after the last":             {framedServer, append(frame(extras, 0, maxSeq...), frame(command, 1)...), "seq overflows"},
		"a failure that ends early":          {framedClient, frame(0x30, 0, 3, 4, 'b'), "in the middle of the code"},
		"a goaway that ends early":           {framedClient, frame(0x90, 0), "in the middle of the retry-after"},
		"a first chunk without a total":      {framedServer, frame(moreOfCommand, 0), "in the middle of the total"},
		"a total beyond all":                 {framedServer, frame(moreOfCommand, 0, huge...), "a body of 2147483648 bytes was declared"},
		"a first chunk beyond its total":     {framedServer, frame(moreOfCommand, 0, 1, 'a', 'b'), "holds 2 bytes of 1"},
		"chunks beyond their total":          {framedServer, append(frame(moreOfCommand, 0, 3, 'a', 'b'), frame(command, 0, 'c', 'd')...), "more than the 3 bytes"},
		"extras in a further chunk":          {framedServer, append(frame(moreOfCommand, 0, 3, 'a'), frame(extras, 0, 'b', 'c')...), "a further chunk has extras"},
		"a failure between chunks":           {framedClient, append(frame(moreOfResult, 0, 3, 'a'), frame(0x30, 0, 3, 0, 0)...), "a failure came between the chunks"},
		"results' chunks beyond their total": {framedClient, append(frame(moreOfResult, 0, 3, 'a', 'b'), frame(result, 0, 'c', 'd')...), "more than the 3 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readAll(test.to(), append(encode(framedClient(), Message{Kind: Ping}), test.bytes...))
			wantRule(t, err, test.rule)
		})
	}
}

// What a server can't take of one command costs the others nothing.
func TestFramedServerRefusesOneCommand(t *testing.T) {
	server := func() Transport { return Framed(Options{Server: true, MaxBody: 100, MaxSlots: 300}) }
	for name, test := range map[string]struct {
		refused []byte
		code    base.Code
	}{
		"too large, in one frame": {encode(framedClient(), Message{Kind: Command, Slot: 1, Seq: 1, Body: pattern(101)}), base.ErrTooLargeCmd},
		"too large, in chunks":    {encode(framedClient(), Message{Kind: Command, Slot: 1, Seq: 1, Body: pattern(200_000)}), base.ErrTooLargeCmd},
	} {
		t.Run(name, func(t *testing.T) {
			next := []byte{0x10, 2, 1, 'x'}
			got, err := readAll(server(), append(test.refused, next...))
			wantEnd(t, err)
			if len(got) != 2 {
				t.Fatalf("%d messages came: %.200v", len(got), got)
			}
			wantRefusal(t, got[0], 1, base.Rejected, test.code)
			if got[0].Kind != Command || got[0].Seq != 1 {
				t.Errorf("what is refused came as %.200v", got[0])
			}
			if got[1].Err != nil || got[1].Seq != 2 || string(got[1].Body) != "x" {
				t.Errorf("the next command came as %+v", got[1])
			}
		})
	}
	// It is told once, also if its sender gives up then.
	got, err := readAll(server(), []byte{0x11, 1, 3, 0xc8, 1, 'a', 0x10, 1, 0, 0x10, 2, 1, 'x'})
	wantEnd(t, err)
	if len(got) != 2 || got[0].Err == nil || string(got[1].Body) != "x" {
		t.Errorf("given up after it was refused: %+v", got)
	}
	// It is told at the first chunk: its sender need not send the rest.
	b := encode(framedClient(), Message{Kind: Command, Slot: 1, Seq: 1, Body: pattern(200_000)})
	got, err = readAll(server(), b[:wire.MaxPayload+10])
	if err == nil || len(got) != 1 || got[0].Err == nil {
		t.Errorf("after the first chunk: %.200v, %v", got, err)
	}
}

// A result that is too large fails its command once it has come whole: only then
// is the slot free.
func TestFramedClientRefusesOneResult(t *testing.T) {
	client := func() Transport { return Framed(Options{MaxBody: 100, MaxSlots: 300}) }
	for _, size := range []int{101, 200_000} {
		server := framedServer()
		b := encode(server, Message{Kind: Result, Slot: 1, Last: true, Body: pattern(size)})
		next := encode(server, Message{Kind: Result, Slot: 1, Last: true, Body: []byte("x")})
		got, err := readAll(client(), append(b, next...))
		wantEnd(t, err)
		if len(got) != 2 {
			t.Fatalf("%d bytes: %d messages came", size, len(got))
		}
		wantRefusal(t, got[0], 1, base.Failed, base.ErrTooLargeResult)
		if !got[0].Last || got[1].Err != nil || string(got[1].Body) != "x" {
			t.Errorf("%d bytes: %.200v came", size, got)
		}
		if got, _ := readAll(client(), b[:len(b)-1]); len(got) != 0 {
			t.Errorf("%d bytes: it was told before it was whole", size)
		}
	}
}

func TestFramedCancelOfHalfACommand(t *testing.T) {
	client := framedClient()
	large := Message{Kind: Command, Slot: 1, Seq: 1, Body: pattern(200_000)}
	b, tail, _ := client.Append(nil, &large)
	b = append(b, tail...)
	b = append(b, encode(client, Message{Kind: Cancel, Slot: 1}, Message{Kind: Cancel, Slot: 1})...)
	b = append(b, encode(client, large)...) // the rest of it
	b = append(b, encode(client, Message{Kind: Command, Slot: 1, Seq: 2, Body: []byte("x")})...)
	got, err := readAll(framedServer(), b)
	wantEnd(t, err)
	if len(got) != 2 {
		t.Fatalf("%d messages came: %.300v", len(got), got)
	}
	wantRefusal(t, got[0], 1, base.Rejected, base.ErrCanceled)
	if got[0].Kind != Command || got[1].Err != nil || got[1].Seq != 2 || string(got[1].Body) != "x" {
		t.Errorf("%.300v came", got)
	}
}

// A sender that gives up half-way sends an empty last chunk.
func TestFramedGivenUpHalfWay(t *testing.T) {
	command := []byte{0x11, 1, 3, 5, 'a', 'b', 0x10, 1, 0, 0x10, 1, 1, 'x'}
	got, err := readAll(framedServer(), command)
	wantEnd(t, err)
	if len(got) != 2 {
		t.Fatalf("%d messages came", len(got))
	}
	wantRefusal(t, got[0], 1, base.Rejected, base.ErrCanceled)
	if got[1].Seq != 2 || string(got[1].Body) != "x" {
		t.Errorf("%+v came", got)
	}
	// Of a result the failure behind it says what became of the command.
	result := []byte{0x25, 1, 3, 5, 'a', 'b', 0x24, 1, 0, 0x30, 1, 3, 3, 0, 0}
	got, err = readAll(framedClient(), result)
	wantEnd(t, err)
	if len(got) != 1 || got[0].Kind != Failure {
		t.Errorf("%+v came", got)
	}
}

// Memory is taken for what has come, never for what was only announced.
func TestFramedTakesNoMemoryOnTrust(t *testing.T) {
	server := Framed(Options{Server: true, MaxBody: math.MaxInt32, MaxSlots: 300})
	var b []byte
	for slot := range byte(100) {
		b = append(b, 0x11, slot, 6)
		b = append(wire.AppendUvarint(b, 1<<30), 'x')
		b = append(append(b, 0x11, slot, 100), make([]byte, 100)...)
	}
	var err error
	frugal.Check(t, 1<<20, func() { _, err = readAll(server, b) })
	wantEnd(t, err)
}

// Whichever chunk says that a result is the last, it is.
func TestFramedLastOnAnyChunk(t *testing.T) {
	for _, b := range [][]byte{
		{0x25, 1, 2, 2, 'a', 0x24, 1, 1, 'b'},
		{0x25, 1, 2, 2, 'a', 0x20, 1, 1, 'b'},
		{0x21, 1, 2, 2, 'a', 0x24, 1, 1, 'b'},
	} {
		got, err := readAll(framedClient(), b)
		wantEnd(t, err)
		if len(got) != 1 || !got[0].Last || string(got[0].Body) != "ab" {
			t.Errorf("% x is read as %+v", b, got)
		}
	}
}
