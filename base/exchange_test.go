package base_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/cmdstream/cmdstream/base"
)

// sums is a typed command with inputs.
type sums struct{ again bool }

func (s sums) Exchange(_ context.Context, from int, inputs iter.Seq2[int, error], send func(int) error) error {
	for n, err := range inputs {
		if err != nil {
			return err
		}
		from += n
		if err := send(from); err != nil {
			return err
		}
	}
	return nil
}

func (s sums) Idempotent() bool { return s.again }

// script is a proxy whose inputs are written down.
type script struct {
	base.Proxy
	inputs []any
	err    error // after them; nil: io.EOF
	sent   []base.Result
}

func (s *script) Receive(base.Seq) (any, error) {
	if len(s.inputs) == 0 {
		if s.err != nil {
			return nil, s.err
		}
		return nil, io.EOF
	}
	next := s.inputs[0]
	s.inputs = s.inputs[1:]
	return next, nil
}

func (s *script) Send(_ base.Seq, r base.Result) error {
	s.sent = append(s.sent, r)
	return nil
}

func runSums(proxy base.Proxy, again bool) error {
	cmd := base.Exchange[int, int, int, sums]{Cmd: sums{again}}
	return cmd.Exec(context.Background(), time.Time{}, 1, 100, proxy)
}

func TestAnExchangeSendsAsItReceives(t *testing.T) {
	p := &script{inputs: []any{1, 2, 3}}
	if err := runSums(p, false); err != nil {
		t.Error(err)
	}
	want := []base.Result{base.Item[int]{V: 101}, base.Item[int]{V: 103}, base.Item[int]{V: 106}, base.End{}}
	if !slices.Equal(p.sent, want) {
		t.Errorf("sent %v", p.sent)
	}
}

func TestInputsThatAreNone(t *testing.T) {
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		proxy base.Proxy
		is    error
	}{
		"of another type":      {&script{inputs: []any{1, "two"}}, base.ErrDecode},
		"an error":             {&script{inputs: []any{1}, err: broken}, broken},
		"an end within one":    {&script{inputs: []any{1}, err: &base.Error{Code: base.ErrDecode, Err: io.EOF}}, base.ErrDecode},
		"a proxy without them": {bare{}, base.ErrUnsupported},
	} {
		if err := runSums(test.proxy, false); !errors.Is(err, test.is) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A loop over them may be left.
	p := &script{inputs: []any{1, 2}}
	for n, err := range base.Receive[int](1, p) {
		if n != 1 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		break
	}
	if len(p.inputs) != 1 {
		t.Errorf("%d inputs are left", len(p.inputs))
	}
}

type bare struct{ base.Proxy }

func TestWhoIsIdempotent(t *testing.T) {
	for want, cmd := range map[bool]any{
		true:  base.Exchange[int, int, int, sums]{Cmd: sums{again: true}},
		false: base.Exchange[int, int, int, sums]{Cmd: sums{}},
	} {
		if base.IsIdempotent(cmd) != want {
			t.Errorf("%v: not %v", cmd, want)
		}
	}
	if base.IsIdempotent(nil) || base.IsIdempotent(7) || !base.IsIdempotent(sums{again: true}) {
		t.Error("of others")
	}
	if name := base.NameOf(base.Exchange[int, int, int, sums]{}); name != "base_test.sums" {
		t.Errorf("its name is %s", name)
	}
}

func TestKeyOf(t *testing.T) {
	for _, cmd := range []any{keyed("k"), base.Unary[int, int, keyed]{Cmd: "k"}} {
		if key, ok := base.KeyOf(cmd); key != "k" || !ok {
			t.Errorf("the key of %#v is %q, %v", cmd, key, ok)
		}
	}
	for _, cmd := range []any{nil, 7, base.Exchange[int, int, int, sums]{}} {
		if key, ok := base.KeyOf(cmd); key != "" || ok {
			t.Errorf("the key of %#v is %q, %v", cmd, key, ok)
		}
	}
}

// keyed is a command with a key.
type keyed string

func (k keyed) Key() string { return string(k) }

func (keyed) Run(context.Context, int) (int, error) { return 0, nil }

func TestIDs(t *testing.T) {
	if _, ok := base.CommandID(context.Background()); ok {
		t.Error("a ctx without a command has an ID")
	}
	id := base.ID{Session: [16]byte{0xab, 15: 1}, Seq: 7}
	if got := id.String(); got != "ab000000000000000000000000000001-7" {
		t.Errorf("it is written %s", got)
	}
	ctx := context.WithValue(context.Background(), base.IDKey(), id)
	if got, ok := base.CommandID(ctx); got != id || !ok {
		t.Errorf("got %v, %v", got, ok)
	}
}

// What comes with a command does not go out again by itself.
func TestMetadataHasTwoDirections(t *testing.T) {
	m := base.Metadata{"tenant": {"ann", "bob"}}
	out := base.WithMetadata(context.Background(), m)
	if base.OutgoingMetadata(out).Get("tenant") != "ann" || base.MetadataOf(out) != nil {
		t.Error("what goes out")
	}
	in := context.WithValue(context.Background(), base.MetadataKey(), m)
	if base.MetadataOf(in).Get("tenant") != "ann" || base.OutgoingMetadata(in) != nil {
		t.Error("what came in")
	}
	if m.Get("other") != "" || base.Metadata(nil).Get("x") != "" {
		t.Error("a key that is not there")
	}
}
