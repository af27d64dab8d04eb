package transport

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/cmdstream/cmdstream/base"
)

// text is a result. The one that ends in a full stop is the last.
type text string

func (r text) LastOne() bool {
	if r == "panic." {
		panic("no")
	}
	return strings.HasSuffix(string(r), ".")
}

// decodeText reads as much as was written: a body ends with its full stop or
// comma. At the server it is a command, which is nothing but a value here.
func decodeText(_ int, r Reader) (any, error) {
	var b []byte
	for {
		c, err := r.ReadByte()
		if err != nil {
			return nil, fmt.Errorf("reading a text: %w", err)
		}
		if c == '!' {
			return nil, errors.New("an exclamation")
		}
		if b = append(b, c); c == '.' || c == ',' {
			return text(b), nil
		}
	}
}

func plainOptions(server bool) Options {
	return Options{Server: server, MaxBody: 100, MaxSlots: 3, Decode: decodeText}
}

// golden returns the bytes in testdata by their names.
func golden(t *testing.T) map[string][]byte {
	t.Helper()
	file, err := os.ReadFile("testdata/plain.golden")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string][]byte{}
	for line := range strings.Lines(string(file)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		name, digits, _ := strings.Cut(line, ": ")
		if named[name], err = hex.DecodeString(strings.ReplaceAll(digits, " ", "")); err != nil {
			t.Fatal(err)
		}
	}
	return named
}

// A peer of the bare wire that was written elsewhere says and hears these bytes.
func TestPlainGolden(t *testing.T) {
	two := func(_ int, r Reader) (any, error) { // bodies of two bytes
		b := make([]byte, 2)
		_, err := io.ReadFull(r, b)
		return text(b), err
	}
	options := func(server bool) Options {
		return Options{Server: server, MaxBody: 2, MaxSlots: 3, Decode: two}
	}
	info := []byte("default")
	ping := Message{Kind: Ping}
	command := func(seq base.Seq) Message { return Message{Kind: Command, Seq: seq, Body: []byte("ab")} }
	hellos := map[string]struct {
		make  Factory
		hello Hello
	}{
		"server info default":                          {Plain, Hello{Info: info}},
		"server info default, then MaxCmdSize 4194304": {PlainMaxCmdSize, Hello{Info: info, Settings: ServerSettings{MaxCmdSize: 4 << 20}}},
	}
	toServer := map[string]Message{
		"ping":               ping,
		"command with seq 1": command(1), "command with seq 127": command(127),
		"command with seq 128": command(128), "command with seq 300": command(300),
	}
	results := map[string]base.Seq{"result of seq 1": 1, "result of seq 127": 127, "result of seq 128": 128, "result of seq 300": 300}
	checked := []string{"pong"}
	file := golden(t)
	for name, test := range hellos {
		checked = append(checked, name)
		if got, err := test.make(options(true)).AppendHello(nil, &test.hello); !bytes.Equal(got, file[name]) || err != nil {
			t.Errorf("%s: said as % x, %v", name, got, err)
		}
		if got, err := hearHello(test.make(options(false)), file[name]); !reflect.DeepEqual(got, test.hello) || err != nil {
			t.Errorf("%s: heard as %+v, %v", name, got, err)
		}
	}
	for name, m := range toServer {
		checked = append(checked, name)
		if got := encode(Plain(options(false)), m); !bytes.Equal(got, file[name]) {
			t.Errorf("%s: sent as % x", name, got)
		}
		want := Message{Kind: m.Kind, Seq: m.Seq}
		if m.Kind == Command {
			want.Value = text(m.Body)
		}
		got, err := readAll(Plain(options(true)), file[name])
		wantEnd(t, err)
		if !reflect.DeepEqual(got, []Message{want}) {
			t.Errorf("%s: read as %+v", name, got)
		}
	}
	if got := encode(Plain(options(true)), ping); !bytes.Equal(got, file["pong"]) {
		t.Errorf("a pong is sent as % x", got)
	}
	if got, err := readAll(Plain(options(false)), file["pong"]); len(got) != 1 || got[0].Kind != Ping || err != io.EOF {
		t.Errorf("a pong is read as %+v, %v", got, err)
	}
	for name, seq := range results {
		checked = append(checked, name)
		client, server := Plain(options(false)), Plain(options(true))
		sent := command(seq)
		got, err := readAll(server, encode(client, sent))
		wantEnd(t, err)
		answer := encode(server, Message{Kind: Result, Slot: got[0].Slot, Last: true, Body: []byte("ab")})
		if !bytes.Equal(answer, file[name]) {
			t.Errorf("%s: sent as % x", name, answer)
		}
		got, err = readAll(client, file[name])
		wantEnd(t, err)
		if want := []Message{{Kind: Result, Slot: sent.Slot, Seq: seq, Value: text("ab")}}; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: read as %+v, want %+v", name, got, want)
		}
	}
	slices.Sort(checked)
	if names := slices.Sorted(maps.Keys(file)); !slices.Equal(names, checked) {
		t.Errorf("testdata has %q, and these were checked: %q", names, checked)
	}
}

// Slots, which the plain wire does not have, are found for it.
func TestPlainFindsSlots(t *testing.T) {
	client, server := Plain(plainOptions(false)), Plain(plainOptions(true))
	var b []byte
	for slot, seq := range []base.Seq{7, 300, 9} {
		b = append(b, encode(client, Message{Kind: Command, Slot: slot, Seq: seq, Body: []byte("go.")})...)
	}
	commands, err := readAll(server, b)
	wantEnd(t, err)
	if len(commands) != 3 {
		t.Fatalf("%d commands came", len(commands))
	}
	b = nil
	for i, body := range []string{"more,", "last."} {
		for _, at := range []int{1, 2, 0} {
			b = append(b, encode(server, Message{Kind: Result, Slot: commands[at].Slot, Last: i == 1, Body: []byte(body)})...)
		}
	}
	results, err := readAll(client, b)
	wantEnd(t, err)
	for i, want := range []Message{
		{Kind: Result, Slot: 1, Seq: 300, Value: text("more,")},
		{Kind: Result, Slot: 2, Seq: 9, Value: text("more,")},
		{Kind: Result, Slot: 0, Seq: 7, Value: text("more,")},
		{Kind: Result, Slot: 1, Seq: 300, Last: true, Value: text("last.")},
		{Kind: Result, Slot: 2, Seq: 9, Last: true, Value: text("last.")},
		{Kind: Result, Slot: 0, Seq: 7, Last: true, Value: text("last.")},
	} {
		if !reflect.DeepEqual(results[i], want) {
			t.Errorf("result %d is %+v, want %+v", i, results[i], want)
		}
	}
	// A result of a command that has ended belongs to none.
	late, err := readAll(client, []byte("\x09late."))
	wantEnd(t, err)
	if late[0].Slot != -1 || late[0].Seq != 9 {
		t.Errorf("a late result came as %+v", late[0])
	}
	// The slots of the commands that have ended serve again, and so do their Seqs.
	again, err := readAll(server, []byte("\x07go.\x09go.\x0cgo."))
	wantEnd(t, err)
	var used []int
	for _, m := range again {
		used = append(used, m.Slot)
	}
	slices.Sort(used)
	if !slices.Equal(used, []int{0, 1, 2}) {
		t.Errorf("the next commands are on the slots %v", used)
	}
}

func TestPlainLargeBody(t *testing.T) {
	m := Message{Kind: Command, Seq: 300, Body: pattern(LargeBody + 1)}
	out, tail, more := Plain(plainOptions(false)).Append(nil, &m)
	if !bytes.Equal(out, []byte{0xac, 2}) || &tail[0] != &m.Body[0] || more {
		t.Errorf("%d bytes, %d by reference, more: %v", len(out), len(tail), more)
	}
}

func TestPlainRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		server bool
		bytes  string
		says   string
	}{
		"an overlong seq":               {true, "\x81\x00go.", "longer than it need be"},
		"an overlong ping":              {true, "\x80\x00", "longer than it need be"},
		"a seq of 64 bits":              {true, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01go.", "overflows"},
		"a seq that overflows":          {true, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02go.", "overflows"},
		"one open command twice":        {true, "\x01go.\x01go.", "two open commands have the seq 1"},
		"more commands than slots":      {true, "\x01go.\x02go.\x03go.\x04go.", "more than 3 commands are open"},
		"a command that is too large":   {true, "\x01" + strings.Repeat("a", 101) + ".", "beyond its size limit"},
		"a result that is too large":    {false, "\x01" + strings.Repeat("a", 101) + ".", "beyond its size limit"},
		"a command the codec refuses":   {true, "\x01no!", "an exclamation"},
		"a result the codec refuses":    {false, "\x01no!", "an exclamation"},
		"a result whose LastOne panics": {false, "\x01panic.", "LastOne of a transport.text panicked: no"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readAll(Plain(plainOptions(test.server)), []byte(test.bytes))
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %q", err, test.says)
			}
		})
	}
	exact := "\x01" + strings.Repeat("a", 99) + "."
	if got, err := readAll(Plain(plainOptions(true)), []byte(exact)); len(got) != 1 || err != io.EOF {
		t.Errorf("a command as large as may be: %+v, %v", got, err)
	}
	_, err := readAll(Plain(plainOptions(true)), []byte("\x01"+strings.Repeat("a", 101)))
	wantRule(t, err, "beyond its size limit")
}

func TestPlainCutAtEveryByte(t *testing.T) {
	b := []byte("\xac\x02go.")
	for cut := range b {
		want := io.ErrUnexpectedEOF
		if cut == 0 {
			want = io.EOF
		}
		if _, err := readAll(Plain(plainOptions(true)), b[:cut]); !errors.Is(err, want) {
			t.Errorf("cut after %d bytes: %v", cut, err)
		}
	}
}

func TestPlainHelloRefuses(t *testing.T) {
	server, client := Plain(plainOptions(true)), Plain(plainOptions(false))
	if _, err := server.AppendHello(nil, &Hello{Status: Full}); err == nil {
		t.Error("a refusal is said on a wire that has none")
	}
	if _, err := server.AppendHello(nil, &Hello{Info: make([]byte, MaxServerInfo+1)}); err == nil {
		t.Error("a ServerInfo above the limit is said")
	}
	if b, err := client.AppendHello(nil, &Hello{Info: []byte("me")}); len(b) != 0 || err != nil {
		t.Errorf("the client says % x, %v", b, err)
	}
	if _, err := hearHello(server, nil); err != nil {
		t.Errorf("the server waits for a hello: %v", err)
	}
	_, err := hearHello(client, []byte("HTTP/1.1 400 Bad Request"))
	if err == nil {
		t.Error("an HTTP server's words are taken")
	}
	_, err = hearHello(client, []byte("\x81\x08"))
	wantRule(t, err, "the ServerInfo has 1025 bytes")
	for factory, whole := range map[string][]byte{"Plain": []byte("\x02hi"), "PlainMaxCmdSize": []byte("\x02hi\x80\x01")} {
		for cut := range whole {
			of := Plain(plainOptions(false))
			if factory == "PlainMaxCmdSize" {
				of = PlainMaxCmdSize(plainOptions(false))
			}
			if _, err := hearHello(of, whole[:cut]); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s: cut after %d bytes: %v", factory, cut, err)
			}
		}
	}
}

func TestPlainHasNoMore(t *testing.T) {
	for kind, want := range map[Kind]bool{Ping: true, Command: true, Result: true, Failure: false, Cancel: false, Credit: false, Goaway: false} {
		if got := Plain(plainOptions(false)).Supports(kind); got != want {
			t.Errorf("kind %d: %v", kind, got)
		}
	}
}

// A codec reads through a limit, and otherwise as from the connection.
func TestPlainReaderIsLimited(t *testing.T) {
	content := pattern(50)
	l := &limited{r: bufio.NewReader(bytes.NewReader(content)), left: 50 + 1}
	if err := iotest.TestReader(l, content); err != nil {
		t.Error(err)
	}
	l = &limited{r: bufio.NewReader(bytes.NewReader(content)), left: 10}
	if got, err := io.ReadAll(l); !bytes.Equal(got, content[:10]) || err != errTooLong {
		t.Errorf("%d bytes were read, %v", len(got), err)
	}
	if _, err := l.ReadByte(); err != errTooLong {
		t.Errorf("a further byte: %v", err)
	}
}
