package base_test

import (
	"context"
	"errors"
	"io"
	"net"
	"reflect"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
)

// recordingProxy keeps what is sent, and fails from the send after limit on.
type recordingProxy struct {
	sent  []base.Result
	seqs  []base.Seq
	limit int
	err   error
}

func (p *recordingProxy) Send(seq base.Seq, result base.Result) error {
	if p.err != nil && len(p.sent) >= p.limit {
		return p.err
	}
	p.sent = append(p.sent, result)
	p.seqs = append(p.seqs, seq)
	return nil
}
func (p *recordingProxy) LocalAddr() net.Addr  { return nil }
func (p *recordingProxy) RemoteAddr() net.Addr { return nil }

type double struct{ N int }

func (c double) Run(ctx context.Context, receiver string) (string, error) {
	if c.N < 0 {
		return "ignored", io.ErrNoProgress
	}
	if ctx.Value(ctxKey{}) != "given" {
		return "", errors.New("another ctx")
	}
	return receiver + receiver, nil
}

// letters sends each byte of its receiver. A careless one goes on whatever send
// says.
type letters struct {
	Careless bool
	Err      error
}

func (c letters) Stream(_ context.Context, receiver string, send func(byte) error) error {
	for i := range len(receiver) {
		if err := send(receiver[i]); err != nil && !c.Careless {
			return err
		}
	}
	return c.Err
}

type ctxKey struct{}

// exec runs cmd as a server does.
func exec(t *testing.T, cmd base.Cmd[string], proxy base.Proxy) error {
	ctx := context.WithValue(t.Context(), ctxKey{}, "given")
	return cmd.Exec(ctx, time.Now(), 4, "ab", proxy)
}

func TestUnary(t *testing.T) {
	var proxy recordingProxy
	if err := exec(t, base.Unary[string, string, double]{}, &proxy); err != nil {
		t.Fatal(err)
	}
	want := recordingProxy{sent: []base.Result{base.Value[string]{V: "abab"}}, seqs: []base.Seq{4}}
	if !reflect.DeepEqual(proxy, want) {
		t.Errorf("got %+v, want %+v", proxy, want)
	}
}

func TestUnaryFails(t *testing.T) {
	var proxy recordingProxy
	if err := exec(t, base.Unary[string, string, double]{Cmd: double{-1}}, &proxy); err != io.ErrNoProgress {
		t.Errorf("got %v, want the command's own error", err)
	}
	if proxy.sent != nil {
		t.Errorf("%v was sent", proxy.sent)
	}
	broken := recordingProxy{err: io.ErrClosedPipe}
	if err := exec(t, base.Unary[string, string, double]{}, &broken); err != io.ErrClosedPipe {
		t.Errorf("got %v, want the proxy's own error", err)
	}
}

func TestStream(t *testing.T) {
	var proxy recordingProxy
	if err := exec(t, base.Stream[string, byte, letters]{}, &proxy); err != nil {
		t.Fatal(err)
	}
	want := recordingProxy{
		sent: []base.Result{base.Item[byte]{V: 'a'}, base.Item[byte]{V: 'b'}, base.End{}},
		seqs: []base.Seq{4, 4, 4},
	}
	if !reflect.DeepEqual(proxy, want) {
		t.Errorf("got %+v, want %+v", proxy, want)
	}
}

func TestStreamFails(t *testing.T) {
	tests := []struct {
		name  string
		cmd   letters
		proxy recordingProxy
		want  error
		sent  int
	}{
		{"by itself", letters{Err: io.ErrNoProgress}, recordingProxy{}, io.ErrNoProgress, 2},
		{"by send", letters{}, recordingProxy{limit: 1, err: io.ErrClosedPipe}, io.ErrClosedPipe, 1},
		{"by the end", letters{}, recordingProxy{limit: 2, err: io.ErrClosedPipe}, io.ErrClosedPipe, 2},
		{"by send, swallowed", letters{Careless: true}, recordingProxy{limit: 1, err: io.ErrClosedPipe}, base.ErrExec, 1},
		{"by both", letters{true, io.ErrNoProgress}, recordingProxy{limit: 1, err: io.ErrClosedPipe}, io.ErrNoProgress, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := exec(t, base.Stream[string, byte, letters]{Cmd: test.cmd}, &test.proxy)
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if len(test.proxy.sent) != test.sent {
				t.Errorf("%v was sent", test.proxy.sent)
			}
		})
	}
}

// A stream that lost results must not look like a whole one.
func TestStreamWithASwallowedErrorHasFailed(t *testing.T) {
	// The end would be sent without trouble: only one result is lost.
	proxy := &flakyProxy{}
	err := exec(t, base.Stream[string, byte, letters]{Cmd: letters{Careless: true}}, proxy)
	if base.OutcomeOf(err) != base.Failed {
		t.Errorf("got %v with the outcome %v", err, base.OutcomeOf(err))
	}
	if want := []base.Result{base.Item[byte]{V: 'b'}}; !reflect.DeepEqual(proxy.sent, want) {
		t.Errorf("%v was sent, want %v", proxy.sent, want)
	}
}

// flakyProxy loses its first result only.
type flakyProxy struct {
	recordingProxy
	lost bool
}

func (p *flakyProxy) Send(seq base.Seq, result base.Result) error {
	if !p.lost {
		p.lost = true
		return io.ErrClosedPipe
	}
	return p.recordingProxy.Send(seq, result)
}

func TestLastOne(t *testing.T) {
	for result, want := range map[base.Result]bool{
		base.Value[int]{}: true, base.Item[int]{}: false, base.End{}: true,
	} {
		if got := result.LastOne(); got != want {
			t.Errorf("LastOne of a %T is %v", result, got)
		}
	}
}

type namedCmd struct{ *base.Error }

func (c namedCmd) CommandName() string { return c.Error.Cmd }

type wrapping struct{ inner any }

func (w wrapping) Inner() any { return w.inner }

func TestNameOf(t *testing.T) {
	for want, cmd := range map[string]any{
		"":                    nil,
		"mine":                namedCmd{&base.Error{Cmd: "mine"}},
		"base_test.namedCmd":  namedCmd{},       // whose method panics
		"*base_test.wrapping": (*wrapping)(nil), // likewise its other one
		"int":                 wrapping{wrapping{7}},
		"inside":              wrapping{namedCmd{&base.Error{Cmd: "inside"}}},
	} {
		if got := base.NameOf(cmd); got != want {
			t.Errorf("%#v is named %q, want %q", cmd, got, want)
		}
	}
}
