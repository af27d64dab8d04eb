package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
	"github.com/cmdstream/cmdstream/server"
	"github.com/cmdstream/cmdstream/transport"
)

func TestCall(t *testing.T) {
	addr, _ := serve(t, quietly())
	bare, _ := serveSet(t, newSet(false), quietly())
	for _, r := range []toolRun{
		{"one result", args(addr, `call ADDR Order {"Lines":[{"Article":"tea","Price":3}]}`), 0, []string{`{"Article":"tea","price":3}` + "\n"}, nil},
		{"by the whole name", args(addr, `call ADDR main.Wait {"MS":1}`), 0, []string{"1\n"}, nil},
		{"many", args(addr, `call ADDR Count {"To":3}`), 0, []string{"1\n2\n3\n"}, nil},
		{"none", args(addr, `call ADDR Count`), 0, nil, nil},
		{"in time", args(addr, `call ADDR Wait {"MS":1} --timeout 20s`), 0, []string{"1\n"}, nil},

		{"it fails", args(addr, "call ADDR Order"), 1, nil, []string{"cmdstream: Order: an order needs a line?[31m (outcome: failed, code: exec)\n"}},
		{"not in time", args(addr, `call ADDR Wait {"MS":5000} --timeout 50ms`), 1, nil, []string{"code: deadline_exceeded"}},
		{"an unknown name", args(addr, "call ADDR Ordre"), 1, nil, []string{`the server has no command "Ordre", did you mean "Order"?`}},
		{"a name like none", args(addr, "call ADDR Subscription"), 1, nil, []string{`the server has no command "Subscription": cmdstream list shows those that it has`}},
		{"a wrong type", args(addr, `call ADDR Count {"To":"three"}`), 1, nil, []string{"main.Count", "string", "To of type int", "(outcome: rejected, code: decode)"}},
		{"an exchange", args(addr, "call ADDR Chat"), 1, nil, []string{"main.Chat", "inputs", "code: unsupported"}},
		{"no reflection", args(bare, "call ADDR Count"), 1, nil, []string{"has not called Reflect", "code: unsupported"}},
	} {
		r.check(t)
	}

	stdout, stderr, code := runTool(t, nil, args(addr, "call ADDR Order --json")...)
	var told struct {
		Error struct{ Message, Outcome, Code string }
	}
	if err := json.Unmarshal([]byte(stdout), &told); err != nil || code != 1 || told.Error.Outcome != "failed" || told.Error.Code != "exec" || !strings.Contains(stderr, told.Error.Message) {
		t.Errorf("exit code %d, %v, %+v:\n%s%s", code, err, told, stdout, stderr)
	}
}

func TestCallReadsStandardInput(t *testing.T) {
	addr, _ := serve(t, quietly())
	for text, want := range map[string]string{
		`{"To":2}` + "\n": "1\n2\n",
		`{"To":`:          "cmdstream: the fields are not JSON at byte 6",
		"":                "cmdstream: the fields are not JSON at byte 0",
	} {
		cmd := tool(t, nil, args(addr, "call ADDR Count -")...)
		cmd.Stdin = strings.NewReader(text)
		got, _ := cmd.CombinedOutput()
		if !strings.HasPrefix(string(got), want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestResultsThatAreNotForATerminal(t *testing.T) {
	var out bytes.Buffer
	if err := printResult(&out, json.RawMessage("{\"a\": \"x\u009by\",\n\"b\":[1, 2]}"), false); err != nil || out.String() != `{"a":"x\u009by","b":[1,2]}`+"\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
	out.Reset()
	if err := printResult(&out, json.RawMessage(`{"b":[1]}`), true); err != nil || out.String() != "{\n  \"b\": [\n    1\n  ]\n}\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
	if err := printResult(io.Discard, json.RawMessage("\x1b[31m"), false); err == nil || !strings.Contains(err.Error(), "not JSON") {
		t.Errorf("got %v", err)
	}
}

func TestCodeOf(t *testing.T) {
	if got := codeOf(&base.Error{Code: base.ErrBusy}); got != "busy" {
		t.Errorf("got %q", got)
	}
	if got := codeOf(errors.New("plain")); got != "other" {
		t.Errorf("got %q", got)
	}
}

// raw is a command of a server without a typed set: any byte.
type raw byte

func (raw) Exec(ctx context.Context, at time.Time, seq base.Seq, receiver *shop, proxy base.Proxy) error {
	return errors.New("a byte does nothing")
}

// rawCodec reads one byte, and no more.
type rawCodec struct{}

func (rawCodec) Encode(base.Result, transport.Writer) error {
	return errors.New("there are no results")
}

func (rawCodec) Decode(r transport.Reader) (base.Cmd[*shop], error) {
	b, err := r.ReadByte()
	return raw(b), err
}

// serveBytes runs a server of the command form.
func serveBytes(t *testing.T) (addr string) {
	t.Helper()
	s, err := server.New[*shop](rawCodec{}, new(shop), quietly())
	if err != nil {
		t.Fatal(err)
	}
	l := listen(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
	return l.Addr().String()
}
