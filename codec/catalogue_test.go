package codec_test

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/codec"
	"github.com/cmdstream/cmdstream/codec/json"
	"github.com/cmdstream/cmdstream/internal/catalogue"
)

// twin has the short name of another package's command.
type twin struct{ A, B int }

func (twin) Run(context.Context, calc) (int, error) { return 0, nil }
func (twin) CommandName() string                    { return "other.add" }

type talk struct{}

func (talk) Exchange(context.Context, calc, iter.Seq2[int, error], func(int) error) error { return nil }

// question is one as a client sends it.
func question(what byte, rest string) string {
	body := string(what) + rest
	return "\x00" + number(uint64(len(body))) + body
}

func call(name, text string) string {
	return question(catalogue.Call, number(uint64(len(name)))+name+text)
}

func TestQuestionsThatAreRefused(t *testing.T) {
	set := codec.NewSet[calc](json.Format{})
	codec.Unary[add](set, 1)
	codec.Unary[twin](set, 2)
	codec.Exchange[talk](set, 3)
	codec.Unary[*byPointer](set, 4)
	set.Limit(1000)
	set.Reflect()
	server := set.Server()
	for _, test := range []struct {
		name, wire string
		code       base.Code
		text       string
	}{
		{"nothing", "\x00\x00", base.ErrUnknownCmd, "does not know"},
		{"what is not known", question(9, ""), base.ErrUnknownCmd, "does not know"},
		{"a list of something", question(catalogue.List, "x"), base.ErrUnknownCmd, "does not know"},
		{"two of a name", call("add", "{}"), base.ErrUnknownCmd, "codec_test.add and other.add"},
		{"inputs", call("talk", "{}"), base.ErrUnsupported, "inputs"},
		{"a nil pointer", call("byPointer", "null"), base.ErrNilCmd, "nil pointer"},
		{"two values", call("twin", "{} {}"), base.ErrUnknownCmd, `"twin"`},
		{"more than one value", call("codec_test.add", "{} {}"), base.ErrDecode, "follows"},
		{"a name without an end", question(catalogue.Call, "\x09add"), base.ErrDecode, "can't be read"},
		{"too large", "\x00" + number(1001), base.ErrTooLargeCmd, "1001 bytes"},
		{"a wrong length", "\x00" + overlong, base.ErrDecode, "question"},
	} {
		cmd, err := server.Decode(bytes.NewBufferString(test.wire))
		var e *base.Error
		if cmd != nil || !errors.As(err, &e) || e.Outcome != base.Rejected || e.Code != test.code || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %v, %v", test.name, cmd, err)
		}
	}
	if _, err := server.Decode(bytes.NewBufferString("\x00\x05\x01")); err == nil || errors.As(err, new(*base.Error)) {
		t.Errorf("a question that is cut: %v", err)
	}
	if cmd, err := server.Decode(bytes.NewBufferString(call("other.add", "{}"))); err != nil || cmd == nil {
		t.Errorf("a name with its package: %v", err)
	}
}

// TestAgreeReadsNothingWrong: a list that can't be read is an error, one of a later version
// is as none.
func TestAgreeReadsNothingWrong(t *testing.T) {
	client := jsonSet().Client()
	for says, wantErr := range map[string]bool{"": false, "\x03whatever": false, "\x01\x01": true} {
		refuse, ask, err := client.Agree([]byte(says))
		if refuse != nil || ask != nil || (err != nil) != wantErr {
			t.Errorf("%q: %v, %v", says, ask, err)
		}
	}
}

// TestAnAnswerThatIsTooLarge: neither side takes memory for it.
func TestAnAnswerThatIsTooLarge(t *testing.T) {
	set := jsonSet()
	set.Limit(20)
	server, client := set.Server(), jsonSet().Client()
	cmd, err := server.Decode(bytes.NewBufferString(question(catalogue.List, "")))
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Exec(t.Context(), time.Now(), 1, calc{}, &encodingProxy{codec: server}); err != nil {
		t.Errorf("the list, which no limit holds up: %v", err)
	}
	cmd, err = server.Decode(bytes.NewBufferString(question(catalogue.Describe, "")))
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Exec(t.Context(), time.Now(), 1, calc{}, &encodingProxy{codec: server}); !errors.Is(err, base.ErrTooLargeResult) {
		t.Errorf("the description: %v", err)
	}
	_, ask, err := client.Agree(catalogue.Asked)
	if err != nil || ask == nil {
		t.Fatalf("Agree: %v", err)
	}
	for _, wire := range []string{"\x00", number(1 << 50), overlong, "\x09x"} {
		if result, err := client.DecodeFor(ask, bytes.NewBufferString(wire)); err == nil {
			t.Errorf("%q was taken: %v", wire, result)
		}
	}
}

func TestConfiguredTooLate(t *testing.T) {
	for name, configure := range map[string]func(*codec.Set[calc]){
		"IgnoreFields": (*codec.Set[calc]).IgnoreFields, "Reflect": (*codec.Set[calc]).Reflect,
	} {
		set := jsonSet()
		set.Client()
		if text := panicText(t, func() { configure(set) }); !strings.Contains(text, name+" comes too late") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

type renamed struct{}

func (renamed) Run(context.Context, calc) (int, error) { return 0, nil }
func (renamed) CommandName() string                    { return given }

var given string

type wide[A, B any] struct {
	A A
	B B
}

func (wide[A, B]) Run(context.Context, calc) (int, error) { return 0, nil }

type inner struct{ Text string }

func (i inner) CommandName() string { return i.Text }

// promoted has its name from a pointer that is nil in a zero command.
type promoted struct{ *inner }

func (promoted) Run(context.Context, calc) (int, error) { return 0, nil }

// taking is a format that carries anything, or says so.
type taking struct{ json.Format }

func (taking) Check(reflect.Type) error { return nil }

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, strings.Repeat("x", catalogue.MaxName): true,
		"": false, strings.Repeat("x", catalogue.MaxName+1): false, "\xff": false,
	} {
		given = name
		set := codec.NewSet[calc](taking{})
		register := func() { codec.Unary[renamed](set, 1) }
		if ok {
			register()
		} else if text := panicText(t, register); !strings.Contains(text, "CommandName") {
			t.Errorf("%.10q: %s", name, text)
		}
	}
	set := codec.NewSet[calc](taking{})
	type p = wide[wide[wide[wide[int, int], wide[int, int]], wide[wide[int, int], wide[int, int]]], wide[wide[wide[int, int], wide[int, int]], wide[wide[int, int], wide[int, int]]]]
	codec.Unary[wide[p, p]](set, 1) // its name has more than 1024 bytes
	codec.Unary[promoted](set, 2)
	entries, _, err := catalogue.Parse(set.Server().Catalogue())
	if err != nil || len(entries) != 2 || entries[1].Name != "codec_test.promoted" {
		t.Errorf("%v, %v", entries, err)
	}
	if refuse, _, err := set.Client().Agree(set.Server().Catalogue()); refuse != nil || err != nil {
		t.Errorf("a set and itself: %v", err)
	}
}

// TestAnExactNameCounts, even if others end the same.
func TestAnExactNameCounts(t *testing.T) {
	set := codec.NewSet[calc](json.Format{})
	codec.Unary[add](set, 1)  // codec_test.add
	codec.Unary[twin](set, 2) // other.add
	given = "add"
	codec.Unary[exact](set, 3)
	set.Reflect()
	cmd, err := set.Server().Decode(bytes.NewBufferString(call("add", "{}")))
	if err != nil || base.NameOf(cmd) != "add" {
		t.Errorf("%s, %v", base.NameOf(cmd), err)
	}
}

type exact struct{}

func (exact) Run(context.Context, calc) (int, error) { return 0, nil }
func (exact) CommandName() string                    { return "add" }

// Duration is of another package than time's.
type Duration int64

// TestPackagesDoNotCount, in type arguments either: one side's may be main.
func TestPackagesDoNotCount(t *testing.T) {
	mine, theirs := codec.NewSet[calc](json.Format{}), codec.NewSet[calc](json.Format{})
	codec.Unary[wide[Duration, map[string]Duration]](mine, 1)
	codec.Unary[wide[time.Duration, map[string]time.Duration]](theirs, 1)
	if refuse, _, err := mine.Client().Agree(theirs.Server().Catalogue()); refuse != nil || err != nil {
		t.Errorf("refused: %v", err)
	}
}

var askedForName = func() {}

type curiousName struct{}

func (curiousName) CommandName() string {
	askedForName()
	return "curious"
}

func (curiousName) Run(context.Context, calc) (int, error) { return 0, nil }

// A command is asked for its name once, when it is registered, and under no lock.
func TestACommandIsAskedForItsNameOnce(t *testing.T) {
	defer func() { askedForName = func() {} }()
	asked := 0
	askedForName = func() {
		asked++
		other := codec.NewSet[calc](json.Format{})
		askedForName = func() { asked++ }
		codec.Unary[curiousName](other, 1)
	}
	set := codec.NewSet[calc](json.Format{})
	codec.Unary[curiousName](set, 1)
	s := set.Server()
	s.Catalogue()
	if asked != 2 { // once for either set
		t.Errorf("it was asked %d times", asked)
	}
}
