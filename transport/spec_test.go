package transport

import (
	"bytes"
	"encoding/hex"
	"io"
	"math"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/wire"
)

const specFile = "../docs/spec.md"

// vector is a line of bytes in the specification, and the comment above it.
type vector struct {
	bytes   []byte
	meaning string
}

func specification(t *testing.T) (text string, vectors map[string]vector) {
	t.Helper()
	file, err := os.ReadFile(specFile)
	if err != nil {
		t.Fatal(err)
	}
	vectors = map[string]vector{}
	within, meaning := false, ""
	for line := range strings.Lines(string(file)) {
		line = strings.TrimSpace(line)
		comment, isComment := strings.CutPrefix(line, "# ")
		switch {
		case strings.HasPrefix(line, "```"):
			within, meaning = line == "```vectors", ""
		case !within:
		case isComment:
			meaning = comment
		default:
			name, digits, _ := strings.Cut(line, ": ")
			b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
			if _, twice := vectors[name]; err != nil || len(b) == 0 || twice || meaning == "" {
				t.Errorf("the line %q: %v, twice: %v, meaning %q", line, err, twice, meaning)
			}
			vectors[name] = vector{b, meaning}
		}
	}
	return string(file), vectors
}

// TestVectors holds each vector of the specification against the code: what it
// means is encoded to its bytes, and its bytes are read as what they mean.
func TestVectors(t *testing.T) {
	_, vectors := specification(t)
	for name, check := range vectorChecks {
		v, ok := vectors[name]
		if !ok {
			t.Errorf("there is a check of %q, and no vector", name)
			continue
		}
		t.Run(name, func(t *testing.T) { check(t, v.bytes) })
	}
	for name, v := range vectors {
		if vectorChecks[name] == nil {
			t.Errorf("nothing checks %q (%s)", name, v.meaning)
		}
	}
}

// The checks are made of these functions, one for each sort of vector.

type check = func(t *testing.T, b []byte)

func number(v uint64) check {
	return func(t *testing.T, b []byte) {
		if got := wire.AppendUvarint(nil, v); !bytes.Equal(got, b) {
			t.Errorf("%d is encoded as % x", v, got)
		}
		if got, n, err := wire.ParseUvarint(b); got != v || n != len(b) || err != nil {
			t.Errorf("read as %d, %v", got, err)
		}
	}
}

func noNumber(rule string) check {
	return func(t *testing.T, b []byte) {
		_, _, err := wire.ParseUvarint(b)
		wantRule(t, err, rule)
	}
}

// said is a hello, as it is said and as it is heard.
func said(from, to Transport, h Hello) check {
	return func(t *testing.T, b []byte) {
		if got, err := from.AppendHello(nil, &h); !bytes.Equal(got, b) || err != nil {
			t.Errorf("said as % x, %v", got, err)
		}
		if got, err := hearHello(to, b); !reflect.DeepEqual(got, h) || err != nil {
			t.Errorf("heard as %+v, %v", got, err)
		}
	}
}

// answered is a client's hello that this server answers with a status other than
// OK. The fields are nil where the version is another.
func answered(fields *wire.ClientHello, status Status) check {
	return func(t *testing.T, b []byte) {
		if fields != nil {
			if got, err := wire.AppendClientHello(nil, *fields); !bytes.Equal(got, b) || err != nil {
				t.Errorf("said as % x, %v", got, err)
			}
		}
		if h, err := hearHello(framedServer(), b); h.Status != status || h.Text == "" || err != nil {
			t.Errorf("heard as %+v, %v", h, err)
		}
	}
}

func noHello(to Transport, rule string) check {
	return func(t *testing.T, b []byte) {
		_, err := hearHello(to, b)
		wantRule(t, err, rule)
	}
}

// sent is messages, as they are sent and as they are read.
func sent(from, to func() Transport, messages ...Message) check {
	return func(t *testing.T, b []byte) {
		if got := encode(from(), messages...); !bytes.Equal(got, b) {
			t.Errorf("sent as % x", got)
		}
		wantMessages(t, to(), b, messages)
	}
}

func wantMessages(t *testing.T, to Transport, b []byte, want []Message) {
	t.Helper()
	got, err := readAll(to, b)
	wantEnd(t, err)
	for i := range got {
		got[i] = simplify(got[i])
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read as %+v, want %+v", got, want)
	}
}

// inChunks is a message whose body is sent in pieces that are smaller than the
// library would make them; the last of them is nil where it gives up.
func inChunks(to func() Transport, m Message, first, last string) check {
	kind, flags := wire.KindCommand, wire.Flags(0)
	if m.Kind == Result {
		kind, flags = wire.KindResult, wire.FlagLast
	}
	return func(t *testing.T, b []byte) {
		payload := append(wire.AppendUvarint(nil, 5), first...)
		got := wire.AppendHeader(nil, wire.Header{Kind: kind, Flags: flags | wire.FlagMore, Slot: uint64(m.Slot), Length: len(payload)})
		got = append(got, payload...)
		got = wire.AppendHeader(got, wire.Header{Kind: kind, Flags: flags, Slot: uint64(m.Slot), Length: len(last)})
		if got = append(got, last...); !bytes.Equal(got, b) {
			t.Errorf("sent as % x", got)
		}
		if m.Err == nil {
			wantMessages(t, to(), b, []Message{m})
			return
		}
		read, err := readAll(to(), b)
		wantEnd(t, err)
		if len(read) != 1 {
			t.Fatalf("read as %+v", read)
		}
		wantRefusal(t, read[0], m.Slot, m.Err.Outcome, m.Err.Code)
	}
}

// noMessage breaks a rule.
func noMessage(to func() Transport, rule string) check {
	return func(t *testing.T, b []byte) {
		_, err := readAll(to(), b)
		wantRule(t, err, rule)
	}
}

// plainVector is the plain transport with bodies of two bytes.
func plainVector(factory Factory, server bool) func() Transport {
	return func() Transport {
		return factory(Options{Server: server, MaxBody: 2, MaxSlots: 3, Decode: func(_ int, r Reader) (any, error) {
			b := make([]byte, 2)
			_, err := io.ReadFull(r, b)
			return text(b), err
		}})
	}
}

// plainSent is a message of the plain wire, which is read decoded.
func plainSent(m Message) check {
	return func(t *testing.T, b []byte) {
		client, server := plainVector(Plain, false)(), plainVector(Plain, true)()
		from, to := client, server
		if m.Kind == Result { // which needs its command
			opened, err := readAll(server, encode(client, Message{Kind: Command, Slot: m.Slot, Seq: m.Seq, Body: []byte("hi")}))
			if wantEnd(t, err); len(opened) != 1 {
				t.Fatalf("%+v was opened", opened)
			}
			from, to = server, client
		}
		if got := encode(from, m); !bytes.Equal(got, b) {
			t.Errorf("sent as % x", got)
		}
		want := m
		if m.Kind != Ping {
			want.Body, want.Value = nil, text(m.Body)
		}
		wantMessages(t, to, b, []Message{want})
	}
}

var vectorChecks = map[string]check{
	"uvarint-0":                number(0),
	"uvarint-127":              number(127),
	"uvarint-128":              number(128),
	"uvarint-300":              number(300),
	"uvarint-most":             number(math.MaxUint64),
	"uvarint-overlong-refused": noNumber("longer than it need be"),
	"uvarint-overflow-refused": noNumber("overflows 64 bits"),

	"client-hello-bare": said(framedClient(), framedServer(), Hello{}),
	"client-hello":      said(framedClient(), framedServer(), Hello{Info: []byte("me"), MaxResultSize: 4 << 20}),
	"server-hello-ok": said(framedServer(), framedClient(), Hello{
		Info: []byte("default"), Settings: ServerSettings{MaxCmdSize: 4 << 20, MaxInFlight: 16384},
	}),
	"server-hello-full":            said(framedServer(), framedClient(), Hello{Status: Full, RetryAfter: 500 * time.Millisecond, Text: "64 clients"}),
	"client-hello-version-refused": answered(nil, Version),
	"client-hello-session-open":    said(framedClient(), framedServer(), Hello{Session: &Session{ID: vectorSession, Epoch: 1}}),
	"client-hello-session-resume":  said(framedClient(), framedServer(), Hello{Session: &Session{Resume: true, ID: vectorSession, Epoch: 300}}),
	"client-hello-credentials":     said(framedClient(), framedServer(), Hello{Credentials: []byte("key"), Compressions: []uint64{2, 1}}),
	"server-hello-session": said(framedServer(), framedClient(), Hello{
		Info: []byte("default"), SessionTime: time.Minute, Compression: 2,
	}),
	"server-hello-session-lost":      said(framedServer(), framedClient(), Hello{Status: SessionLost, Text: "it was restarted"}),
	"client-hello-twice-refused":     noHello(framedServer(), "field 3 stands twice"),
	"client-hello-long-refused":      noHello(framedServer(), "has 8193 bytes, the limit is 8192"),
	"server-hello-no-status-refused": noHello(framedClient(), "has no status"),
	"client-hello-http-refused":      noHello(framedServer(), "it looks like HTTP"),

	"ping":             sent(framedClient, framedServer, Message{Kind: Ping}),
	"command":          sent(framedClient, framedServer, Message{Kind: Command, Slot: 5, Seq: 1, Body: []byte("hi")}),
	"command-slot-128": sent(framedClient, framedServer, Message{Kind: Command, Slot: 128, Seq: 1}),
	"command-seq-300":  sent(framedClient, framedServer, Message{Kind: Command, Slot: 5, Seq: 300, Body: []byte("hi")}),
	"command-seq-301": sent(framedClient, framedServer,
		Message{Kind: Command, Slot: 5, Seq: 300, Body: []byte("hi")}, Message{Kind: Command, Slot: 6, Seq: 301, Body: []byte("hi")}),
	"command-timeout-credit": sent(framedClient, framedServer,
		Message{Kind: Command, Slot: 5, Seq: 1, Timeout: 1500 * time.Millisecond, Credit: 16, Body: []byte("hi")}),
	"command-chunks": inChunks(framedServer, Message{Kind: Command, Slot: 1, Seq: 1, Body: []byte("abcde")}, "ab", "cde"),
	"command-given-up": inChunks(framedServer,
		Message{Kind: Command, Slot: 1, Err: &base.Error{Outcome: base.Rejected, Code: base.ErrCanceled}}, "ab", ""),
	"cancel":        sent(framedClient, framedServer, Message{Kind: Cancel, Slot: 5}),
	"credit":        sent(framedClient, framedServer, Message{Kind: Credit, Slot: 5, Credit: 7}),
	"client-goaway": sent(framedClient, framedServer, Message{Kind: Goaway, Reason: "bye"}),
	"command-metadata": sent(framedClient, framedServer,
		Message{Kind: Command, Slot: 1, Seq: 1, Metadata: []byte("\x06tenant\x03ann"), Body: []byte("hi")}),
	"command-origin": sent(framedClient, framedServer,
		Message{Kind: Command, Slot: 1, Seq: 1, Origin: &base.ID{Session: vectorSession, Seq: 7}, Body: []byte("hi")}),
	"input":     sent(framedClient, framedServer, Message{Kind: Input, Slot: 5, Body: []byte("hi")}),
	"input-end": sent(framedClient, framedServer, Message{Kind: Input, Slot: 5, Last: true}),
	"ack":       sent(framedClient, framedServer, Message{Kind: Ack, Slot: 5, Seen: 3}),
	"client-list": sent(framedClient, framedServer, Message{Kind: Resume, Slots: []SlotState{
		{Slot: 0, Seq: 300, Seen: 2, Credit: 62, Inputs: 1}, {Slot: 5, Seq: 301, Credit: 1, Canceled: true},
	}}),
	"list-empty":                 sent(framedClient, framedServer, Message{Kind: Resume}),
	"kind-10-refused":            noMessage(framedServer, "unknown kind"),
	"cancel-more-refused":        noMessage(framedServer, "has flags 0x1"),
	"length-refused":             noMessage(framedServer, "has 65537 bytes, the limit is 65536"),
	"extras-none-refused":        noMessage(framedServer, "extras open with byte 0x00"),
	"chunks-refused":             noMessage(framedServer, "more than the 3 bytes"),
	"client-list-twice-refused":  noMessage(framedServer, "slot 5 comes after slot 5"),
	"command-compressed-refused": noMessage(framedServer, "no compression was agreed upon"),
	"metadata-empty-key-refused": noMessage(framedServer, "a key of the metadata is empty"),
	"ack-zero-refused":           noMessage(framedServer, "an ack frame holds no count"),

	"pong":          sent(framedServer, framedClient, Message{Kind: Ping}),
	"result":        sent(framedServer, framedClient, Message{Kind: Result, Slot: 5, Body: []byte("hi")}),
	"result-last":   sent(framedServer, framedClient, Message{Kind: Result, Slot: 5, Last: true, Body: []byte("hi")}),
	"result-chunks": inChunks(framedClient, Message{Kind: Result, Slot: 1, Last: true, Body: []byte("abcde")}, "ab", "cde"),
	"failure": sent(framedServer, framedClient,
		Message{Kind: Failure, Slot: 5, Err: &base.Error{Outcome: base.Failed, Code: base.ErrExec, Message: "no"}}),
	"failure-busy": sent(framedServer, framedClient,
		Message{Kind: Failure, Slot: 5, Err: &base.Error{Outcome: base.Rejected, Code: base.ErrBusy, RetryAfter: 250 * time.Millisecond}}),
	"failure-outcome-1": func(t *testing.T, b []byte) {
		sentAs := encode(framedServer(), Message{Kind: Failure, Slot: 5, Err: &base.Error{Outcome: base.NotSent}})
		if !bytes.Equal(sentAs, b) {
			t.Errorf("sent as % x", sentAs)
		}
		wantMessages(t, framedClient(), b, []Message{{Kind: Failure, Slot: 5, Err: &base.Error{Outcome: base.Unknown}}})
	},
	"server-goaway":                  sent(framedServer, framedClient, Message{Kind: Goaway, RetryAfter: 500 * time.Millisecond, Reason: "bye"}),
	"failure-between-chunks-refused": noMessage(framedClient, "between the chunks"),
	"server-credit":                  sent(framedServer, framedClient, Message{Kind: Credit, Slot: 5, Credit: 7}),
	"server-list": sent(framedServer, framedClient, Message{Kind: Resume, Slots: []SlotState{
		{Slot: 0, Inputs: 1, Credit: 7}, {Slot: 5, Unseen: true},
	}}),

	"plain-server-info": said(plainVector(Plain, true)(), plainVector(Plain, false)(), Hello{Info: []byte("default")}),
	"plain-max-cmd-size": said(plainVector(PlainMaxCmdSize, true)(), plainVector(PlainMaxCmdSize, false)(),
		Hello{Info: []byte("default"), Settings: ServerSettings{MaxCmdSize: 4 << 20}}),
	"plain-ping":          plainSent(Message{Kind: Ping}),
	"plain-pong":          sent(plainVector(Plain, true), plainVector(Plain, false), Message{Kind: Ping}),
	"plain-command-1":     plainSent(Message{Kind: Command, Seq: 1, Body: []byte("hi")}),
	"plain-command-127":   plainSent(Message{Kind: Command, Seq: 127, Body: []byte("hi")}),
	"plain-command-128":   plainSent(Message{Kind: Command, Seq: 128, Body: []byte("hi")}),
	"plain-command-300":   plainSent(Message{Kind: Command, Seq: 300, Body: []byte("hi")}),
	"plain-result-300":    plainSent(Message{Kind: Result, Seq: 300, Body: []byte("ok")}),
	"plain-seq-refused":   noMessage(plainVector(Plain, true), "a sequence number overflows"),
	"plain-twice-refused": noMessage(plainVector(Plain, true), "two open commands have the seq 1"),
}

// vectorSession is the session of the vectors.
var vectorSession = SessionID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

// The specification has each code of base, and says of it whether it travels.
func TestSpecHasEveryCode(t *testing.T) {
	spec, _ := specification(t)
	source, err := os.ReadFile("../base/error.go")
	if err != nil {
		t.Fatal(err)
	}
	codes := regexp.MustCompile(`Err\w+\s+Code = "(\w+)"`).FindAllSubmatch(source, -1)
	if len(codes) < 20 {
		t.Fatalf("%d codes were found", len(codes))
	}
	for _, code := range codes {
		if !strings.Contains(spec, "`"+string(code[1])+"`") {
			t.Errorf("the code %s is not in %s", code[1], specFile)
		}
	}
}

// A rule is referred to by its number: there is one of each.
func TestSpecNumbersItsRules(t *testing.T) {
	spec, _ := specification(t)
	var rules []string
	for _, rule := range regexp.MustCompile(`(?m)^- \*\*([A-Z]\d+)\*\*`).FindAllStringSubmatch(spec, -1) {
		rules = append(rules, rule[1])
	}
	if slices.Sort(rules); len(rules) < 30 || len(slices.Compact(slices.Clone(rules))) != len(rules) {
		t.Errorf("the rules are %q", rules)
	}
	for _, reference := range regexp.MustCompile(`\b[VHFCSKXDOAGENLQIZTP]\d+\b`).FindAllString(spec, -1) {
		if !slices.Contains(rules, reference) {
			t.Errorf("there is no rule %s", reference)
		}
	}
}
