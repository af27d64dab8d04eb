package codec_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/cmdstream/cmdstream/base"
)

// number is n as the wire has it.
func number(n uint64) string { return string(binary.AppendUvarint(nil, n)) }

var (
	overlong = "\x80\x00"
	overflow = strings.Repeat("\xff", 9) + "\x02"
)

func TestDecodeOfACommandFails(t *testing.T) {
	set := jsonSet()
	set.Limit(1000)
	server := set.Server()
	tests := []struct {
		name, wire string
		code       base.Code
		in         string
		text       string
		left       string // what remains to be read; "?" is not known
	}{
		{
			"unknown tag", number(77) + number(4) + "bodynext", base.ErrUnknownCmd, "",
			"cmdstream: the set has no command with the tag 77", "next",
		},
		{"the reserved tag", "\x00\x00next", base.ErrUnknownCmd, "", "cmdstream: the set has no command with the tag 0: it is a question that this server does not know", "next"},
		{
			"unknown tag, too large to skip", number(77) + number(1001) + "next", base.ErrUnknownCmd, "",
			"cmdstream: the set has no command with the tag 77: not skipped: it has 1001 bytes, and the set's limit is 1000", "?",
		},
		{
			"unknown tag, cut", number(77) + number(9) + "body", base.ErrUnknownCmd, "",
			"cmdstream: the set has no command with the tag 77: unexpected EOF", "?",
		},
		{"unknown tag, wrong length", number(77) + overlong, base.ErrUnknownCmd, "", "", "?"},
		{
			"null for a struct is no error", "\x01\x04nullnext", "", "", "", "next",
		},
		{
			"not JSON", "\x01\x04}{xynext", base.ErrDecode, "codec_test.add",
			"cmdstream: command codec_test.add: its body (tag 1, 4 bytes) could not be decoded: invalid character '}' looking for beginning of value (outcome: rejected)", "next",
		},
		{"empty", "\x01\x00next", base.ErrDecode, "codec_test.add", "", "next"},
		{"something behind the JSON", "\x01\x05{}{} next", base.ErrDecode, "codec_test.add", "", "next"},
		{
			"nil pointer", "\x07\x04nullnext", base.ErrNilCmd, "*codec_test.byPointer",
			"cmdstream: command *codec_test.byPointer: its body (tag 7) stands for a nil pointer (outcome: rejected)", "next",
		},
		{
			"too large", "\x01" + number(1001), base.ErrTooLargeCmd, "codec_test.add",
			"cmdstream: command codec_test.add: it has 1001 bytes, and the set's limit is 1000 (outcome: rejected)", "?",
		},
		{"far too large", "\x01" + number(math.MaxUint64), base.ErrTooLargeCmd, "codec_test.add", "", "?"},
		{
			"overlong tag", overlong, base.ErrDecode, "",
			"cmdstream: reading the tag: the number has more bytes than it needs", "?",
		},
		{
			"overflowing tag", overflow, base.ErrDecode, "",
			"cmdstream: reading the tag: the number does not fit into 64 bits", "?",
		},
		{
			"overlong length", "\x01" + overlong, base.ErrDecode, "codec_test.add",
			"cmdstream: command codec_test.add: reading the length of the command: the number has more bytes than it needs (outcome: rejected)", "?",
		},
		{"overflowing length", "\x01" + overflow, base.ErrDecode, "codec_test.add", "", "?"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			wire := bytes.NewBufferString(test.wire)
			cmd, err := server.Decode(wire)
			if test.code == "" {
				if err != nil || cmd != unary(add{}) {
					t.Fatalf("got %v, %v", cmd, err)
				}
			} else {
				if cmd != nil {
					t.Errorf("got a command beside the error: %v", cmd)
				}
				wantError(t, err, base.Rejected, test.code, test.in, test.text)
			}
			if got := wire.String(); test.left != "?" && got != test.left {
				t.Errorf("%q is left to be read, want %q", got, test.left)
			}
		})
	}
}

func TestDecodeOfAResultFails(t *testing.T) {
	set := jsonSet()
	set.Limit(1000)
	client := set.Client()
	tests := []struct {
		name string
		cmd  base.Cmd[calc]
		wire string
		code base.Code
		in   string
		text string
		left string
	}{
		{"nil command", nil, "\x01", base.ErrNilCmd, "", "cmdstream: the command is nil", "\x01"},
		{"unknown command", stream(tick{}), "\x01", base.ErrUnknownCmd, "codec_test.tick", "", "\x01"},
		{
			"end of no stream", unary(add{}), "\x00next", base.ErrDecode, "codec_test.add",
			"cmdstream: command codec_test.add: an end of a stream came where one result was expected: do client and server agree on the tag? (outcome: failed)", "next",
		},
		{
			"refused body", stream(count{}), "\x05\"no\"next", base.ErrDecode, "codec_test.count",
			"cmdstream: command codec_test.count: its result (tag 300, 4 bytes) could not be decoded: json: cannot unmarshal string into Go value of type int (outcome: failed)", "next",
		},
		{"something behind the JSON", unary(add{}), "\x041 2next", base.ErrDecode, "codec_test.add", "", "next"},
		{
			"too large", unary(add{}), number(1002), base.ErrTooLargeResult, "codec_test.add",
			"cmdstream: command codec_test.add: it has 1001 bytes, and the set's limit is 1000 (outcome: failed)", "?",
		},
		{"far too large", unary(add{}), number(math.MaxUint64), base.ErrTooLargeResult, "codec_test.add", "", "?"},
		{"overlong", unary(add{}), overlong, base.ErrDecode, "codec_test.add", "", "?"},
		{"overflowing", unary(add{}), overflow, base.ErrDecode, "codec_test.add", "", "?"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			wire := bytes.NewBufferString(test.wire)
			result, err := client.DecodeFor(test.cmd, wire)
			if result != nil {
				t.Errorf("got a result beside the error: %v", result)
			}
			wantError(t, err, base.Failed, test.code, test.in, test.text)
			if got := wire.String(); test.left != "?" && got != test.left {
				t.Errorf("%q is left to be read, want %q", got, test.left)
			}
		})
	}
	_, err := client.DecodeFor(unary(add{}), strings.NewReader("\x02{"))
	var cause *json.SyntaxError
	if !errors.As(err, &cause) {
		t.Errorf("the format's error is not wrapped: %v", err)
	}
}

func TestDecodeWithoutACommand(t *testing.T) {
	client := jsonSet().Client()
	const text = "cmdstream: a typed set decodes a result only with its command: use a client that calls DecodeFor"
	for wire, more := range map[string]string{
		"\x00next": "", "\x01next": "", "\x0342next": "",
		"\x0342":                     "?",
		"":                           ": unexpected EOF",
		"\x034":                      ": unexpected EOF",
		overlong:                     ": the number has more bytes than it needs",
		number(math.MaxUint64) + "x": ": not skipped: it has 18446744073709551614 bytes, and the set's limit is 67108864",
	} {
		r := strings.NewReader(wire)
		result, err := client.Decode(r)
		if result != nil {
			t.Errorf("%q: got %v", wire, result)
		}
		if more == "?" {
			more = ""
		} else if rest, _ := io.ReadAll(r); more == "" && string(rest) != "next" {
			t.Errorf("%q: %q is left to be read", wire, rest)
		}
		wantError(t, err, base.Failed, base.ErrUnsupported, "", text+more)
	}
}
